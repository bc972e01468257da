@tasks @ingress @requires(mesh) @requires(tasks)
Feature: Ways into the mesh
  One gateway serves many hosts, each with routes of its own.

  Scenario: Several hosts at one gateway
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: Gateway
      metadata: {name: ${unique}}
      spec:
        selector: {istio: ingressgateway}
        servers:
        - port: {number: 80, name: http, protocol: HTTP}
          hosts: [one.${unique}.istiolab.local, two.${unique}.istiolab.local, "*.many.${unique}.istiolab.local"]
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: ${unique}}
      spec:
        selector: {app: echo}
        ports: [{name: http, port: 8080}]
      ---
      apiVersion: networking.istio.io/v1
      kind: DestinationRule
      metadata: {name: ${unique}}
      spec:
        host: ${unique}
        subsets:
        - {name: v1, labels: {version: v1}}
        - {name: v2, labels: {version: v2}}
        - {name: v3, labels: {version: v3}}
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: one-${unique}}
      spec:
        hosts: [one.${unique}.istiolab.local]
        gateways: [${unique}]
        http:
        - match:
          - uri: {prefix: /api/}
          rewrite: {uri: /}
          route:
          - destination: {host: ${unique}, subset: v3}
        - route:
          - destination: {host: ${unique}, subset: v1}
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: two-${unique}}
      spec:
        hosts: [two.${unique}.istiolab.local]
        gateways: [${unique}]
        http:
        - route:
          - destination: {host: ${unique}, subset: v2}
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: many-${unique}}
      spec:
        hosts: ["*.many.${unique}.istiolab.local"]
        gateways: [${unique}]
        http:
        - route:
          - destination: {host: ${unique}, subset: v3}
      """
    Then eventually within 30 seconds the ingress gateway answers "http://one.${unique}.istiolab.local/" with status 200
    And eventually within 30 seconds the ingress gateway answers "http://two.${unique}.istiolab.local/" with status 200
    And eventually within 30 seconds the ingress gateway answers "http://a.many.${unique}.istiolab.local/" with status 200
    When 3 requests are sent through the ingress gateway to "http://one.${unique}.istiolab.local/"
    Then every request is answered with field "version" "v1"
    When 3 requests are sent through the ingress gateway to "http://one.${unique}.istiolab.local/api/list?page=2"
    Then every request is answered with field "version" "v3"
    And field "path" of the answer is "/list?page=2"
    When 3 requests are sent through the ingress gateway to "http://two.${unique}.istiolab.local/"
    Then every request is answered with field "version" "v2"
    When 3 requests are sent through the ingress gateway to "http://b.many.${unique}.istiolab.local/"
    Then every request is answered with field "version" "v3"
    When 3 requests are sent through the ingress gateway to "http://three.${unique}.istiolab.local/"
    Then every request is answered with status 404

  Scenario: The gateway's own host is there from the start
    When 3 requests are sent through the ingress gateway to "http://tasks.istiolab.local/${unique}"
    Then every request is answered with status 200
    And field "name" of the answer is "echo"
    And the server saw the caller "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"
