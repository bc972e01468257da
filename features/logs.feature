@logs
Feature: Logs
  What containers write is read since the scenario began; of what proxies write, the lines of the
  scenario's own request are found by its x-request-id.

  @requires(mesh) @requires(demo)
  Scenario: Both proxies on the way log a request
    When "client" in namespace "demo" sends 1 request to "http://frontend:8080/logged/${unique}"
    Then every request is answered with status 200
    And eventually within 20 seconds the proxy of "client" in namespace "demo" logged the request from "client" with:
      | method           | GET                                               |
      | response code    | 200                                               |
      | response flags   | -                                                 |
      | upstream cluster | outbound\|8080\|\|frontend.demo.svc.cluster.local |
    And eventually within 20 seconds the proxy of "frontend" in namespace "demo" logged 2 lines of the request from "client"
    And eventually within 20 seconds the log of container "istio-proxy" of "frontend" in namespace "demo" has 2 lines with "/logged/${unique}"

  @requires(plain)
  Scenario: A container that ends at once says why, and is started again
    Given these objects in namespace "plain":
      """
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: ends-${unique}
      spec:
        replicas: 1
        selector:
          matchLabels: {app: ends-${unique}}
        template:
          metadata:
            labels: {app: ends-${unique}}
          spec:
            terminationGracePeriodSeconds: 0
            containers:
            - name: app
              image: istiolab.local/demo:0.1.0
              imagePullPolicy: IfNotPresent
              env:
              - {name: LISTEN, value: nowhere-${unique}}
              resources:
                requests: {cpu: 10m, memory: 16Mi}
      """
    Then eventually within 60 seconds container "app" of "ends-${unique}" in namespace "plain" has restarted at least 1 time
    And the log of container "app" of "ends-${unique}" in namespace "plain" has a line with "LISTEN"
    And the log of container "app" of "ends-${unique}" in namespace "plain" has a line matching '^Error: '
    And the log of container "app" of "ends-${unique}" in namespace "plain" has no line with "panicked"
