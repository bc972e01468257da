@tasks @security @requires(mesh) @requires(tasks)
Feature: Tokens of users
  The called side's proxy checks signed tokens (JSON Web Tokens) and lets rules look at what they say.
  The tokens here were signed once, with a key that was thrown away: the first two hold until the year
  2100, the third has expired, and the fourth was signed by somebody else.

  Scenario: Only who shows a good token of the right group gets in
    Given these objects in namespace "tasks":
      """
      apiVersion: security.istio.io/v1
      kind: RequestAuthentication
      metadata: {name: ${unique}}
      spec:
        selector: {matchLabels: {app: tickets}}
        jwtRules:
        - issuer: tickets.istiolab.local
          jwks: |
            {"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "tickets", "x": "tZzC439Mz7pMVwPunU9C8Cr9RiYsBwLcK34ZNo6d0vo", "y": "FHdJ2a6Fo5ALfYVohPgUCnraHl7YAfjQoQhkNSNKu6Y"}]}
      ---
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: ${unique}}
      spec:
        selector: {matchLabels: {app: tickets}}
        action: DENY
        rules:
        - from: [{source: {notRequestPrincipals: [tickets.istiolab.local/*]}}]
          to: [{operation: {paths: [/${unique}/*]}}]
        - to: [{operation: {paths: [/${unique}/readers/*]}}]
          when: [{key: "request.auth.claims[group]", notValues: [readers]}]
      """
    Then eventually within 30 seconds "client" in namespace "tasks" gets status 403 from "http://tickets:8080/${unique}/hall"
    And the text of the answer contains "RBAC: access denied"
    # A reader.
    And eventually within 30 seconds "client" in namespace "tasks" gets status 200 from "http://tickets:8080/${unique}/readers/book" with headers:
      | authorization | Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6InRpY2tldHMiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJ0aWNrZXRzLmlzdGlvbGFiLmxvY2FsIiwic3ViIjoiYW5uIiwiZ3JvdXAiOiJyZWFkZXJzIiwiaWF0IjoxNzY3MjI1NjAwLCJleHAiOjQxMDI0NDQ4MDB9.k_aD0teko2IeXCIbDNQq610HlWVFYk-A0pqJYJ0usI6AaeCwUuQ2zGaLke9RwUJFdXh8EhzBbS70MdZtCQdGRA |
    # A guest.
    When "client" in namespace "tasks" sends 3 requests to "http://tickets:8080/${unique}/hall" with headers:
      | authorization | Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6InRpY2tldHMiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJ0aWNrZXRzLmlzdGlvbGFiLmxvY2FsIiwic3ViIjoiYm9iIiwiZ3JvdXAiOiJndWVzdHMiLCJpYXQiOjE3NjcyMjU2MDAsImV4cCI6NDEwMjQ0NDgwMH0.Bs2qzh6pmlIj3LCQEY3PMyxBUyhwjIdzAKJsqbvZNlasSjrAapMztPEAi7A0BAO51opb1cfQHs6obxZROEwQRg |
    Then every request is answered with status 200
    When "client" in namespace "tasks" sends 3 requests to "http://tickets:8080/${unique}/readers/book" with headers:
      | authorization | Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6InRpY2tldHMiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJ0aWNrZXRzLmlzdGlvbGFiLmxvY2FsIiwic3ViIjoiYm9iIiwiZ3JvdXAiOiJndWVzdHMiLCJpYXQiOjE3NjcyMjU2MDAsImV4cCI6NDEwMjQ0NDgwMH0.Bs2qzh6pmlIj3LCQEY3PMyxBUyhwjIdzAKJsqbvZNlasSjrAapMztPEAi7A0BAO51opb1cfQHs6obxZROEwQRg |
    Then every request is answered with status 403
    # Too late.
    When "client" in namespace "tasks" sends 3 requests to "http://tickets:8080/${unique}/hall" with headers:
      | authorization | Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6InRpY2tldHMiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJ0aWNrZXRzLmlzdGlvbGFiLmxvY2FsIiwic3ViIjoiYW5uIiwiZ3JvdXAiOiJyZWFkZXJzIiwiaWF0IjoxNzM1Njg5NjAwLCJleHAiOjE3NjcyMjU2MDB9.Qz4WpCpbYRGczyTUNWRN1f8h-zRj07Vj5-iPyyg0uu1bepnDTciMjPIUDreZ9N9F-l2ZzvohZeWU-C3gGhhVkA |
    Then every request is answered with status 401
    And the text of the answer contains "Jwt is expired"
    # Signed by somebody else.
    When "client" in namespace "tasks" sends 3 requests to "http://tickets:8080/${unique}/hall" with headers:
      | authorization | Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6InRpY2tldHMiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJ0aWNrZXRzLmlzdGlvbGFiLmxvY2FsIiwic3ViIjoiYW5uIiwiZ3JvdXAiOiJyZWFkZXJzIiwiaWF0IjoxNzY3MjI1NjAwLCJleHAiOjQxMDI0NDQ4MDB9.SNk37Y7CAt6QKPnm7gqesfAPBBvVgrgLpwvk_NtFeXrjDWbV75SwmoVaxN5t2wJX-nTE7ri7puzBBuhWbpRTew |
    Then every request is answered with status 401
    And the text of the answer contains "Jwt verification fails"
    # Nobody needs a token where no rule asks for one.
    When "client" in namespace "tasks" sends 3 requests to "http://tickets:8080/elsewhere"
    Then every request is answered with status 200
