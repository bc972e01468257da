@tasks @security @requires(mesh) @requires(tasks)
Feature: Authorization
  The called side's proxy decides who may do what, by the identity in the caller's certificate, the
  method and the path.

  Scenario: What is allowed to some is forbidden to all others
    Then eventually within 30 seconds "caged" in namespace "tasks" gets status 200 from "http://vault:8080/open"
    Given these objects in namespace "tasks":
      """
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: ${unique}}
      spec:
        selector: {matchLabels: {app: vault}}
        action: ALLOW
        rules:
        - from: [{source: {principals: [cluster.local/ns/tasks/sa/client]}}]
          to: [{operation: {methods: [GET], paths: ["/open*"]}}]
      """
    Then eventually within 30 seconds "caged" in namespace "tasks" gets status 403 from "http://vault:8080/open"
    And the text of the answer contains "RBAC: access denied"
    When "client" in namespace "tasks" sends 3 requests to "http://vault:8080/open/door"
    Then every request is answered with status 200
    And the server saw the caller "spiffe://cluster.local/ns/tasks/sa/client"
    When "client" in namespace "tasks" sends 3 requests to "http://vault:8080/closed"
    Then every request is answered with status 403
    When "client" in namespace "tasks" sends 3 POST requests to "http://vault:8080/open/door"
    Then every request is answered with status 403
    When "caged" in namespace "tasks" sends 3 requests to "http://vault:8080/open/door"
    Then every request is answered with status 403

  @telemetry @requires(prometheus)
  Scenario: One path is forbidden to one caller
    Given these objects in namespace "tasks":
      """
      apiVersion: v1
      kind: Service
      metadata: {name: ${unique}}
      spec:
        selector: {app: tickets}
        ports: [{name: http, port: 8080}]
      ---
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: ${unique}}
      spec:
        selector: {matchLabels: {app: tickets}}
        action: DENY
        rules:
        - from: [{source: {principals: [cluster.local/ns/tasks/sa/caged]}}]
          to: [{operation: {paths: ["/${unique}/*"]}}]
      """
    Then eventually within 30 seconds "caged" in namespace "tasks" gets status 403 from "http://${unique}:8080/${unique}/secret"
    When "client" in namespace "tasks" sends 3 requests to "http://${unique}:8080/${unique}/secret"
    Then every request is answered with status 200
    When "caged" in namespace "tasks" sends 3 requests to "http://${unique}:8080/"
    Then every request is answered with status 200
    And eventually within 30 seconds the query 'istio_requests_total{reporter="destination",destination_service_name="${unique}",source_principal="spiffe://cluster.local/ns/tasks/sa/caged",response_code="403"}' gives at least 1
    And the query 'istio_requests_total{reporter="destination",destination_service_name="${unique}",source_principal="spiffe://cluster.local/ns/tasks/sa/client",response_code="403"}' gives nothing
