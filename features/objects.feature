@objects
Feature: Objects
  What a scenario brings is there, becomes ready, can be changed, and is gone at its end. What it changes
  on others' objects is as before at its end.

  @requires(plain)
  Scenario: A Deployment becomes ready, and Kubernetes tells what it does
    Given these objects in namespace "plain":
      """
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: ready-${unique}
        labels: {app.kubernetes.io/name: "ready"}
      spec:
        replicas: 1
        selector:
          matchLabels: {app: ready-${unique}}
        template:
          metadata:
            labels: {app: ready-${unique}}
          spec:
            terminationGracePeriodSeconds: 0
            containers:
            - name: app
              image: istiolab.local/demo:0.1.0
              imagePullPolicy: IfNotPresent
              readinessProbe:
                httpGet: {path: /healthz, port: 8080}
                periodSeconds: 1
              resources:
                requests: {cpu: 10m, memory: 16Mi}
      """
    Then Deployment "ready-${unique}" in namespace "plain" exists
    And Deployment "other-${unique}" in namespace "plain" does not exist
    And eventually within 60 seconds Deployment "ready-${unique}" in namespace "plain" is ready
    And Deployment "ready-${unique}" in namespace "plain" has these fields:
      | spec.replicas                             | 1                         |
      | spec.template.spec.containers[0].image    | istiolab.local/demo:0.1.0 |
      | metadata.labels["app.kubernetes.io/name"] | ready                     |
      | status.conditions[type=Available].status  | True                      |
    And there is an event with reason "ScalingReplicaSet" about Deployment "ready-${unique}" in namespace "plain"
    And there is an event with reason "ScalingReplicaSet" about Deployment "ready-${unique}" in namespace "plain" that says "to 1"
    And there is no event with reason "ReplicaSetCreateError" about Deployment "ready-${unique}" in namespace "plain"
    And container "app" of "ready-${unique}" in namespace "plain" runs the image "istiolab.local/demo:0.1.0"
    And no container of "ready-${unique}" in namespace "plain" has restarted
    And every pod of "ready-${unique}" in namespace "plain" runs on a node matching '^[a-z0-9-]+$'
    When Deployment "ready-${unique}" in namespace "plain" is scaled to 2 replicas
    Then eventually within 60 seconds, 2 times in a row, field "status.readyReplicas" of Deployment "ready-${unique}" in namespace "plain" is at least 2
    And there are 2 Pods in namespace "plain" with label "app=ready-${unique}"
    And the pods of "ready-${unique}" in namespace "plain" run on 1 node
    When within 2 minutes the pods of Deployment "ready-${unique}" in namespace "plain" are restarted
    Then there are at least 2 pods in namespace "plain" with label "app=ready-${unique}"
    When Deployment "ready-${unique}" in namespace "plain" is deleted
    Then Deployment "ready-${unique}" in namespace "plain" does not exist
    And there are 0 Pods in namespace "plain" with label "app=ready-${unique}"

  Scenario: Fields of objects are read and changed
    Given these objects:
      """
      apiVersion: rbac.authorization.k8s.io/v1
      kind: ClusterRole
      metadata:
        name: fields-${unique}
      rules:
      - apiGroups: [""]
        resources: [pods]
        verbs: [get, list]
      ---
      apiVersion: v1
      kind: ConfigMap
      metadata:
        name: fields-${unique}
        namespace: default
      data:
        number: "1"
      """
    Then field "rules[0].verbs[1]" of ClusterRole "fields-${unique}" is "list"
    And field "rules[0].verbs" of ClusterRole "fields-${unique}" matches '^\["get"'
    When ConfigMap "fields-${unique}" in namespace "default" is patched with:
      """
      data: {number: "3", text: brought}
      """
    Then 3 times in a row, field "data.number" of ConfigMap "fields-${unique}" in namespace "default" is at most 3
    And consistently for 300 ms ConfigMap "fields-${unique}" in namespace "default" has no field "data.other"
    When the label "tier" of ConfigMap "fields-${unique}" in namespace "default" is set to "front"
    Then there is at least 1 ConfigMap in namespace "default" with labels "tier=front,istiolab.dev/scenario=${unique}"

  @settled @requires(plain)
  Scenario: A change of others' objects is for the scenario alone
    When the label "scenario" of Deployment "first-istio" in namespace "plain" is set to "${unique}"
    Then field "metadata.labels.scenario" of Deployment "first-istio" in namespace "plain" is "${unique}"
