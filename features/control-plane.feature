@istiod @requires(mesh)
Feature: The control plane
  istiod gives every proxy its certificate and its configuration.

  @requires(demo)
  Scenario: Every proxy is connected to istiod
    Then eventually within 20 seconds at least 5 proxies are connected to istiod
