//! Rules of the house that no compiler checks.

use camino::{Utf8Path, Utf8PathBuf};

fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Utf8Path, ending: &str, found: &mut Vec<Utf8PathBuf>) {
    for entry in dir.read_dir_utf8().expect("the folder can be read").flatten() {
        let path = entry.path();
        let hidden = entry.file_name().starts_with('.') || entry.file_name() == "target";
        if path.is_dir() && !hidden {
            files(path, ending, found);
        } else if path.extension() == Some(ending) {
            found.push(path.to_owned());
        }
    }
}

#[test]
fn no_test_file_is_forgotten() {
    let mut all = Vec::new();
    files(&root().join("tests"), "rs", &mut all);
    for file in all {
        let dir = file.parent().expect("it has one");
        let stem = file.file_stem().expect("it has a name");
        if dir == root().join("tests") || ["main", "mod"].contains(&stem) {
            continue;
        }
        let owners = [dir.join("main.rs"), dir.join("mod.rs"), dir.with_extension("rs")];
        let named = owners.iter().filter_map(|owner| fs_err::read_to_string(owner).ok()).any(|text| {
            text.lines().any(|line| line.trim_start_matches("pub(crate) ").starts_with(&format!("mod {stem};")))
        });
        assert!(named, "{file} is not a module of any test: add `mod {stem};` to {}", owners[0]);
    }
}

#[test]
fn files_stay_short() {
    let mut all = Vec::new();
    for dir in ["src", "tests", "apps"] {
        files(&root().join(dir), "rs", &mut all);
    }
    for file in all {
        let lines = fs_err::read_to_string(&file).expect("it can be read").lines().count();
        assert!(lines <= 500, "{file} has {lines} lines: split it by subject");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut all = Vec::new();
    files(root(), "md", &mut all);
    let link = regex::Regex::new(r"\]\(([^)#:\s]+)(#[^)]*)?\)").expect("a pattern");
    for file in all {
        let text = fs_err::read_to_string(&file).expect("it can be read");
        for found in link.captures_iter(&text) {
            let target = file.parent().expect("it has one").join(&found[1]);
            assert!(target.exists(), "{file} links to {}, which is not there", &found[1]);
        }
    }
}
