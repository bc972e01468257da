//! The lab file: its schema, its checks (all problems at once, each with its place) and the lab that
//! comes out, with every default filled in and every path absolute.

mod check;
mod expressions;
mod facts;
mod lab;
mod problem;
mod raw;
mod resolve;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::yaml;

pub use lab::{Addon, Application, Cluster, Features, Grace, Images, Lab, Mesh, Nodes, Program, Readiness, Registry};
pub use problem::{Problem, Problems};
pub use raw::{Injection, Provider, Source};

/// The `apiVersion` of lab files.
pub const API_VERSION: &str = "istiolab.dev/v1alpha1";

/// The add-ons whose objects come with the project; others bring their own.
pub const ADDONS: [&str; 5] = ["prometheus", "grafana", "zipkin", "jaeger", "servicegraph"];

/// The add-ons that keep traces. The mesh sends spans to the Service `zipkin`, which each of them brings.
pub const TRACING: [&str; 2] = ["zipkin", "jaeger"];

/// Reads and checks a lab file; `-` is standard input, whose paths are relative to the working folder.
///
/// # Errors
/// Every problem of the file.
pub fn load(file: &Utf8Path) -> Result<Lab, Problems> {
    let shown = if file == "-" { Utf8Path::new("<stdin>") } else { file };
    let unreadable = |error: std::io::Error| Problems::one(Problem::of_file(shown, &error.to_string()));
    let (text, path) = if file == "-" {
        let text = std::io::read_to_string(std::io::stdin()).map_err(unreadable)?;
        (text, Utf8PathBuf::from("stdin"))
    } else {
        (fs_err::read_to_string(file).map_err(|error| without_path(&error, shown))?, file.to_owned())
    };
    let path = camino::absolute_utf8(&path).map_err(unreadable)?;
    parse(&text, shown, &path)
}

/// Checks the text of a lab file that lies (or would lie) at `path`; `shown` names it in problems.
///
/// # Errors
/// Every problem of the file.
pub fn parse(text: &str, shown: &Utf8Path, path: &Utf8Path) -> Result<Lab, Problems> {
    let mut nodes = match yaml::nodes(text, shown.as_str()) {
        Ok(nodes) => nodes,
        Err(error) => return Err(Problems::one(Problem::of_yaml(shown, error))),
    };
    if nodes.len() > 1 {
        let second = &nodes[1];
        return Err(Problems::one(
            Problem::at(shown, second.line, second.column, "a second document")
                .hint("a lab file holds one lab; put the other one into a file of its own"),
        ));
    }
    let Some(root) = nodes.pop() else {
        return Err(Problems::one(
            Problem::of_file(shown, "the file is empty")
                .hint(format!("start it with `apiVersion: {API_VERSION}` and `kind: Lab`")),
        ));
    };
    let mut problems = check::check(&root, &schema(), shown, text);
    problems.extend(expressions::check(&root, shown, text));
    problems.extend(facts::check(&root, shown, path.parent().unwrap_or(Utf8Path::new("/"))));
    match resolve::resolve(&root, path) {
        Some(lab) if problems.is_empty() => Ok(lab),
        _ => Err(Problems::new(problems)),
    }
}

/// The JSON Schema of lab files.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(raw::Lab);
    schema.insert("$id".to_owned(), Value::from("https://istiolab.dev/schemas/v1alpha1/lab.schema.json"));
    schema.to_value()
}

/// The reason alone: the problem names the file already.
fn without_path(error: &std::io::Error, shown: &Utf8Path) -> Problems {
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    };
    Problems::one(Problem::of_file(shown, &reason).hint("name the lab file with -f FILE"))
}

#[cfg(test)]
mod tests;
