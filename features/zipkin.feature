@zipkin @tracing @requires(zipkin) @requires(mesh) @requires(demo)
Feature: Traces in Zipkin
  Proxies report a span for each request that they pass on; the application only has to hand on the
  headers that say to which trace a request belongs.

  Scenario: One trace spans front end, proxies and back end
    When "client" in namespace "demo" sends 1 request to "http://frontend:8080/traced/${unique}"
    Then every request is answered with status 200
    And eventually within 15 seconds the trace of the request from "client" spans "client.demo, frontend.demo, backend.demo"
    And eventually within 5 seconds the trace of the request from "client" is at least 4 spans deep
    And eventually within 5 seconds the trace of the request from "client" has no gap

  @gateway @route
  Scenario: A trace begins at the ingress gateway
    When 1 request is sent through the ingress gateway to "http://demo.istiolab.local/traced/${unique}"
    Then every request is answered with status 200
    And eventually within 15 seconds the trace of the request from "the ingress gateway" spans "istio-ingressgateway.istio-system, frontend.demo, backend.demo"

  @sampling @requires(untraced)
  Scenario: Where sampling is off there is no trace
    When "first-istio" in namespace "untraced" sends 3 requests to "http://frontend.demo:8080/untraced/${unique}"
    Then every request is answered with status 200
    When "client" in namespace "demo" sends 1 request to "http://frontend:8080/after/${unique}"
    Then eventually within 15 seconds the trace of the request from "client" spans "client.demo, frontend.demo, backend.demo"
    And there is no trace of the request from "first-istio"

  Scenario: Spans have kinds, causes, tags and durations
    When "client" in namespace "demo" sends 1 request to "http://frontend:8080/spans/${unique}"
    Then every request is answered with status 200
    And eventually within 15 seconds the trace of the request from "client" has these spans:
      | service       | kind   | cause                | http.status_code | error |
      | client.demo   | client |                      | 200              |       |
      | frontend.demo | server | client.demo client   | 200              |       |
      | frontend.demo | client | frontend.demo server | 200              |       |
      | backend.demo  | server | frontend.demo client | 200              |       |
    And in the trace of the request from "client", the server span of "backend.demo" has the tag "http.method" with value "GET"
    And in the trace of the request from "client", the server span of "backend.demo" was caused by the client span of "frontend.demo"
    And in the trace of the request from "client", the client span of "client.demo" took at least 1 ms
    And in the trace of the request from "client", the server span of "backend.demo" took at most 5 seconds
    And Zipkin knows the services "client.demo, frontend.demo, backend.demo"

  Scenario: Where everything is sampled, every request has a trace
    When "client" in namespace "demo" sends 10 requests to "http://backend:8080/each/${unique}", each with an id of its own
    Then every request is answered with status 200
    And eventually within 15 seconds between 100 and 100 percent of the requests have a trace
