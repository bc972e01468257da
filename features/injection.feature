@injection @requires(mesh)
Feature: Sidecar injection
  A workload of the mesh runs beside a proxy. The proxy gets into the pod in one of two ways: by a
  label on the namespace, which has the API server ask istiod for each new pod, or by hand, before
  the workload is applied.

  @plain @bare @settled @requires(plain)
  Scenario: Without injection a pod has its own container alone
    Given namespace "plain" has the label "istio-injection" with value ""
    Then every pod of "first-istio" in namespace "plain" has 1 container
    And every pod of "first-istio" in namespace "plain" is ready
    And no pod of "first-istio" in namespace "plain" has a container named "istio-proxy"

  @webhook @requires(demo)
  Scenario: With the namespace's label a new pod gets a proxy
    Given namespace "demo" has the label "istio-injection" with value "enabled"
    And these objects in namespace "demo":
      """
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: by-label-${unique}
      spec:
        replicas: 1
        selector:
          matchLabels: {app: by-label-${unique}}
        strategy: {type: Recreate}
        template:
          metadata:
            labels: {app: by-label-${unique}, version: v1}
          spec:
            terminationGracePeriodSeconds: 0
            containers:
            - name: app
              image: istiolab.local/demo:0.1.0
              imagePullPolicy: IfNotPresent
              ports:
              - containerPort: 8080
              readinessProbe:
                httpGet: {path: /healthz, port: 8080}
                periodSeconds: 1
              resources:
                requests: {cpu: 10m, memory: 16Mi}
      """
    Then eventually within 10 seconds every pod of "by-label-${unique}" in namespace "demo" has 2 containers
    And every pod of "by-label-${unique}" in namespace "demo" has a container named "istio-proxy"
    And every pod of "frontend" in namespace "demo" has 2 containers
    And every pod of "frontend" in namespace "demo" is ready

  @manual @requires(manual)
  Scenario: A workload injected by hand has a proxy without any label
    Given namespace "manual" has the label "istio-injection" with value ""
    Then every pod of "first-istio" in namespace "manual" has 2 containers
    And every pod of "first-istio" in namespace "manual" has a container named "istio-proxy"
    And every pod of "first-istio" in namespace "manual" is ready

  @by-hand @requires(plain)
  Scenario: Injection by hand can be undone
    Given these objects in namespace "plain":
      """
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: by-hand-${unique}
      spec:
        replicas: 1
        selector:
          matchLabels: {app: by-hand-${unique}}
        strategy: {type: Recreate}
        template:
          metadata:
            labels: {app: by-hand-${unique}, version: v1}
          spec:
            terminationGracePeriodSeconds: 0
            containers:
            - name: app
              image: istiolab.local/demo:0.1.0
              imagePullPolicy: IfNotPresent
              ports:
              - containerPort: 8080
              readinessProbe:
                httpGet: {path: /healthz, port: 8080}
                periodSeconds: 1
              resources:
                requests: {cpu: 10m, memory: 16Mi}
      """
    Then eventually within 20 seconds every pod of "by-hand-${unique}" in namespace "plain" has 1 container
    When they are injected by hand
    Then eventually within 20 seconds every pod of "by-hand-${unique}" in namespace "plain" has 2 containers
    And every pod of "by-hand-${unique}" in namespace "plain" has a container named "istio-proxy"
    When the injection is undone
    Then eventually within 20 seconds every pod of "by-hand-${unique}" in namespace "plain" has 1 container
    And eventually within 30 seconds every pod of "by-hand-${unique}" in namespace "plain" is ready
