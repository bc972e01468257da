@tasks @egress @requires(mesh) @requires(tasks) @requires(outside)
Feature: Ways out of the mesh
  A proxy lets through what it does not know, or refuses it, as the mesh or the workload says. A
  ServiceEntry makes known what is outside.

  Scenario: Where everything may go out, what nobody registered goes through as it is
    When "client" in namespace "tasks" sends 3 requests to "http://outside.outside:8080/" with headers:
      | host | ${unique}.example.com |
    Then every request is answered with status 200
    And field "name" of the answer is "outside"
    And the server saw no caller
    And eventually within 30 seconds the proxy of "client" in namespace "tasks" logged the request from "client" with:
      | response code    | 200                   |
      | authority        | ${unique}.example.com |
      | upstream cluster | PassthroughCluster    |

  @telemetry @requires(prometheus)
  Scenario: Where only what is known may go out, the unknown is refused until somebody registers it
    Then eventually within 30 seconds "caged" in namespace "tasks" gets status 502 from "http://outside.outside:8080/"
    Given the sum of 'istio_requests_total{reporter="source",source_workload="caged",response_code="502"}' is remembered
    When "caged" in namespace "tasks" sends 10 requests to "http://outside.outside:8080/"
    Then every request is answered with status 502
    And eventually within 30 seconds the proxy of "caged" in namespace "tasks" logged the request from "caged" with:
      | response code | 502       |
      | route         | block_all |
    And eventually within 30 seconds the sum of 'istio_requests_total{reporter="source",source_workload="caged",response_code="502"}' has risen by at least 10
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: ServiceEntry
      metadata: {name: ${unique}}
      spec:
        hosts: [outside.outside]
        exportTo: ["."]
        location: MESH_EXTERNAL
        resolution: DNS
        ports: [{number: 8080, name: http, protocol: HTTP}]
        endpoints: [{address: outside.outside.svc.cluster.local}]
      """
    Then eventually within 30 seconds "caged" in namespace "tasks" gets status 200 from "http://outside.outside:8080/"
    When "caged" in namespace "tasks" sends 3 requests to "http://outside.outside:8080/"
    Then every request is answered with field "name" "outside"
    And the server saw no caller

  Scenario: Rules of the mesh hold for what is outside, too
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: ServiceEntry
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}.example.com]
        exportTo: ["."]
        location: MESH_EXTERNAL
        resolution: DNS
        ports: [{number: 8080, name: http, protocol: HTTP}]
        endpoints: [{address: outside.outside.svc.cluster.local}]
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}.example.com]
        exportTo: ["."]
        http:
        - headers: {response: {set: {x-rule: impatient}}}
          timeout: 0.5s
          route:
          - destination: {host: ${unique}.example.com}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets status 504 from "http://outside.outside:8080/slow?ms=3000" with headers:
      | host | ${unique}.example.com |
    When "client" in namespace "tasks" sends 2 requests to "http://outside.outside:8080/" with headers:
      | host | ${unique}.example.com |
    Then every request is answered with field "name" "outside"
    And the answer has the header "x-rule" with value "impatient"
