//! Programs of this machine, which the lab file names and pins.

use super::{judgement, step};
use crate::verify::arguments::Arguments;
use crate::verify::path::{Path, plain};
use crate::verify::programs::Ended;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 10] = [
    step!(
        "shell",
        Action,
        "program {string} is run with {string}",
        run,
        "Runs a program that the lab file allows (features.programs), in the version that it pins, with the lab's \
         KUBECONFIG and at most 45 seconds long. The arguments are words, in quotes where they have blanks; no shell \
         reads them."
    ),
    step!(
        "shell",
        Action,
        "program {string} is run with {string} and the input:",
        run_with_input,
        "The same, with the text as standard input."
    ),
    step!(
        "shell",
        Check,
        "program {string} with {string} prints {string}",
        prints,
        "Runs a program that changes nothing, so that it may be run again and again: it ends with exit code 0, and its \
         output contains the text."
    ),
    judgement!(
        "shell",
        "the exit code is {int}",
        exit_code,
        "The program that was run last ended with this exit code."
    ),
    judgement!(
        "shell",
        "the output is {string}",
        output_is,
        "The standard output of the program that was run last is this text, but for blanks at its begin and end."
    ),
    judgement!(
        "shell",
        "the output contains {string}",
        output_contains,
        "The standard output of the program that was run last contains this text."
    ),
    judgement!(
        "shell",
        "the output matches {regex}",
        output_matches,
        "A regular expression finds something in the standard output of the program that was run last."
    ),
    judgement!(
        "shell",
        "field {string} of the output is {string}",
        field_is,
        "The standard output of the program that was run last is JSON, and a field of it, by its path \
         (items[0].metadata.name), is this text or number."
    ),
    judgement!(
        "shell",
        "the error output contains {string}",
        error_output_contains,
        "The standard error of the program that was run last contains this text."
    ),
    judgement!(
        "shell",
        "there is no error output",
        no_error_output,
        "The program that was run last has written nothing to its standard error."
    ),
];

async fn run(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    started(scene, arguments.text(0), arguments.text(1), None).await.map(drop)
}

async fn run_with_input(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let input = arguments.docstring()?;
    started(scene, arguments.text(0), arguments.text(1), Some(input)).await.map(drop)
}

async fn prints(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let ended = started(scene, arguments.text(0), arguments.text(1), None).await?;
    if ended.code == Some(0) && ended.stdout.contains(arguments.text(2)) {
        return Ok(());
    }
    Err(Unmet::not_yet(format!("the output does not contain {:?}: {}", arguments.text(2), ended.told())))
}

/// Runs a program and keeps how it ended.
async fn started(scene: &mut Scene, name: &str, line: &str, input: Option<&str>) -> Result<Ended, Unmet> {
    let arguments = words(line)?;
    let shared = &scene.shared;
    let ended = shared.programs.run(name, &arguments, input, &shared.cancel).await?;
    scene.trail.note(&ended.told());
    scene.ended = Some(ended.clone());
    Ok(ended)
}

/// The words of a command line.
fn words(line: &str) -> Result<Vec<String>, Unmet> {
    shlex::split(line).ok_or_else(|| Unmet::Misused(format!("`{line}` has a quote that is not closed")))
}

fn last(scene: &Scene) -> Result<&Ended, Unmet> {
    scene.ended.as_ref().ok_or_else(|| Unmet::Misused("no program was run in this scenario".to_owned()))
}

fn judge(ended: &Ended, good: bool, wanted: &str) -> Result<(), Unmet> {
    if good { Ok(()) } else { Err(Unmet::Never(format!("{wanted}: {}", ended.told()))) }
}

fn exit_code(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let wanted: i32 = arguments.number(0)?;
    let ended = last(scene)?;
    judge(ended, ended.code == Some(wanted), &format!("the exit code is not {wanted}"))
}

fn output_is(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (ended, wanted) = (last(scene)?, arguments.text(0));
    judge(ended, ended.stdout.trim() == wanted.trim(), &format!("the output is not {wanted:?}"))
}

fn output_contains(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (ended, wanted) = (last(scene)?, arguments.text(0));
    judge(ended, ended.stdout.contains(wanted), &format!("the output does not contain {wanted:?}"))
}

fn output_matches(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (ended, wanted) = (last(scene)?, arguments.text(0));
    judge(ended, arguments.regex(0)?.is_match(&ended.stdout), &format!("the output does not match {wanted:?}"))
}

fn field_is(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let found = field(last(scene)?, arguments.text(0))?;
    let wanted = arguments.text(1);
    if found == wanted {
        return Ok(());
    }
    Err(Unmet::Never(format!("field `{}` of the output is {found:?}, not {wanted:?}", arguments.text(0))))
}

/// A field of a program's output.
fn field(ended: &Ended, path: &str) -> Result<String, Unmet> {
    let path: Path = path.parse()?;
    let output = serde_json::from_str(&ended.stdout)
        .map_err(|error| Unmet::Never(format!("the output is no JSON ({error}): {}", ended.told())))?;
    path.find(&output).map(plain).map_err(|why| Unmet::Never(format!("{why}; `{}`", ended.line)))
}

fn error_output_contains(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (ended, wanted) = (last(scene)?, arguments.text(0));
    judge(ended, ended.stderr.contains(wanted), &format!("the error output does not contain {wanted:?}"))
}

fn no_error_output(scene: &Scene, _: &Arguments) -> Result<(), Unmet> {
    let ended = last(scene)?;
    judge(ended, ended.stderr.trim().is_empty(), "there is error output")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(stdout: &str) -> Ended {
        Ended { line: "x -o json".to_owned(), code: Some(0), stdout: stdout.to_owned(), stderr: "why\n".to_owned() }
    }

    #[test]
    fn a_command_line_is_made_of_words() {
        assert_eq!(
            words(r#"get pods -l "a in (b, c)" 'd e'"#).expect("words"),
            ["get", "pods", "-l", "a in (b, c)", "d e"]
        );
        assert_eq!(words("").expect("no words"), [""; 0]);
        assert_eq!(words("a 'b").expect_err("it is open").to_string(), "`a 'b` has a quote that is not closed");
    }

    #[test]
    fn a_field_of_the_output_is_found() {
        let json = ended(r#"{"items": [{"name": "a", "n": 2}]}"#);
        assert_eq!(field(&json, "items[0].n").expect("it is there"), "2");
        let error = field(&json, "items[1].n").expect_err("it is not there").to_string();
        assert_eq!(error, "there is no `items[1]`; `items` is a list of 1; `x -o json`");
        let error = field(&ended("no"), "a").expect_err("it is no JSON").to_string();
        assert!(
            error.starts_with("the output is no JSON (") && error.contains("`x -o json` ended with exit code 0"),
            "{error}"
        );
    }

    #[test]
    fn a_judgement_shows_both_outputs() {
        let error = judge(&ended("out\n"), false, "the exit code is not 3").expect_err("it is wrong").to_string();
        assert_eq!(
            error,
            "the exit code is not 3: `x -o json` ended with exit code 0\noutput:\n  out\nerror output:\n  why"
        );
    }
}
