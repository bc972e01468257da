@tasks @resilience @requires(mesh) @requires(tasks)
Feature: Circuit breaking
  A service that can't keep up is spared: what is too much is refused at once, and who fails again
  and again is left alone for a while.

  @telemetry @requires(prometheus)
  Scenario: More requests at once than are allowed are refused by the caller's own proxy
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
        - headers: {response: {set: {x-rule: no limit}}}
          route:
          - destination: {host: ${unique}}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "no limit" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 20 requests to "http://${unique}:8080/slow?ms=200", 10 at a time
    Then every request is answered with status 200
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: DestinationRule
      metadata: {name: ${unique}}
      spec:
        host: ${unique}
        trafficPolicy:
          connectionPool:
            tcp: {maxConnections: 1}
            http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - headers: {response: {set: {x-rule: one at a time}}}
          route:
          - destination: {host: ${unique}}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "one at a time" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 20 requests to "http://${unique}:8080/slow?ms=200", 10 at a time
    Then at least 5 requests are answered with status 503
    And at least 1 request is answered with status 200
    And eventually within 30 seconds the proxy of "client" in namespace "tasks" logged the request from "client" with:
      | response code  | 503 |
      | response flags | UO  |
    And eventually within 30 seconds the query 'istio_requests_total{reporter="source",destination_service_name="${unique}",response_flags="UO"}' gives at least 5

  Scenario: Who fails again and again is left alone for a while
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
      kind: DestinationRule
      metadata: {name: ${unique}}
      spec:
        host: ${unique}
        trafficPolicy:
          outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 4s, maxEjectionPercent: 100}
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - headers: {response: {set: {x-rule: watched}}}
          retries: {attempts: 0}
          route:
          - destination: {host: ${unique}}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "watched" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 3 requests to "http://${unique}:8080/fail?code=500"
    Then every request is answered with status 500
    When "client" in namespace "tasks" sends 3 requests to "http://${unique}:8080/"
    Then every request is answered with status 503
    And the text of the answer contains "no healthy upstream"
    And eventually within 20 seconds "client" in namespace "tasks" gets status 200 from "http://${unique}:8080/"
