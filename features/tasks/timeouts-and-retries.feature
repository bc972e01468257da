@tasks @resilience @requires(mesh) @requires(tasks)
Feature: Timeouts and retries
  The caller's proxy does not wait for ever, and tries again what may succeed.

  Scenario: A slow answer is not waited for
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
        - headers: {response: {set: {x-rule: patient}}}
          timeout: 0.7s
          route:
          - destination: {host: ${unique}}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "patient" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 1 request to "http://${unique}:8080/slow?ms=100"
    Then every request is answered with status 200
    When "client" in namespace "tasks" sends 2 requests to "http://${unique}:8080/slow?ms=5000"
    Then every request is answered with status 504
    And every request took at least 700 ms
    And every request took at most 4 seconds
    And eventually within 30 seconds the proxy of "client" in namespace "tasks" logged the request from "client" with:
      | response code  | 504 |
      | response flags | UT  |

  Scenario: What fails at first succeeds when tried again
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
        - match:
          - headers: {end-user: {exact: jason}}
          retries: {attempts: 3, retryOn: 5xx}
          route:
          - destination: {host: ${unique}}
        - headers: {response: {set: {x-rule: once}}}
          retries: {attempts: 0}
          route:
          - destination: {host: ${unique}}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "once" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 2 requests to "http://${unique}:8080/fail?code=503&until=3"
    Then every request is answered with status 503
    When "client" in namespace "tasks" sends 2 requests to "http://${unique}:8080/fail?code=503&until=3" with headers:
      | end-user | jason |
    Then every request is answered with status 200
    And field "attempt" of the answer is "3"

  @telemetry @requires(prometheus)
  Scenario: What fails for good is tried as often as it is said, and no more
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
        - headers: {response: {set: {x-rule: four times}}}
          retries: {attempts: 3, retryOn: 5xx}
          route:
          - destination: {host: ${unique}}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "four times" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 2 requests to "http://${unique}:8080/fail?code=511"
    Then every request is answered with status 511
    And eventually within 30 seconds the query 'istio_requests_total{reporter="destination",destination_service_name="${unique}",response_code="511"}' gives 8
    And eventually within 30 seconds the query 'istio_requests_total{reporter="source",destination_service_name="${unique}",response_code="511"}' gives 2
