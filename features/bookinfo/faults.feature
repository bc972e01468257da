@bookinfo @faults @serial @requires(mesh) @requires(bookinfo)
Feature: Faults in Bookinfo
  A mesh can make a service slow or broken for one user alone, and so show what an application does then. Bookinfo has a
  fault of its own: the page waits three seconds for reviews, twice; their second version waits ten for ratings.

  Scenario: Ratings that are slow take the reviews off the page
    Given these objects in namespace "bookinfo":
      """
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata:
        name: reviews-${unique}
      spec:
        hosts: [reviews]
        http:
        - route:
          - destination: {host: reviews, subset: v2}
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata:
        name: ratings-${unique}
      spec:
        hosts: [ratings]
        http:
        - match:
          - headers: {end-user: {exact: "${unique}"}}
          fault:
            delay: {percentage: {value: 100}, fixedDelay: 7s}
          route:
          - destination: {host: ratings, subset: v1}
        - route:
          - destination: {host: ratings, subset: v1}
      """
    Then eventually within 15 seconds the configuration of the proxy of "productpage-v1" in namespace "bookinfo" contains "reviews-${unique}"
    And eventually within 15 seconds the configuration of the proxy of "reviews-v2" in namespace "bookinfo" contains "ratings-${unique}"
    And eventually within 15 seconds, 5 times in a row, the ingress gateway answers "http://bookinfo.istiolab.local/api/v1/products/0/reviews" with field "podname" containing "reviews-v2-"
    When 1 POST request is sent through the ingress gateway to "http://bookinfo.istiolab.local/login?username=${unique}" with headers:
      | referer | http://bookinfo.istiolab.local/productpage |
    Then every request is answered with status 302
    When header "set-cookie" of the answer is remembered as "session"
    And 1 request is sent through the ingress gateway to "http://bookinfo.istiolab.local/productpage" with headers:
      | cookie | ${session} |
    Then every request is answered with status 200
    And every request took at least 6 seconds
    And the text of the answer contains "Sorry, product reviews are currently unavailable for this book."
    And the text of the answer contains "Book Details"
    When 1 request is sent through the ingress gateway to "http://bookinfo.istiolab.local/productpage"
    Then every request is answered with status 200
    And every request took at most 3 seconds
    And the text of the answer contains "glyphicon-star"

  Scenario: The third version gives up on ratings in time
    Given these objects in namespace "bookinfo":
      """
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata:
        name: ratings-${unique}
      spec:
        hosts: [ratings]
        http:
        - match:
          - headers: {end-user: {exact: "${unique}"}}
          fault:
            delay: {percentage: {value: 100}, fixedDelay: 7s}
          route:
          - destination: {host: ratings, subset: v1}
        - route:
          - destination: {host: ratings, subset: v1}
      """
    Then eventually within 15 seconds the configuration of the proxy of "reviews-v3" in namespace "bookinfo" contains "ratings-${unique}"
    When "client" in namespace "bookinfo" sends 1 request to "http://reviews-v3:9080/reviews/0" with headers:
      | end-user | ${unique} |
    Then every request is answered with status 200
    And every request took at least 2 seconds
    And every request took at most 6 seconds
    And field "reviews.0.rating.error" of the answer is "Ratings service is currently unavailable"

  Scenario: Ratings that fail leave the reviews without stars
    Given these objects in namespace "bookinfo":
      """
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata:
        name: ratings-${unique}
      spec:
        hosts: [ratings]
        http:
        - match:
          - headers: {end-user: {exact: "${unique}"}}
          fault:
            abort: {percentage: {value: 100}, httpStatus: 500}
          route:
          - destination: {host: ratings, subset: v1}
        - route:
          - destination: {host: ratings, subset: v1}
      """
    Then eventually within 15 seconds the configuration of the proxy of "reviews-v2" in namespace "bookinfo" contains "ratings-${unique}"
    When "client" in namespace "bookinfo" sends 3 requests to "http://reviews-v2:9080/reviews/0" with headers:
      | end-user | ${unique} |
    Then every request is answered with field "reviews.0.rating.error" "Ratings service is currently unavailable"
    When "client" in namespace "bookinfo" sends 3 requests to "http://reviews-v2:9080/reviews/0"
    Then every request is answered with field "reviews.0.rating.stars" "5"
