@tasks @resilience @requires(mesh) @requires(tasks)
Feature: Locality
  Requests stay near; if those near fail, they go to the next nearest. The client and the first version
  stand in one zone, the second in another zone of the same region, the third in another region.

  Scenario: The nearest answers, and after it the next nearest
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
        trafficPolicy:
          loadBalancer:
            localityLbSetting: {enabled: true}
          # Failing over needs to know who fails.
          outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 12s, maxEjectionPercent: 100}
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - headers: {response: {set: {x-rule: near}}}
          retries: {attempts: 0}
          route:
          - destination: {host: ${unique}}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "near" from "http://${unique}:8080/"
    And eventually within 30 seconds, 10 times in a row, "client" in namespace "tasks" gets an answer with field "version" "v1" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 3 requests to "http://${unique}:8080/fail?code=500"
    Then every request is answered with status 500
    When "client" in namespace "tasks" sends 20 requests to "http://${unique}:8080/"
    Then every request is answered with field "version" "v2"
    When "client" in namespace "tasks" sends 3 requests to "http://${unique}:8080/fail?code=500"
    Then every request is answered with status 500
    # Envoy tells its threads of a second change within one second only at that second's end.
    And eventually within 10 seconds "client" in namespace "tasks" gets an answer with field "version" "v3" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 20 requests to "http://${unique}:8080/"
    Then every request is answered with field "version" "v3"
    # Who failed is tried again after a while.
    And eventually within 40 seconds "client" in namespace "tasks" gets an answer with field "version" "v1" from "http://${unique}:8080/"
