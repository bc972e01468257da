@prometheus @requires(prometheus)
Feature: Metrics in Prometheus
  Every proxy counts the requests that it passes on, by who called whom and what was answered. Each
  scenario uses an answer's code of its own, so that none can take another's requests for its own.

  @scraping @requires(mesh)
  Scenario: The control plane and every proxy are scraped
    Then eventually within 20 seconds every target of job "istiod" is up
    And eventually within 20 seconds at least 5 targets of job "kubernetes-pods" are up
    And eventually within 20 seconds every target of job "kubernetes-pods" is up

  @telemetry @requires(demo)
  Scenario: Requests are counted by the called side, by response code
    Given the sum of 'istio_requests_total{reporter="destination",destination_workload="httpbin",response_code="202"}' is remembered
    And the sum of 'istio_requests_total{reporter="destination",destination_workload="httpbin",response_code="410"}' is remembered
    When "client" in namespace "demo" sends 7 requests to "http://httpbin:8000/status/202"
    Then every request is answered with status 202
    When "client" in namespace "demo" sends 5 requests to "http://httpbin:8000/status/410"
    Then every request is answered with status 410
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="destination",destination_workload="httpbin",response_code="202"}' has risen by 7
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="destination",destination_workload="httpbin",response_code="410"}' has risen by 5

  @telemetry @requires(demo)
  Scenario: Requests are counted by the calling side, which knows whom it called
    Given the sum of 'istio_requests_total{reporter="source",source_workload="client",destination_service="httpbin.demo.svc.cluster.local",destination_workload="httpbin",response_code="203"}' is remembered
    When "client" in namespace "demo" sends 9 requests to "http://httpbin:8000/status/203"
    Then every request is answered with status 203
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="source",source_workload="client",destination_service="httpbin.demo.svc.cluster.local",destination_workload="httpbin",response_code="203"}' has risen by 9

  @telemetry @requires(demo)
  Scenario: A 503 shows as a 503
    Given the sum of 'istio_requests_total{reporter="destination",destination_workload="backend",response_code="503"}' is remembered
    When "client" in namespace "demo" sends 4 requests to "http://backend:8080/fail?code=503" with headers:
      | x-envoy-max-retries | 0 |
    Then every request is answered with status 503
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="destination",destination_workload="backend",response_code="503"}' has risen by 4

  @telemetry @gateway @requires(demo)
  Scenario: Requests through the ingress gateway are counted there
    Given the sum of 'istio_requests_total{reporter="source",source_workload="istio-ingressgateway",response_code="418"}' is remembered
    When 6 requests are sent through the ingress gateway to "http://demo.istiolab.local/fail?code=418"
    Then every request is answered with status 418
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="source",source_workload="istio-ingressgateway",response_code="418"}' has risen by 6

  @telemetry @identity @requires(demo)
  Scenario: The called side knows by mutual TLS who called
    Given the sum of 'istio_requests_total{reporter="destination",source_principal="spiffe://cluster.local/ns/demo/sa/client",connection_security_policy="mutual_tls",response_code="206"}' is remembered
    When "client" in namespace "demo" sends 3 requests to "http://httpbin:8000/status/206"
    Then every request is answered with status 206
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="destination",source_principal="spiffe://cluster.local/ns/demo/sa/client",connection_security_policy="mutual_tls",response_code="206"}' has risen by 3

  @scraping @requires(mesh) @requires(demo)
  Scenario: Targets by label, and what they give
    Then eventually within 20 seconds every target whose label "namespace" is "demo" is up
    And Prometheus scrapes no target whose label "namespace" is "kube-system"
    And eventually within 20 seconds the query 'count by (job) (up{job=~"istiod|prometheus"} == 1)' gives these series:
      | job        | value |
      | istiod     | 1     |
      | prometheus | 1     |
    And the query 'count by (job) (up)' gives, among others, these series:
      | job             | value |
      | kubernetes-pods | >= 5  |
      | prometheus      | *     |
    And the query 'up{job="prometheus"}' gives 1
    And the query 'up{job="prometheus"}' gives a value
    And the query 'count(up)' gives between 2 and 1000
    And the query 'count(up{job="kubernetes-pods"})' gives at least 5
    And the query 'time() - process_start_time_seconds{job="prometheus"}' gives at most 10000000
    And the query 'up{job="nobody"}' gives nothing

  @alert @requires(mesh)
  Scenario: Rules are evaluated
    Then eventually within 20 seconds Prometheus has the recording rule "workload:istio_requests:rate1m"
    And eventually within 20 seconds Prometheus has the alerting rule "ControlPlaneDown"
    And eventually within 20 seconds the alert "ControlPlaneDown" is inactive

  @telemetry @requires(demo)
  Scenario: What was not sent is not counted
    Given the sum of 'istio_requests_total{reporter="destination",destination_workload="httpbin",response_code="226"}' is remembered
    And the sum of 'istio_requests_total{reporter="destination",destination_workload="httpbin",response_code="208"}' is remembered
    When "client" in namespace "demo" sends 3 requests to "http://httpbin:8000/status/208"
    Then every request is answered with status 208
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="destination",destination_workload="httpbin",response_code="208"}' has risen by between 3 and 3
    And the sum of 'istio_requests_total{reporter="destination",destination_workload="httpbin",response_code="226"}' has not changed
