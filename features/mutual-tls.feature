@mtls @requires(mesh) @requires(demo)
Feature: Mutual TLS
  Between two workloads of the mesh the proxies prove to each other who they are. The server's
  proxy tells the application who called; nobody without a certificate gets through.

  @identity
  Scenario: The server sees the caller's identity
    When "client" in namespace "demo" sends 1 request to "http://backend:8080/identity/${unique}"
    Then every request is answered with status 200
    And field "name" of the answer is "backend"
    And the server saw the caller "spiffe://cluster.local/ns/demo/sa/client"

  @identity
  Scenario: Each hop has an identity of its own
    When "client" in namespace "demo" sends 1 request to "http://frontend:8080/hops/${unique}"
    Then every request is answered with status 200
    And the server saw the caller "spiffe://cluster.local/ns/demo/sa/client"
    And the back end saw the caller "spiffe://cluster.local/ns/demo/sa/frontend"

  @manual @requires(manual)
  Scenario: A workload injected by hand has an identity as well
    When "first-istio" in namespace "manual" sends 1 request to "http://backend.demo:8080/by-hand/${unique}"
    Then every request is answered with status 200
    And the server saw the caller "spiffe://cluster.local/ns/manual/sa/first-istio"

  @strict @requires(plain)
  Scenario: Nobody without a certificate gets through
    When "first-istio" in namespace "plain" sends 2 requests to "http://backend.demo:8080/plain/${unique}"
    Then no request is answered

  @gateway @route
  Scenario: Requests from outside come in through the ingress gateway, under its identity
    When 1 request is sent through the ingress gateway to "http://demo.istiolab.local/from-outside/${unique}"
    Then every request is answered with status 200
    And field "name" of the answer is "frontend"
    And field "path" of the answer is "/from-outside/${unique}"
    And the server saw the caller "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"

  @identity
  Scenario: A proxy's certificate proves its workload's account
    Then the proxy of "client" in namespace "demo" has a certificate for "spiffe://cluster.local/ns/demo/sa/client"
    And the certificate of the proxy of "client" in namespace "demo" is valid for at least 10 minutes

  @plain @network @requires(plain)
  Scenario: Without proxies nobody proves anything
    When "first-istio" in namespace "plain" sends 1 request to "http://first-istio:8080/unproven/${unique}"
    Then every request is answered with status 200
    And the server saw no caller
    And field "name" of the answer is "first-istio"
    And the answer has no field "caller"
