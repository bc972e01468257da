@shell @requires(cat) @requires(env)
Feature: Programs
  Those programs of this machine that the lab file names may be run, with the way to the lab's cluster.

  Scenario: Output, error output and exit code are kept apart
    When program "cat" is run with "/no/such/file"
    Then the exit code is 1
    And the output is ""
    And the error output contains "No such file"

  Scenario: A program is given an input, and its output is read as JSON
    When program "cat" is run with "-" and the input:
      """
      {"items": [{"name": "${unique}"}]}
      """
    Then the exit code is 0
    And field "items[0].name" of the output is "${unique}"
    And the output contains "items"
    And there is no error output

  Scenario: Programs find the lab's cluster
    When program "env" is run with ""
    Then the output matches '(?m)^KUBECONFIG=/.+/kubeconfig$'
    And program "env" with "" prints "KUBECONFIG="
