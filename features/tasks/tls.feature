@tasks @ingress @security @requires(mesh) @requires(tasks)
Feature: TLS at the way in
  The gateway proves by a certificate that it is the host that was asked for, and may want to know who asks.
  Each scenario has an authority of its own, and believes nobody else.

  Scenario: The gateway proves the host's name, and a name without a certificate is not there
    Given the Secret "${unique}" in namespace "istio-system" holds a certificate for "${unique}.istiolab.local"
    And these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: Gateway
      metadata: {name: ${unique}}
      spec:
        selector: {istio: ingressgateway}
        servers:
        - port: {number: 443, name: https, protocol: HTTPS}
          tls: {mode: SIMPLE, credentialName: ${unique}}
          hosts: [${unique}.istiolab.local]
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}.istiolab.local]
        gateways: [${unique}]
        http:
        - route:
          - destination: {host: echo, port: {number: 8080}}
      """
    Then eventually within 30 seconds the ingress gateway answers "https://${unique}.istiolab.local/" with status 200
    When 5 requests are sent through the ingress gateway to "https://${unique}.istiolab.local/by-tls"
    Then every request is answered with status 200
    And field "path" of the answer is "/by-tls"
    And field "headers.x-forwarded-proto" of the answer is "https"
    And the server saw the caller "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"
    When 2 requests are sent through the ingress gateway to "https://other-${unique}.istiolab.local/"
    Then no request is answered

  Scenario: A certificate for another name is not believed, and a new one is shown without a restart
    Given the Secret "${unique}" in namespace "istio-system" holds a certificate for "old-${unique}.istiolab.local"
    And these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: Gateway
      metadata: {name: ${unique}}
      spec:
        selector: {istio: ingressgateway}
        servers:
        - port: {number: 443, name: https, protocol: HTTPS}
          tls: {mode: SIMPLE, credentialName: ${unique}}
          hosts: [old-${unique}.istiolab.local, new-${unique}.istiolab.local]
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [old-${unique}.istiolab.local, new-${unique}.istiolab.local]
        gateways: [${unique}]
        http:
        - route:
          - destination: {host: echo, port: {number: 8080}}
      """
    Then eventually within 30 seconds the ingress gateway answers "https://old-${unique}.istiolab.local/" with status 200
    When 2 requests are sent through the ingress gateway to "https://new-${unique}.istiolab.local/"
    Then no request is answered
    Given the Secret "${unique}" in namespace "istio-system" holds a certificate for "new-${unique}.istiolab.local"
    Then eventually within 30 seconds the ingress gateway answers "https://new-${unique}.istiolab.local/" with status 200
    When 2 requests are sent through the ingress gateway to "https://old-${unique}.istiolab.local/"
    Then no request is answered

  Scenario: Only who shows a certificate gets in
    Given the Secret "${unique}" in namespace "istio-system" holds a certificate for "${unique}.istiolab.local"
    And these objects in namespace "tasks":
      """
      apiVersion: networking.istio.io/v1
      kind: Gateway
      metadata: {name: ${unique}}
      spec:
        selector: {istio: ingressgateway}
        servers:
        - port: {number: 443, name: https, protocol: HTTPS}
          tls: {mode: MUTUAL, credentialName: ${unique}}
          hosts: [${unique}.istiolab.local]
      ---
      apiVersion: networking.istio.io/v1
      kind: VirtualService
      metadata: {name: ${unique}}
      spec:
        hosts: [${unique}.istiolab.local]
        gateways: [${unique}]
        http:
        - route:
          - destination: {host: echo, port: {number: 8080}}
      """
    Then eventually within 30 seconds the ingress gateway answers "https://${unique}.istiolab.local/" with status 200 to a certificate for "jason"
    When 2 requests are sent through the ingress gateway to "https://${unique}.istiolab.local/" with a certificate for "jason"
    Then every request is answered with status 200
    When 2 requests are sent through the ingress gateway to "https://${unique}.istiolab.local/"
    Then no request is answered
