//! Judging the answers of the requests that were sent last: status, fields, headers, text.

use std::future::ready;

use super::{judge, judgement};
use crate::verify::arguments::Arguments;
use crate::verify::path::{Path, plain};
use crate::verify::traffic::Answer;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::{Entry, Kind};
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 13] = [
    judgement!(
        "traffic",
        "every request is answered with status {int}",
        every_status,
        "All requests that were sent last were answered, and with this status."
    ),
    judgement!(
        "traffic",
        "{int} request(s) is/are answered with status {int}",
        some_status,
        "Exactly so many of the requests that were sent last have this status."
    ),
    judgement!(
        "traffic",
        "at least {int} request(s) is/are answered with status {int}",
        least_status,
        "So many of the requests that were sent last have this status, or more."
    ),
    judgement!(
        "traffic",
        "no request is answered",
        unanswered,
        "None of the requests that were sent last got an HTTP answer: the connection was refused or broken. A host \
         name that could not be resolved fails the step."
    ),
    judgement!(
        "traffic",
        "field {string} of the answer is {string}",
        field_is,
        "A field of the last answer's JSON body, by its path with dots, is this text or number."
    ),
    judgement!(
        "traffic",
        "field {string} of the answer contains {string}",
        field_contains,
        "A field of the last answer's JSON body, by its path with dots, contains this text."
    ),
    judgement!(
        "traffic",
        "field {string} of the answer matches {regex}",
        field_matches,
        "A field of the last answer's JSON body, by its path with dots, has a place that this regular expression \
         matches; ^ and $ tie it to the ends."
    ),
    judgement!(
        "traffic",
        "the answer has no field {string}",
        no_field,
        "The last answer's JSON body has no field at this path with dots, or it is null."
    ),
    judgement!(
        "traffic",
        "the answer has the header {string} with value {string}",
        header,
        "The last answer has this header with exactly this value."
    ),
    judgement!("traffic", "the answer has no header {string}", no_header, "The last answer does not have this header."),
    judgement!(
        "traffic",
        "at least {int} answer(s) has/have the header {string} with value {string}",
        some_header,
        "So many of the answers to the requests that were sent last have this header with this value, or more."
    ),
    judgement!(
        "traffic",
        "the text of the answer contains {string}",
        text,
        "The body of the last answer contains this text; it may be anything, also no JSON."
    ),
    Entry {
        subject: "traffic",
        pattern: "header {string} of the answer is remembered as {string}",
        meaning: "Keeps a header of the last answer, of a cookie only its name and value; ${name} stands for it in the texts, \
                  tables and doc strings of later steps.",
        kind: Kind::Action,
        run: |scene, arguments| Box::pin(ready(remember(scene, &arguments))),
    },
];

fn every_status(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let status: u16 = arguments.number(0)?;
    let sent = scene.traffic(None)?;
    let good = sent.report.codes.get(&status).copied().unwrap_or(0);
    judge(sent, good == sent.report.sent && good > 0)
}

fn some_status(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (count, status): (u32, u16) = (arguments.number(0)?, arguments.number(1)?);
    let sent = scene.traffic(None)?;
    judge(sent, sent.report.codes.get(&status).copied().unwrap_or(0) == count)
}

fn least_status(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (count, status): (u32, u16) = (arguments.number(0)?, arguments.number(1)?);
    let sent = scene.traffic(None)?;
    judge(sent, sent.report.codes.get(&status).copied().unwrap_or(0) >= count)
}

fn unanswered(scene: &Scene, _: &Arguments) -> Result<(), Unmet> {
    let sent = scene.traffic(None)?;
    // A name that nobody knows proves nothing about who may connect.
    let lost = sent.report.errors.keys().any(|error| error.contains("dns error"));
    judge(sent, sent.report.codes.is_empty() && sent.report.sent > 0 && !lost)
}

fn field_is(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (path, wanted) = (arguments.text(0), arguments.text(1));
    let found = plain(&scene.traffic(None)?.field(path)?);
    if found == wanted { Ok(()) } else { Err(Unmet::Never(format!("field `{path}` is {found:?}, not {wanted:?}"))) }
}

fn field_contains(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (path, wanted) = (arguments.text(0), arguments.text(1));
    let found = plain(&scene.traffic(None)?.field(path)?);
    if found.contains(wanted) {
        Ok(())
    } else {
        Err(Unmet::Never(format!("field `{path}` is {found:?}, which does not contain {wanted:?}")))
    }
}

fn field_matches(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (path, wanted) = (arguments.text(0), arguments.text(1));
    let expression = arguments.regex(1)?;
    let found = plain(&scene.traffic(None)?.field(path)?);
    if expression.is_match(&found) {
        Ok(())
    } else {
        Err(Unmet::Never(format!("field `{path}` is {found:?}, which does not match {wanted:?}")))
    }
}

