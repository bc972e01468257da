@proxies @requires(mesh) @requires(demo)
Feature: What proxies work by
  istiod turns the mesh's objects into each proxy's clusters, listeners and routes; Envoy itself tells
  which it has.

  Scenario: A proxy knows the services of the mesh
    Then the proxy of "client" in namespace "demo" has the cluster "outbound|8080||backend.demo.svc.cluster.local"
    And the proxy of "client" in namespace "demo" has the virtual host "backend.demo.svc.cluster.local:8080"
    And the proxy of "client" in namespace "demo" has the route table "8080"
    And the proxy of "client" in namespace "demo" has the listener "virtualInbound"
    And the proxy of "client" in namespace "demo" has no cluster "outbound|8080||nobody.demo.svc.cluster.local"

  @istiod
  Scenario: A change arrives at the proxies, and leaves them again
    Then the configuration of the proxy of "client" in namespace "demo" does not contain "${unique}.istiolab.local"
    Given these objects in namespace "demo":
      """
      apiVersion: networking.istio.io/v1
      kind: ServiceEntry
      metadata:
        name: ${unique}
      spec:
        hosts: [${unique}.istiolab.local]
        location: MESH_EXTERNAL
        resolution: STATIC
        ports:
        - {number: 8080, name: http, protocol: HTTP}
        endpoints:
        - address: 192.0.2.1
      """
    Then eventually within 10 seconds the proxy of "client" in namespace "demo" has the cluster "outbound|8080||${unique}.istiolab.local"
    And the configuration of the proxy of "client" in namespace "demo" contains "${unique}.istiolab.local"
    And eventually within 10 seconds the proxy of "client" in namespace "demo" is in sync with istiod
