//! The command line itself: what is understood, what is not, and how that is said.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

fn run(args: &[&str]) -> String {
    Sandbox::new().run(args)
}

#[test]
fn help_names_every_verb_and_exit_code() {
    assert_snapshot!(run(&["--help"]), @"
    exit: 0
    --- stdout
    Installs a service-mesh lab from one file, proves that it works, and takes it down again

    Usage: istiolab [OPTIONS] <COMMAND>

    Commands:
      doctor      Check what labs need of this machine: engine, kernel limits, room, toolchains
      plan        Show what `up` would do with the lab's objects; changes nothing
      up          Bring the lab up; on a lab that is up, change nothing
      test        Run the lab's scenarios
      run         Bring the lab up, run its scenarios, report
      status      Show how the lab stands; changes nothing
      collect     Collect what explains how the lab stands in one file, without what is secret
      down        Take the lab down: cluster, registry and state go; built images stay in the cache
      inject      Inject proxies by hand into the objects of --file: YAML in, YAML out
      convert     Convert the objects of --file to API versions that a cluster serves: YAML in, YAML out
      graph       Show who calls whom in the mesh, from Prometheus' metrics
      steps       Show the steps that scenarios are written in
      lint        Look for faults in the lab's feature files, without a cluster
      selftest    Prove that the lab's scenarios fail when they should
      images      Build and show the images that labs are made of
      schema      Print the JSON Schema of lab files
      completion  Print a script that completes istiolab's command line
      version     Print the version
      help        Print this message or the help of the given subcommand(s)

    Options:
      -f, --file <FILE>
              The lab file, `-` for standard input [default: scenarios/quickstart.yaml here or above]

          --timeout <TIME>
              Give up after this time, with a unit: 90s, 15m, 1h

      -y, --yes
              Answer yes to every question

      -o, --output <FORM>
              The form of what goes to standard output

              Possible values:
              - text: For people; where objects are printed, YAML
              - json: For programs
              
              [default: text]

          --report <FORMAT=PATH>
              Report files to write: junit=PATH, json=PATH, html=PATH, messages=PATH

          --color <WHEN>
              When to use colours

              Possible values:
              - auto:   On a terminal, unless `NO_COLOR` is set
              - always: Always
              - never:  Never
              
              [default: auto]

      -q, --quiet
              Show only warnings, failures and totals

      -v, --verbose
              Show every detail

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Exit codes:
       0  ok
       1  unexpected
       2  changes are pending (plan --exit-code)
      64  the command line is wrong
      65  a file is wrong
      69  the engine, the cluster or a registry does not answer
      75  timed out
      77  refused: it would destroy what is not ours
      79  scenarios failed
     130  interrupted
    ");
}

#[test]
fn nothing_asked_for() {
    assert!(run(&[]).starts_with("exit: 64\n--- stderr\n"), "{}", run(&[]));
}

#[test]
fn an_unknown_verb() {
    assert_snapshot!(run(&["statsu"]), @"
    exit: 64
    --- stderr
    error: unrecognized subcommand 'statsu'

      tip: some similar subcommands exist: 'steps', 'status'

    Usage: istiolab [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn an_unknown_flag() {
    assert_snapshot!(run(&["up", "--fiel", "x"]), @"
    exit: 64
    --- stderr
    error: unexpected argument '--fiel' found

      tip: a similar argument exists: '--file'

    Usage: istiolab up --file <FILE>

    For more information, try '--help'.
    ");
}

#[test]
fn a_time_without_a_unit() {
    assert_snapshot!(run(&["up", "--timeout", "5"]), @"
    exit: 64
    --- stderr
    error: invalid value '5' for '--timeout <TIME>': write it with a unit, such as 90s, 15m or 1h

    For more information, try '--help'.
    ");
}

#[test]
fn a_report_of_an_unknown_format() {
    assert_snapshot!(run(&["run", "--report", "junit=a.xml,pdf=b"]), @"
    exit: 64
    --- stderr
    error: invalid value 'pdf=b' for '--report <FORMAT=PATH>': unknown report format `pdf`; known: junit, json, html, messages

    For more information, try '--help'.
    ");
}

#[test]
fn quiet_and_verbose() {
    assert_snapshot!(run(&["up", "-q", "-v"]), @"
    exit: 64
    --- stderr
    error: the argument '--quiet' cannot be used with '--verbose'

    Usage: istiolab up --quiet

    For more information, try '--help'.
    ");
}

#[test]
fn version() {
    assert_snapshot!(run(&["version"]), @"
    exit: 0
    --- stdout
    istiolab [VERSION]
    ");
    assert_snapshot!(run(&["version", "-o", "json"]), @r#"
    exit: 0
    --- stdout
    {
      "version": "[VERSION]",
      "labApiVersion": "istiolab.dev/v1alpha1"
    }
    "#);
    assert_eq!(run(&["--version"]), run(&["version"]));
}

#[test]
fn no_home_to_keep_things_in() {
    let output = Sandbox::new().command(&["status"]).env_clear().output().expect("istiolab can be started");
    assert_eq!(output.status.code(), Some(64));
    assert_snapshot!(String::from_utf8_lossy(&output.stderr), @"
    error: no folder to use: neither ISTIOLAB_CACHE, XDG_CACHE_HOME nor HOME is set
    hint: Set ISTIOLAB_CACHE to an absolute path.
    ");
}
