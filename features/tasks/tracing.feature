@tasks @tracing @requires(mesh) @requires(tasks) @requires(tracing)
Feature: Tracing
  Each proxy on a request's way reports a span: who called whom, which version answered, how it went.

  Scenario: A trace leads from the gateway to the version that answered
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: Gateway
      metadata: {name: ${unique}}
      spec:
        selector: {istio: ingressgateway}
        servers:
        - port: {number: 80, name: http, protocol: HTTP}
          hosts: [${unique}.istiolab.local]
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: ${unique}}
      spec:
        selector: {app: echo, version: v2}
        ports: [{name: http, port: 8080}]
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}.istiolab.local]
        gateways: [${unique}]
        http:
        - route:
          - destination: {host: ${unique}}
      """
    Then eventually within 30 seconds the ingress gateway answers "http://${unique}.istiolab.local/" with status 200
    When 1 request is sent through the ingress gateway to "http://${unique}.istiolab.local/traced"
    Then every request is answered with field "version" "v2"
    And eventually within 30 seconds the trace of the request from "the ingress gateway" has these spans:
      | service                           | kind   | cause                                    | http.method | http.status_code | istio.canonical_revision | error |
      | istio-ingressgateway.istio-system | server |                                          | GET         | 200              | latest                   |       |
      | istio-ingressgateway.istio-system | client | istio-ingressgateway.istio-system server |             | 200              | latest                   |       |
      | echo.tasks                        | server | istio-ingressgateway.istio-system client | GET         | 200              | v2                       |       |
    And the trace of the request from "the ingress gateway" is at least 3 spans deep
    And the trace of the request from "the ingress gateway" has no gap

  @requires(jaeger)
  Scenario: Jaeger knows who has sent spans
    When "client" in namespace "tasks" sends 1 request to "http://echo:8080/known"
    Then every request is answered with status 200
    And eventually within 30 seconds Jaeger knows the services "client.tasks, echo.tasks"

  Scenario: The trace tells which version answered whom
    Given these objects in namespace "tasks":
      """
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
        - {name: v3, labels: {version: v3}}
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - match:
          - headers: {end-user: {exact: jason}}
          route:
          - destination: {host: ${unique}, subset: v3}
        - headers: {response: {set: {x-rule: everybody}}}
          route:
          - destination: {host: ${unique}, subset: v1}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "everybody" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 1 request to "http://${unique}:8080/traced"
    Then every request is answered with field "version" "v1"
    And eventually within 30 seconds the trace of the request from "client" has these spans:
      | service      | kind   | cause               | istio.canonical_revision | upstream_cluster                                        |
      | client.tasks | client |                     | v1                       | outbound\|8080\|v1\|${unique}.tasks.svc.cluster.local |
      | echo.tasks   | server | client.tasks client | v1                       | inbound\|8080\|\|                                      |
    When "client" in namespace "tasks" sends 1 request to "http://${unique}:8080/traced" with headers:
      | end-user | jason |
    Then every request is answered with field "version" "v3"
    And eventually within 30 seconds the trace of the request from "client" has these spans:
      | service      | kind   | cause               | istio.canonical_revision | upstream_cluster                                        |
      | client.tasks | client |                     | v1                       | outbound\|8080\|v3\|${unique}.tasks.svc.cluster.local |
      | echo.tasks   | server | client.tasks client | v3                       | inbound\|8080\|\|                                      |

  Scenario: Each try of a request is a span, and those that failed say so
    Given these objects in namespace "tasks":
      """
      apiVersion: v1
      kind: Service
      metadata: {name: ${unique}}
      spec:
        selector: {app: echo, version: v3}
        ports: [{name: http, port: 8080}]
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - headers: {response: {set: {x-rule: tries}}}
          retries: {attempts: 3, retryOn: 5xx}
          route:
          - destination: {host: ${unique}}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "tries" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 1 request to "http://${unique}:8080/fail?code=503&until=2"
    Then every request is answered with status 200
    And eventually within 30 seconds the trace of the request from "client" has these spans:
      | service      | kind   | cause               | http.status_code | error |
      | client.tasks | client |                     | 200              |       |
      | echo.tasks   | server | client.tasks client | 503              | true  |
      | echo.tasks   | server | client.tasks client | 200              |       |
    And the trace of the request from "client" has no gap
