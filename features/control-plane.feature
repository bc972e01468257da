@istiod @requires(mesh)
Feature: The control plane
  istiod gives every proxy its certificate and its configuration.

  @requires(demo)
  Scenario: Every proxy is connected to istiod
    Then eventually within 20 seconds at least 5 proxies are connected to istiod

  @requires(demo)
  Scenario: Every proxy has accepted what istiod sent
    Then eventually within 20 seconds every proxy is in sync with istiod
    And the proxy of "frontend" in namespace "demo" is in sync with istiod
    And no proxy has rejected its configuration
    And istiod's metric "pilot_xds_pushes" is at least 1
