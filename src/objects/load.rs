//! Objects from files, folders and standard input.

use std::io::{self, Read};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::error::{Error, Problem};
use super::object::Object;
use crate::yaml;

/// Extensions of the files that are read from a folder.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads objects from files and folders, in the order given; files of a folder in the order of
/// their names, folders in it not. `-` is standard input. Lists are taken apart.
///
/// # Errors
/// What can't be read, is not YAML, or is no object; of the last kind all at once.
pub fn load(paths: &[Utf8PathBuf]) -> Result<Vec<Object>, Error> {
    read(paths, &mut |text, source| yaml::documents(text, source))
}

/// As [`load`], for files that other tools took: of a key that stands twice the last one counts, as for
/// kubectl. Gives back the first such key of each file, too.
///
/// # Errors
/// As [`load`], but for keys that stand twice.
pub fn load_with_repeats(paths: &[Utf8PathBuf]) -> Result<(Vec<Object>, Vec<yaml::Error>), Error> {
    let mut repeats = Vec::new();
    let objects = read(paths, &mut |text, source| {
        let (documents, repeat) = yaml::documents_with_repeats(text, source)?;
        repeats.extend(repeat);
        Ok(documents)
    })?;
    Ok((objects, repeats))
}

/// What makes documents of a text; the second argument is the text's name.
type Reader<'a> = &'a mut dyn FnMut(&str, &str) -> Result<Vec<yaml::Document>, yaml::Error>;

fn read(paths: &[Utf8PathBuf], reader: Reader<'_>) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        let mut found = false;
        for file in files(path)? {
            let (text, source) = if file == "-" {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).map_err(Error::Read)?;
                (text, "<stdin>")
            } else {
                (fs_err::read_to_string(&file).map_err(Error::Read)?, file.as_str())
            };
            let (more, wrong) = from_documents(reader(&text, source)?);
            found |= !more.is_empty() || !wrong.is_empty();
            objects.extend(more);
            problems.extend(wrong);
        }
        if !found {
            return Err(Error::Empty(if path == "-" { "<stdin>".to_owned() } else { path.to_string() }));
        }
    }
    if problems.is_empty() { Ok(objects) } else { Err(Error::Malformed(problems)) }
}

/// Reads the objects of one text; `source` is its name in messages.
///
/// # Errors
/// [`Error::Yaml`] or [`Error::Malformed`], the latter with all faults.
pub fn parse(text: &str, source: &str) -> Result<Vec<Object>, Error> {
    let (objects, problems) = from_documents(yaml::documents(text, source)?);
    if problems.is_empty() { Ok(objects) } else { Err(Error::Malformed(problems)) }
}

fn from_documents(documents: Vec<yaml::Document>) -> (Vec<Object>, Vec<Problem>) {
    let mut objects = Vec::new();
    let mut problems = Vec::new();
    for document in documents {
        for item in items(document.value) {
            match Object::new(item, &document.source, document.line) {
                Ok(object) => objects.push(object),
                Err(problem) => problems.push(problem),
            }
        }
    }
    (objects, problems)
}

/// The items of a list, or the document itself. Items of a list of one kind, such as
/// `DeploymentList`, need not repeat their kind.
fn items(document: Value) -> Vec<Value> {
    let kind = document["kind"].as_str().unwrap_or_default();
    let Some(kind) = kind.strip_suffix("List").map(str::to_owned) else { return vec![document] };
    let version = document["apiVersion"].clone();
    let Some(Value::Array(list)) = document.get("items").cloned() else { return vec![document] };
    list.into_iter()
        .flat_map(|mut item| {
            if let (false, Some(fields)) = (kind.is_empty(), item.as_object_mut()) {
                fields.entry("apiVersion").or_insert_with(|| version.clone());
                fields.entry("kind").or_insert_with(|| Value::from(kind.as_str()));
            }
            items(item)
        })
        .collect()
}

fn files(path: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
    if path == "-" || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs_err::read_dir(path).map_err(Error::Read)? {
        let entry = entry.map_err(Error::Read)?;
        let Ok(file) = Utf8PathBuf::try_from(entry.path()) else { continue };
        if file.extension().is_some_and(|extension| EXTENSIONS.contains(&extension)) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";

    #[test]
    fn documents_know_their_lines() {
        let objects = parse(&format!("# first\n{POD}---\n---\n\n{POD}"), "x.yaml").expect("two objects");
        let lines: Vec<_> = objects.iter().map(Object::origin).collect();
        assert_eq!(lines, ["x.yaml:2", "x.yaml:8"]);
    }

    #[test]
    fn lists_are_taken_apart() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- apiVersion: apps/v1\n  kind: DeploymentList\n  items: [{metadata: {name: b}}]\n";
        let names: Vec<_> =
            parse(text, "x").expect("two objects").iter().map(|object| object.reference().to_string()).collect();
        assert_eq!(names, ["Pod a", "Deployment b"]);
    }

    #[test]
    fn all_problems_are_told() {
        let error = parse("a: 1\n---\n- b\n", "x.yaml").expect_err("no objects");
        assert_eq!(
            error.to_string(),
            "x.yaml:1: `apiVersion` is missing\nx.yaml:3: this is not an object but a bare value"
        );
    }

    #[test]
    fn what_is_not_yaml_is_told_with_its_line() {
        let error = parse("a: 1\nb: [\n", "x.yaml").expect_err("not YAML").to_string();
        assert!(error.starts_with("x.yaml:"), "{error}");
    }

    #[test]
    fn of_a_key_that_stands_twice_the_last_one_can_be_taken() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = Utf8Path::from_path(dir.path()).expect("UTF-8").join("a.yaml");
        fs_err::write(&file, format!("{POD}spec: {{a: 1}}\nspec: {{b: 2}}\n")).expect("written");
        let failure = crate::error::Failure::from(load(std::slice::from_ref(&file)).expect_err("it stands twice"));
        assert!(failure.hints[0].contains("istiolab convert"), "{failure}");
        let (objects, repeats) = load_with_repeats(&[file]).expect("an object");
        assert_eq!(objects[0].document["spec"], serde_json::json!({"b": 2}));
        assert!(repeats[0].to_string().ends_with("a.yaml:5:1: the key `spec` stands twice"), "{}", repeats[0]);
    }

    #[test]
    fn a_folder_is_read_in_order_and_must_not_be_empty() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = Utf8Path::from_path(dir.path()).expect("UTF-8");
        assert!(matches!(load(&[dir.to_owned()]), Err(Error::Empty(_))));
        fs_err::write(dir.join("c.txt"), POD).expect("written");
        fs_err::write(dir.join("a.json"), r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"first"}}"#)
            .expect("written");
        fs_err::write(dir.join("b.yaml"), "apiVersion: v1\nkind: Pod\nmetadata: {name: second}\n").expect("written");
        let names: Vec<_> =
            load(&[dir.to_owned()]).expect("two objects").iter().map(|object| object.name().to_owned()).collect();
        assert_eq!(names, ["first", "second"]);
    }
}
