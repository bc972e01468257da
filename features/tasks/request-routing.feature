@tasks @routing @requires(mesh) @requires(tasks)
Feature: Request routing
  Which version answers depends on the request: on a header that names the user, or on the path. The
  route's answer says by a header of its own which rule it came by.

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
        - {name: v2, labels: {version: v2}}
      """

  Scenario: One user gets the new version, everybody else the old one
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - match:
          - headers: {end-user: {exact: jason}}
          route:
          - destination: {host: ${unique}, subset: v2}
        - headers: {response: {set: {x-rule: everybody}}}
          route:
          - destination: {host: ${unique}, subset: v1}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "everybody" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 10 requests to "http://${unique}:8080/" with headers:
      | end-user | jason |
    Then every request is answered with field "version" "v2"
    When "client" in namespace "tasks" sends 10 requests to "http://${unique}:8080/" with headers:
      | end-user | dora |
    Then every request is answered with field "version" "v1"
    When "client" in namespace "tasks" sends 10 requests to "http://${unique}:8080/"
    Then every request is answered with field "version" "v1"

  @tracing @requires(tracing)
  Scenario: The trace tells which version answered
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - headers: {response: {set: {x-rule: new}}}
          route:
          - destination: {host: ${unique}, subset: v2}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "new" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 1 request to "http://${unique}:8080/traced"
    Then every request is answered with status 200
    And eventually within 30 seconds the trace of the request from "client" spans "client.tasks, echo.tasks"

  Scenario: A path leads to a version, under another name
    Given these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - match:
          - uri: {prefix: /new/}
          rewrite: {uri: /}
          route:
          - destination: {host: ${unique}, subset: v2}
        - match:
          - uri: {exact: /moved}
          redirect: {uri: /new/home}
        - headers: {response: {set: {x-rule: old}}}
          route:
          - destination: {host: ${unique}, subset: v1}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "old" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 5 requests to "http://${unique}:8080/new/page"
    Then every request is answered with field "version" "v2"
    And field "path" of the answer is "/page"
    When "client" in namespace "tasks" sends 1 request to "http://${unique}:8080/moved"
    Then every request is answered with status 301
    And the answer has the header "location" with value "http://${unique}:8080/new/home"
