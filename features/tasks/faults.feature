@tasks @faults @requires(mesh) @requires(tasks)
Feature: Injected faults
  The caller's proxy makes requests late, or answers them itself, to show how callers bear it.

  Scenario: One user's requests are delayed
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
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - match:
          - headers: {end-user: {exact: jason}}
          fault: {delay: {fixedDelay: 2s, percentage: {value: 100}}}
          route:
          - destination: {host: ${unique}}
        - headers: {response: {set: {x-rule: everybody}}}
          route:
          - destination: {host: ${unique}}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "everybody" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 5 requests to "http://${unique}:8080/"
    Then every request is answered with status 200
    And every request took at most 1900 ms
    When "client" in namespace "tasks" sends 2 requests to "http://${unique}:8080/" with headers:
      | end-user | jason |
    Then every request is answered with status 200
    And every request took at least 2 seconds
    And eventually within 30 seconds the proxy of "client" in namespace "tasks" logged the request from "client" with:
      | response code  | 200 |
      | response flags | DI  |

  Scenario: One user's requests are refused
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
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}]
        http:
        - match:
          - headers: {end-user: {exact: jason}}
          fault: {abort: {httpStatus: 555, percentage: {value: 100}}}
          route:
          - destination: {host: ${unique}}
        - match:
          - headers: {end-user: {exact: dora}}
          fault: {abort: {httpStatus: 503, percentage: {value: 50}}}
          route:
          - destination: {host: ${unique}}
        - headers: {response: {set: {x-rule: everybody}}}
          route:
          - destination: {host: ${unique}}
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets an answer with header "x-rule" "everybody" from "http://${unique}:8080/"
    When "client" in namespace "tasks" sends 5 requests to "http://${unique}:8080/" with headers:
      | end-user | jason |
    Then every request is answered with status 555
    And the text of the answer contains "fault filter abort"
    And eventually within 30 seconds the proxy of "client" in namespace "tasks" logged the request from "client" with:
      | response code  | 555 |
      | response flags | FI  |
    # Of 100 throws of a coin, fewer than 30 or more than 70 are heads once in 30,000 times.
    When "client" in namespace "tasks" sends 100 requests to "http://${unique}:8080/" with headers:
      | end-user | dora |
    Then between 30 and 70 percent of the requests are answered with status 503
    And between 30 and 70 percent of the requests are answered with status 200
    When "client" in namespace "tasks" sends 5 requests to "http://${unique}:8080/"
    Then every request is answered with status 200
