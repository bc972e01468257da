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

  @telemetry @datasource @dashboard @panels @requires(prometheus) @requires(demo)
  Scenario: Panels show the traffic of the mesh
    When "client" in namespace "demo" sends 2 requests to "http://httpbin:8000/status/207"
    Then every request is answered with status 207
    And eventually within 15 seconds the query of panel "Requests by code" of dashboard "Istiolab mesh overview" gives data through the proxy of data source "Prometheus"
    And eventually within 15 seconds panel "Request rate" of dashboard "Istiolab mesh overview" shows data from "Prometheus"
