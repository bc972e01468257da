@servicegraph @requires(prometheus) @requires(mesh) @requires(demo)
Feature: The service graph
  Who calls whom, read from the metrics, on the paths that Istio's former add-on had.

  @telemetry @calls
  Scenario: Calls are edges between workloads
    Given the sum of 'istio_requests_total{reporter="source",source_workload="client",destination_workload="frontend",response_code="200"}' is remembered
    And the sum of 'istio_requests_total{reporter="source",source_workload="frontend",destination_workload="backend",response_code="200"}' is remembered
    When "client" in namespace "demo" sends 3 requests to "http://frontend:8080/graph/${unique}"
    Then every request is answered with status 200
    # A rate needs two scrapes of each series: the first comes before the second lot of requests.
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="source",source_workload="client",destination_workload="frontend",response_code="200"}' has risen by at least 3
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="source",source_workload="frontend",destination_workload="backend",response_code="200"}' has risen by at least 3
    When "client" in namespace "demo" sends 5 requests to "http://frontend:8080/graph/${unique}"
    Then every request is answered with status 200
    And eventually within 15 seconds the service graph shows that "client" calls "frontend"
    And eventually within 15 seconds the service graph shows that "frontend" calls "backend"
    And the service graph shows no call from "backend" to "client"

  @pages @requires(servicegraph)
  Scenario Outline: The path <path> answers
    Then eventually within 15 seconds the lab's service graph answers on "<path>" with "<text>"

    Examples:
      | path                   | text    |
      | /force/forcegraph.html | d3graph |

    @prometheus
    Examples:
      | path                                | text               |
      | /dotviz?time_horizon=1m             | Service graph      |
      | /dotgraph?time_horizon=1m           | istio-servicegraph |
      | /d3graph?destination_namespace=demo | links              |
      | /graph?filter_empty=true            | edges              |
