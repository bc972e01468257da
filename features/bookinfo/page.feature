@bookinfo @requires(mesh) @requires(bookinfo)
Feature: Bookinfo's page
  A page in Python shows what two services say of a book: details, in Ruby, and reviews, in Java. Two of the
  reviews' three versions ask a fourth service for stars: ratings, in JavaScript.

  Scenario: The page shows the book, its details and its reviews
    When 3 requests are sent through the ingress gateway to "http://bookinfo.istiolab.local/productpage?${unique}"
    Then every request is answered with status 200
    And the text of the answer contains "The Comedy of Errors"
    And the text of the answer contains "Book Details"
    And the text of the answer contains "1234567890"
    And the text of the answer contains "Book Reviews"
    And the text of the answer contains "An extremely entertaining play by Shakespeare."

  Scenario: Details are what the service in Ruby knows
    When 1 request is sent through the ingress gateway to "http://bookinfo.istiolab.local/api/v1/products/0"
    Then every request is answered with status 200
    And field "author" of the answer is "William Shakespeare"
    And field "pages" of the answer is "200"
    And field "ISBN-10" of the answer is "1234567890"

  Scenario: Ratings are what the service in JavaScript keeps
    When 1 request is sent through the ingress gateway to "http://bookinfo.istiolab.local/api/v1/products/0/ratings"
    Then every request is answered with status 200
    And field "ratings.Reviewer1" of the answer is "5"
    And field "ratings.Reviewer2" of the answer is "4"

  Scenario: The first version of the reviews has no stars
    When "client" in namespace "bookinfo" sends 3 requests to "http://reviews-v1:9080/reviews/0"
    Then every request is answered with status 200
    And every request is answered with field "podname" containing "reviews-v1-"
    And field "reviews.1.reviewer" of the answer is "Reviewer2"
    And the answer has no field "reviews.0.rating"

  Scenario Outline: Version <version> of the reviews has <color> stars
    When "client" in namespace "bookinfo" sends 3 requests to "http://reviews-<version>:9080/reviews/0"
    Then every request is answered with status 200
    And every request is answered with field "podname" containing "reviews-<version>-"
    And field "reviews.0.rating.color" of the answer is "<color>"
    And field "reviews.0.rating.stars" of the answer is "5"
    And field "reviews.1.rating.stars" of the answer is "4"

    Examples:
      | version | color |
      | v2      | black |
      | v3      | red   |

  @prometheus @requires(prometheus)
  Scenario: Prometheus counts who called which version
    Given the sum of 'istio_requests_total{reporter="destination",destination_workload="reviews-v2",response_code="200"}' is remembered
    And the sum of 'istio_requests_total{reporter="source",source_workload="reviews-v2",destination_workload="ratings-v1",response_code="200"}' is remembered
    When "client" in namespace "bookinfo" sends 6 requests to "http://reviews-v2:9080/reviews/0"
    Then every request is answered with status 200
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="destination",destination_workload="reviews-v2",response_code="200"}' has risen by at least 6
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="source",source_workload="reviews-v2",destination_workload="ratings-v1",response_code="200"}' has risen by at least 6

  @prometheus @requires(prometheus)
  Scenario: Each service is called under its caller's identity
    Given the sum of 'istio_requests_total{reporter="destination",destination_workload="details-v1",source_principal="spiffe://cluster.local/ns/bookinfo/sa/bookinfo-productpage"}' is remembered
    When 4 requests are sent through the ingress gateway to "http://bookinfo.istiolab.local/productpage?${unique}"
    Then every request is answered with status 200
    And eventually within 15 seconds the sum of 'istio_requests_total{reporter="destination",destination_workload="details-v1",source_principal="spiffe://cluster.local/ns/bookinfo/sa/bookinfo-productpage"}' has risen by at least 4

  @tracing @requires(tracing)
  Scenario: One trace leads through the page to what it asks
    When "client" in namespace "bookinfo" sends 1 request to "http://productpage:9080/productpage?${unique}"
    Then every request is answered with status 200
    And eventually within 15 seconds the trace of the request from "client" spans "client.bookinfo, productpage.bookinfo, details.bookinfo, reviews.bookinfo"
    And eventually within 5 seconds the trace of the request from "client" has no gap

  @tracing @requires(tracing)
  Scenario: Reviews hand the trace on to ratings
    When "client" in namespace "bookinfo" sends 1 request to "http://reviews-v3:9080/reviews/0?${unique}"
    Then every request is answered with status 200
    And eventually within 15 seconds the trace of the request from "client" spans "client.bookinfo, reviews.bookinfo, ratings.bookinfo"
    And eventually within 5 seconds the trace of the request from "client" is at least 4 spans deep
