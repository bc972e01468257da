@tasks @injection @requires(mesh)
Feature: First steps with Istio
  What a first course does by hand: a workload without a proxy, the same in a namespace whose label asks
  for proxies, and the consoles through an Ingress as it was written in those days.

  @requires(tasks)
  Scenario: A namespace is made, labelled, and its workload has a proxy
    Given these objects in namespace "first-${unique}":
      """
      apiVersion: v1
      kind: Namespace
      metadata:
        name: first-${unique}
        labels: {istio-injection: enabled}
      ---
      apiVersion: v1
      kind: ServiceAccount
      metadata: {name: first-istio}
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: first-istio}
      spec:
        replicas: 1
        selector:
          matchLabels: {app: first-istio}
        template:
          metadata:
            labels: {app: first-istio}
          spec:
            serviceAccountName: first-istio
            terminationGracePeriodSeconds: 0
            containers:
            - name: first-istio
              image: istiolab.local/demo:0.1.0
              imagePullPolicy: IfNotPresent
              env:
              - {name: NAME, value: first-istio}
              ports:
              - containerPort: 8080
              readinessProbe:
                httpGet: {path: /healthz, port: 8080}
                periodSeconds: 1
              resources:
                requests: {cpu: 10m, memory: 16Mi}
      ---
      apiVersion: v1
      kind: Service
      metadata: {name: first-istio}
      spec:
        type: ClusterIP
        selector: {app: first-istio}
        ports:
        - {name: http, port: 80, protocol: TCP, targetPort: 8080}
      """
    Then namespace "first-${unique}" has the label "istio-injection" with value "enabled"
    And eventually within 20 seconds every pod of "first-istio" in namespace "first-${unique}" has 2 containers
    And every pod of "first-istio" in namespace "first-${unique}" has a container named "istio-proxy"
    And eventually within 30 seconds every pod of "first-istio" in namespace "first-${unique}" is ready
    And eventually within 30 seconds "client" in namespace "tasks" gets status 200 from "http://first-istio.first-${unique}/dockerfile"
    And field "path" of the answer is "/dockerfile"
    And the server saw the caller "spiffe://cluster.local/ns/tasks/sa/client"

  @requires(ingress) @requires(prometheus)
  Scenario: Prometheus has a name at the ingress gateway
    Then eventually within 30 seconds the ingress gateway answers "http://prometheus.istiolab.local/-/ready" with status 200
    When 1 request is sent through the ingress gateway to "http://prometheus.istiolab.local/api/v1/query?query=vector(7)"
    Then every request is answered with status 200
    And field "data.result.0.value.1" of the answer is "7"

  @requires(ingress) @requires(grafana)
  Scenario: Grafana has a name at the ingress gateway
    Then eventually within 30 seconds the ingress gateway answers "http://grafana.istiolab.local/api/health" with status 200
    When 1 request is sent through the ingress gateway to "http://grafana.istiolab.local/api/health"
    Then every request is answered with status 200
    And field "database" of the answer is "ok"

  @requires(ingress)
  Scenario: What is written for a cluster of long ago is brought to today's version
    Then field "spec.rules[0].http.paths[0].backend.service.port.number" of Ingress "prometheus-ingress" in namespace "istio-system" is "9090"
