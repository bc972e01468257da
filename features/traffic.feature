@traffic @requires(mesh) @requires(demo)
Feature: Traffic
  A workload of the mesh sends what it is told to, and what comes back is looked at closely.

  Scenario: A method and a body arrive
    When "client" in namespace "demo" sends 2 POST requests to "http://httpbin:8000/anything/${unique}" with body:
      """
      an order
      """
    Then every request is answered with status 200
    And field "method" of the answer is "POST"
    And field "url" of the answer matches "^http://httpbin:8000/anything/s[0-9a-f]{8}$"

  Scenario: Requests by a table
    When "client" in namespace "demo" sends these requests:
      | to                  | http://httpbin:8000/anything/${unique} |
      | method              | PUT                                    |
      | count               | 6                                      |
      | at a time           | 3                                      |
      | header content-type | text/plain                             |
      | header x-user       | jason                                  |
      | body                | for ${unique}                          |
    Then every request is answered with field "method" "PUT"
    And no request is answered with field "method" "GET"
    And 6 requests are answered with status 200
    And the answers' field "method" has these shares, give or take 0 points:
      | PUT | 100 |
    And every request is answered with field "headers.X-User" containing "jason"
    And field "data" of the answer contains "for ${unique}"
    And the answer has no field "headers.X-Nobody"

  Scenario: Headers of answers
    When "client" in namespace "demo" sends 3 requests to "http://httpbin:8000/response-headers?x-release=${unique}"
    Then the answer has the header "x-release" with value "${unique}"
    And at least 3 answers have the header "x-release" with value "${unique}"
    And the answer has no header "x-nobody"
    When header "x-release" of the answer is remembered as "release"
    And "client" in namespace "demo" sends 1 GET request to "http://httpbin:8000/anything" with headers:
      | x-release | ${release} |
    Then the text of the answer contains "${release}"
    And "client" in namespace "demo" gets an answer with field "method" "GET" from "http://httpbin:8000/anything" with headers:
      | x-release | ${release} |

  Scenario: Shares of what comes by chance
    When "client" in namespace "demo" sends 60 requests to "http://httpbin:8000/status/200:0.5,500:0.5", 4 at a time
    Then between 15 and 85 percent of the requests are answered with status 500
    And at least 5 requests are answered with status 200

  Scenario: A rate, and the time that answers take
    When "client" in namespace "demo" sends 6 requests to "http://httpbin:8000/delay/0.4" at 20 per second
    Then every request took at least 400 ms
    And every request took at most 5 seconds
    And between 0 and 0 percent of the requests took at least 5 seconds

  @gateway @route
  Scenario: Requests of any kind through the ingress gateway
    When these requests are sent through the ingress gateway:
      | count         | 2                                          |
      | header x-user | jason                                      |
      | to            | http://demo.istiolab.local/kinds/${unique} |
    Then every request is answered with field "path" "/kinds/${unique}"
    And every request is answered with field "name" "frontend"
    When 1 request is sent through the ingress gateway to "http://demo.istiolab.local/kinds/${unique}" with headers:
      | x-request-id | ${unique} |
    Then every request is answered with field "path" "/kinds/${unique}"
    When 2 POST requests are sent through the ingress gateway to "http://demo.istiolab.local/post/${unique}" with headers:
      | content-type | text/plain |
    Then every request is answered with field "path" "/post/${unique}"

  @gateway @route
  Scenario: The gateway knows its hosts and no others
    Then the ingress gateway answers "http://demo.istiolab.local/known/${unique}" with status 200
    And the ingress gateway answers "http://nobody.istiolab.local/unknown/${unique}" with status 404
    And the ingress gateway answers "http://demo.istiolab.local/fail?code=418" with status 418 with headers:
      | x-user | jason |
    And the ingress gateway answers "http://demo.istiolab.local/named/${unique}" with field "backend.name" containing "back"

  Scenario: The server counts what arrives
    When "client" in namespace "demo" sends 2 requests to "http://client:8080/arrived/${unique}"
    Then every request is answered with status 200
    And "client" in namespace "demo" has received at least 2 requests to "/arrived/${unique}"
    And "client" in namespace "demo" has received 2 requests to "/arrived/${unique}"
    And "client" in namespace "demo" has received 0 requests to "/lost/${unique}"

  @plain @strict @network @requires(plain)
  Scenario: Connections that are refused, closed and answered
    When "first-istio" in namespace "plain" sends "hello" over TCP to "127.0.0.1:9" 2 times
    Then every TCP connection is refused
    # The server's proxy takes the connection, but wants a certificate and no greeting.
    When "first-istio" in namespace "plain" sends "hello" over TCP to "backend.demo:8080"
    Then every TCP connection is closed without an answer
    # To a server of HTTP a greeting is a bad request, but it answers.
    When "first-istio" in namespace "plain" sends "hello" over TCP to "first-istio:8080"
    Then every TCP connection is answered
    And the text of the answer contains "400"
