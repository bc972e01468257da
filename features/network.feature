@network
Feature: The pods' network
  Pods find each other by the names of services, whatever nodes they and the name server are on.

  @requires(plain)
  Scenario: Requests by a service's name
    When "first-istio" in namespace "plain" sends 5 requests to "http://first-istio:8080/network/${unique}"
    Then every request is answered with status 200

  @requires(plain)
  Scenario: Requests by a name in full
    When "first-istio" in namespace "plain" sends 5 requests to "http://first-istio.plain.svc.cluster.local:8080/full/${unique}"
    Then every request is answered with status 200
