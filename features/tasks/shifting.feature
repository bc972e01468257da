@tasks @routing @requires(mesh) @requires(tasks)
Feature: Traffic shifting
  A new version gets a share of the requests: none of them, half of them, all of them.

  Scenario: From the old version to the new one by weights
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
        - {name: v2, labels: {version: v2}}
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - headers: {response: {set: {x-share: none}}}
          route:
          - {destination: {host: ${unique}, subset: v1}, weight: 100}
          - {destination: {host: ${unique}, subset: v2}, weight: 0}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-share" "none" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 20 requests to "http://${unique}:8080/"
    Then every request is answered with field "version" "v1"
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - headers: {response: {set: {x-share: half}}}
          route:
          - {destination: {host: ${unique}, subset: v1}, weight: 50}
          - {destination: {host: ${unique}, subset: v2}, weight: 50}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-share" "half" from "http://${unique}:8080/"
    # Of 100 throws of a coin, fewer than 30 or more than 70 are heads once in 30,000 times.
    When "client" in namespace "tasks" sends 100 requests to "http://${unique}:8080/"
    Then between 30 and 70 percent of the requests are answered with field "version" "v2"
    And between 30 and 70 percent of the requests are answered with field "version" "v1"
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - headers: {response: {set: {x-share: all}}}
          route:
          - {destination: {host: ${unique}, subset: v1}, weight: 0}
          - {destination: {host: ${unique}, subset: v2}, weight: 100}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-share" "all" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 20 requests to "http://${unique}:8080/"
    Then every request is answered with field "version" "v2"

  @telemetry @requires(prometheus)
  Scenario: The metrics know the shares
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
        - {name: v2, labels: {version: v2}}
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - headers: {response: {set: {x-share: tenth}}}
          route:
          - {destination: {host: ${unique}, subset: v1}, weight: 90}
          - {destination: {host: ${unique}, subset: v2}, weight: 10}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-share" "tenth" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 200 requests to "http://${unique}:8080/"
    # Ten in a hundred, of 200: fewer than 4 or more than 40 come about once in a hundred thousand times.
    Then between 2 and 20 percent of the requests are answered with field "version" "v2"
    And eventually within 30 seconds the query 'sum(istio_requests_total{reporter="source",destination_service_name="${unique}"})' gives at least 200
    And the query 'istio_requests_total{reporter="source",destination_service_name="${unique}",destination_version="v1"}' gives at least 160
    And the query 'istio_requests_total{reporter="source",destination_service_name="${unique}",destination_version="v2"}' gives at least 4
