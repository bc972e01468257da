Feature: Ten checks
  The same as bench/steps-by-hand.sh does by kubectl, curl and jq.

  Scenario: containers
    Then eventually within 20 seconds every pod of "frontend" in namespace "demo" has 2 containers

  Scenario: ready
    Then eventually within 20 seconds every pod of "backend" in namespace "demo" is ready

  Scenario: label
    Then eventually within 20 seconds namespace "demo" has the label "istio-injection" with value "enabled"

  Scenario: targets
    Then eventually within 20 seconds every target of job "istiod" is up

  Scenario: query
    Then eventually within 20 seconds the query "count(up)" gives at least 5

  Scenario: health
    Then eventually within 20 seconds Grafana is healthy

  Scenario: data source
    Then eventually within 20 seconds Grafana has the provisioned data source "Prometheus" of type "prometheus"

  Scenario: dashboard
    Then eventually within 20 seconds Grafana has the provisioned dashboard "Istiolab mesh overview"

  Scenario: services
    Then eventually within 20 seconds Zipkin knows the services "frontend.demo, backend.demo"

  Scenario: proxies
    Then eventually within 20 seconds at least 5 proxies are connected to istiod
