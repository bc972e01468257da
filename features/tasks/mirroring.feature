@tasks @routing @requires(mesh) @requires(tasks)
Feature: Mirroring
  A version that nobody is answered by gets a copy of every request.

  Background:
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
          mirror: {host: ${unique}, subset: v3}
          mirrorPercentage: {value: 100}
          route:
          - destination: {host: ${unique}, subset: v1}
        - headers: {response: {set: {x-rule: no mirror}}}
          route:
          - destination: {host: ${unique}, subset: v1}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "no mirror" from "http://${unique}:8080/"

  Scenario: The mirror gets every request, and the caller only the first version's answers
    When "client" in namespace "tasks" sends 6 requests to "http://${unique}:8080/${unique}" with headers:
      | end-user | jason |
    Then every request is answered with field "version" "v1"
    And eventually within 30 seconds "echo-v3" in namespace "tasks" has received 6 requests to "/${unique}"
    And eventually within 30 seconds the proxy of "echo-v3" in namespace "tasks" logged 6 lines of the request from "client"

  Scenario: Who does not ask for it is not mirrored
    When "client" in namespace "tasks" sends 6 requests to "http://${unique}:8080/${unique}"
    Then every request is answered with field "version" "v1"
    # A copy that comes late comes after this one.
    When "client" in namespace "tasks" sends 1 request to "http://${unique}:8080/last/${unique}" with headers:
      | end-user | jason |
    Then eventually within 30 seconds "echo-v3" in namespace "tasks" has received 1 request to "/last/${unique}"
    And "echo-v3" in namespace "tasks" has received 0 requests to "/${unique}"

  @telemetry @requires(prometheus)
  Scenario: The metrics count what the mirror got
    When "client" in namespace "tasks" sends 7 requests to "http://${unique}:8080/" with headers:
      | end-user | jason |
    Then every request is answered with field "version" "v1"
    And eventually within 30 seconds the query 'istio_requests_total{reporter="destination",destination_service_name="${unique}",destination_workload="echo-v3"}' gives 7
    And the query 'istio_requests_total{reporter="destination",destination_service_name="${unique}",destination_workload="echo-v2"}' gives nothing