fn no_field(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let path = arguments.text(0);
    // What is no path is nowhere, which must not pass.
    path.parse::<Path>()?;
    absent(scene.traffic(None)?.first()?, path).map_err(Unmet::Never)
}

/// Passes if a JSON answer has nothing at `path`.
fn absent(answer: &Answer, path: &str) -> Result<(), String> {
    if serde_json::from_str::<serde_json::Value>(&answer.body).is_err() {
        return Err(format!("the answer is not JSON (status {}): {}", answer.status, answer.body));
    }
    match answer.field(path) {
        Ok(found) if !found.is_null() => Err(format!("field `{path}` is {:?}", plain(&found))),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Passes if an answer has this header.
fn has_header(answer: &Answer, name: &str, wanted: &str) -> Result<(), String> {
    match answer.headers.get(&name.to_lowercase()) {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(format!("header `{name}` of the answer is {found:?}, not {wanted:?}")),
        None => {
            let names: Vec<&str> = answer.headers.keys().map(String::as_str).collect();
            Err(format!("the answer has no header `{name}`; it has {}", names.join(", ")))
        }
    }
}

fn header(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    has_header(scene.traffic(None)?.first()?, arguments.text(0), arguments.text(1)).map_err(Unmet::Never)
}

fn no_header(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let name = arguments.text(0);
    match scene.traffic(None)?.first()?.headers.get(&name.to_lowercase()) {
        None => Ok(()),
        Some(found) => Err(Unmet::Never(format!("header `{name}` of the answer is {found:?}"))),
    }
}

fn some_header(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (wanted, name, value): (usize, _, _) = (arguments.number(0)?, arguments.text(1), arguments.text(2));
    let sent = scene.traffic(None)?;
    let having = sent.answers()?.iter().filter(|answer| has_header(answer, name, value).is_ok()).count();
    if having >= wanted {
        Ok(())
    } else {
        Err(Unmet::Never(format!("{having} answers have the header `{name}` with value {value:?}; {}", sent.report)))
    }
}

fn text(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let wanted = arguments.text(0);
    let answer = scene.traffic(None)?.first()?;
    if answer.body.contains(wanted) {
        Ok(())
    } else {
        Err(Unmet::Never(format!(
            "the answer (status {}) does not contain {wanted:?}: {}",
            answer.status,
            answer.body.trim()
        )))
    }
}

fn remember(scene: &mut Scene, arguments: &Arguments) -> Result<(), Unmet> {
    let (header, name) = (arguments.text(0), arguments.text(1));
    let value = header_value(scene.traffic(None)?.first()?, header).map_err(Unmet::Never)?;
    scene.named.insert(name.to_owned(), value);
    Ok(())
}

/// A header's value; of a cookie that is set, what a client sends back: its name and value.
fn header_value(answer: &Answer, header: &str) -> Result<String, String> {
    let name = header.to_lowercase();
    let Some(value) = answer.headers.get(&name) else {
        return Err(format!("the answer (status {}) has no header `{header}`", answer.status));
    };
    let value = if name == "set-cookie" { value.split(';').next().unwrap_or_default() } else { value };
    Ok(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn answer(body: &str, headers: &[(&str, &str)]) -> Answer {
        let headers: BTreeMap<String, String> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status: 200, headers, body: body.to_owned(), ..Answer::default() }
    }

    #[test]
    fn a_field_that_is_not_there_or_null_is_absent() {
        let answer = answer(r#"{"caller":null,"name":"b"}"#, &[]);
        assert_eq!((absent(&answer, "caller"), absent(&answer, "none.at.all")), (Ok(()), Ok(())));
        assert_eq!(absent(&answer, "name"), Err(r#"field `name` is "b""#.to_owned()));
    }

    #[test]
    fn nothing_is_absent_from_what_is_not_json() {
        let error = absent(&answer("RBAC: access denied", &[]), "name");
        assert_eq!(error, Err("the answer is not JSON (status 200): RBAC: access denied".to_owned()));
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let answer = answer("", &[("x-a", "1"), ("x-b", "2")]);
        assert_eq!(has_header(&answer, "X-A", "1"), Ok(()));
        assert_eq!(has_header(&answer, "x-a", "2"), Err(r#"header `x-a` of the answer is "1", not "2""#.to_owned()));
        assert_eq!(has_header(&answer, "x-c", "1"), Err("the answer has no header `x-c`; it has x-a, x-b".to_owned()));
    }

    #[test]
    fn of_a_cookie_only_the_pair_is_remembered() {
        let answer = answer("", &[("set-cookie", "session=abc.d=; Path=/; HttpOnly"), ("location", "/a;b")]);
        assert_eq!(header_value(&answer, "Set-Cookie").as_deref(), Ok("session=abc.d="));
        assert_eq!(header_value(&answer, "location").as_deref(), Ok("/a;b"));
        assert!(header_value(&answer, "x").is_err_and(|error| error.ends_with("has no header `x`")));
    }
}
