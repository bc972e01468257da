@grafana @requires(grafana)
Feature: Dashboards in Grafana
  Grafana comes up with its data source and dashboard from files, and shows what Prometheus knows.

  Scenario: Grafana is healthy
    Then eventually within 20 seconds Grafana is healthy

  @datasource @requires(prometheus)
  Scenario: The data source is there by provisioning
    Then eventually within 20 seconds Grafana has the provisioned data source "Prometheus" of type "prometheus"

  @dashboard
  Scenario: The dashboard is there by provisioning
    Then eventually within 20 seconds Grafana has the provisioned dashboard "Istiolab mesh overview"
    And Grafana's folder "Istiolab" has the dashboard "Istiolab mesh overview"
    And Grafana's folder "Istiolab" has these dashboards:
      | Istiolab mesh overview |

  @telemetry @datasource @dashboard @panels @requires(prometheus) @requires(demo)
  Scenario: Panels show the traffic of the mesh
    When "client" in namespace "demo" sends 2 requests to "http://httpbin:8000/status/207"
    Then every request is answered with status 207
    And eventually within 15 seconds the query of panel "Requests by code" of dashboard "Istiolab mesh overview" gives data through the proxy of data source "Prometheus"
    And eventually within 15 seconds panel "Request rate" of dashboard "Istiolab mesh overview" shows data from "Prometheus"

  @telemetry @datasource @dashboard @panels @requires(prometheus) @requires(demo)
  Scenario: Every panel of the dashboard shows something
    Given the sum of 'istio_requests_total{reporter="source",response_code="201"}' is remembered
    When "client" in namespace "demo" sends 4 requests to "http://httpbin:8000/status/201"
    Then every request is answered with status 201
    # A rate needs two scrapes of the series: the first comes before the second lot of requests.
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="source",response_code="201"}' has risen by 4
    When "client" in namespace "demo" sends 5 requests to "http://httpbin:8000/status/201"
    Then every request is answered with status 201
    And eventually within 20 seconds every panel of dashboard "Istiolab mesh overview" shows data
    And eventually within 10 seconds panel "Requests by code" of dashboard "Istiolab mesh overview" shows at least 9
    And eventually within 10 seconds panel "Success rate" of dashboard "Istiolab mesh overview" shows between 0 and 1
