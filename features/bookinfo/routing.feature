@bookinfo @routing @serial @requires(mesh) @requires(bookinfo)
Feature: Routes between the versions of the reviews
  The page asks for reviews by their name alone; which version answers is for the mesh to say. A pod's name tells its
  version. A route has arrived when the page's proxy has it and answers in a row say so.

  Scenario: Without a route every version answers
    Then eventually within 15 seconds the ingress gateway answers "http://bookinfo.istiolab.local/api/v1/products/0/reviews" with field "podname" containing "reviews-v1-"
    And eventually within 15 seconds the ingress gateway answers "http://bookinfo.istiolab.local/api/v1/products/0/reviews" with field "podname" containing "reviews-v2-"
    And eventually within 15 seconds the ingress gateway answers "http://bookinfo.istiolab.local/api/v1/products/0/reviews" with field "podname" containing "reviews-v3-"
    When 60 requests are sent through the ingress gateway to "http://bookinfo.istiolab.local/api/v1/products/0/reviews"
    Then every request is answered with status 200
    And between 10 and 60 percent of the requests are answered with field "podname" containing "reviews-v1-"
    And between 10 and 60 percent of the requests are answered with field "podname" containing "reviews-v2-"
    And between 10 and 60 percent of the requests are answered with field "podname" containing "reviews-v3-"

  Scenario: A route leads everybody to one version
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
          - destination: {host: reviews, subset: v3}
      """
    Then eventually within 15 seconds the configuration of the proxy of "productpage-v1" in namespace "bookinfo" contains "reviews-${unique}"
    And eventually within 15 seconds, 5 times in a row, the ingress gateway answers "http://bookinfo.istiolab.local/api/v1/products/0/reviews" with field "podname" containing "reviews-v3-"
    When 20 requests are sent through the ingress gateway to "http://bookinfo.istiolab.local/api/v1/products/0/reviews"
    Then every request is answered with field "podname" containing "reviews-v3-"
    And field "reviews.0.rating.color" of the answer is "red"

  Scenario: A user who has signed in gets another version
    Given these objects in namespace "bookinfo":
      """
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata:
        name: reviews-${unique}
      spec:
        hosts: [reviews]
        http:
        - match:
          - headers: {end-user: {exact: jason}}
          route:
          - destination: {host: reviews, subset: v2}
        - route:
          - destination: {host: reviews, subset: v1}
      """
    When 1 POST request is sent through the ingress gateway to "http://bookinfo.istiolab.local/login?username=jason" with headers:
      | referer | http://bookinfo.istiolab.local/productpage |
    Then every request is answered with status 302
    When header "set-cookie" of the answer is remembered as "jason"
    Then eventually within 15 seconds the configuration of the proxy of "productpage-v1" in namespace "bookinfo" contains "reviews-${unique}"
    And eventually within 15 seconds, 5 times in a row, the ingress gateway answers "http://bookinfo.istiolab.local/api/v1/products/0/reviews" with field "podname" containing "reviews-v2-" with headers:
      | cookie | ${jason} |
    When 10 requests are sent through the ingress gateway to "http://bookinfo.istiolab.local/api/v1/products/0/reviews" with headers:
      | cookie | ${jason} |
    Then every request is answered with field "podname" containing "reviews-v2-"
    And field "reviews.0.rating.color" of the answer is "black"
    When 10 requests are sent through the ingress gateway to "http://bookinfo.istiolab.local/api/v1/products/0/reviews"
    Then every request is answered with field "podname" containing "reviews-v1-"
    And the answer has no field "reviews.0.rating"
    When 1 request is sent through the ingress gateway to "http://bookinfo.istiolab.local/productpage" with headers:
      | cookie | ${jason} |
    Then the text of the answer contains "Sign out"
    And the text of the answer contains "glyphicon-star"

  Scenario: Requests are shifted from one version to another
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
          - {destination: {host: reviews, subset: v1}, weight: 50}
          - {destination: {host: reviews, subset: v3}, weight: 50}
      """
    Then eventually within 15 seconds the configuration of the proxy of "productpage-v1" in namespace "bookinfo" contains "reviews-${unique}"
    And eventually within 15 seconds the ingress gateway answers "http://bookinfo.istiolab.local/api/v1/products/0/reviews" with field "podname" containing "reviews-v3-"
    When 100 requests are sent through the ingress gateway to "http://bookinfo.istiolab.local/api/v1/products/0/reviews"
    Then every request is answered with status 200
    And between 30 and 70 percent of the requests are answered with field "podname" containing "reviews-v1-"
    And between 30 and 70 percent of the requests are answered with field "podname" containing "reviews-v3-"
    And between 0 and 0 percent of the requests are answered with field "podname" containing "reviews-v2-"
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
          - {destination: {host: reviews, subset: v1}, weight: 0}
          - {destination: {host: reviews, subset: v3}, weight: 100}
      """
    Then eventually within 15 seconds, 10 times in a row, the ingress gateway answers "http://bookinfo.istiolab.local/api/v1/products/0/reviews" with field "podname" containing "reviews-v3-"
    When 20 requests are sent through the ingress gateway to "http://bookinfo.istiolab.local/api/v1/products/0/reviews"
    Then every request is answered with field "podname" containing "reviews-v3-"
