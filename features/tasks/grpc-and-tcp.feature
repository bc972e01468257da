@tasks @routing @requires(mesh) @requires(tasks)
Feature: gRPC and plain TCP
  Routes and faults hold for gRPC, call by call, as for any HTTP; plain TCP can be routed by port.

  Background:
    Given these objects in namespace "tasks":
      """
      apiVersion: v1
      kind: Service
      metadata: {name: ${unique}}
      spec:
        selector: {app: echo}
        ports:
        - {name: http, port: 8080}
        - {name: grpc, port: 9090}
        - {name: tcp, port: 9000}
      ---
      apiVersion: networking.istio.io/v1
      kind: DestinationRule
      metadata: {name: ${unique}}
      spec:
        host: ${unique}
        subsets:
        - {name: v1, labels: {version: v1}}
        - {name: v2, labels: {version: v2}}
      """

  @grpc
  Scenario: Calls over one connection are shared out between two versions
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
    When "client" in namespace "tasks" makes 60 gRPC calls to "http://${unique}:9090" with message "hello"
    Then every gRPC call ends with "OK"
    And every request is answered with field "text" "hello"
    # Of 60 throws of a coin, fewer than 12 or more than 48 are heads once in a million times.
    And between 20 and 80 percent of the requests are answered with field "version" "v1"
    And between 20 and 80 percent of the requests are answered with field "version" "v2"

  @grpc @faults
  Scenario: A fault is an error of gRPC
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - match: [{port: 9090}]
          fault: {abort: {grpcStatus: RESOURCE_EXHAUSTED, percentage: {value: 100}}}
          route:
          - destination: {host: ${unique}, subset: v1}
        - headers: {response: {set: {x-rule: other ports}}}
          route:
          - destination: {host: ${unique}, subset: v1}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "other ports" from "http://${unique}:8080/"
    When "client" in namespace "tasks" makes 5 gRPC calls to "http://${unique}:9090" with message "hello"
    Then every gRPC call ends with "RESOURCE_EXHAUSTED"
    When "client" in namespace "tasks" sends 3 requests to "http://${unique}:8080/"
    Then every request is answered with field "version" "v1"

  Scenario: A port of plain TCP leads to one version
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - headers: {response: {set: {x-rule: old}}}
          route:
          - destination: {host: ${unique}, subset: v1}
        tcp:
        - match: [{port: 9000}]
          route:
          - destination: {host: ${unique}, subset: v2}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "old" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends "hello" over TCP to "${unique}:9000" 10 times
    Then every TCP connection is answered
    And the text of the answer contains "echo v2 hello"
    When "client" in namespace "tasks" sends 3 requests to "http://${unique}:8080/"
    Then every request is answered with field "version" "v1"
