//! `--report junit=PATH,json=PATH,html=PATH,messages=PATH`: which files a run writes.

use std::str::FromStr;

use camino::Utf8PathBuf;

use crate::error::{Failure, Kind};

/// The format of a report file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JUnit XML, as CI systems read it.
    Junit,
    /// Everything, as JSON.
    Json,
    /// One page for people that needs nothing else.
    Html,
    /// Cucumber messages, one a line.
    Messages,
}

/// A report file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its format.
    pub format: Format,
    /// Its path.
    pub path: Utf8PathBuf,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write it as junit=PATH, json=PATH, html=PATH or messages=PATH, several separated by commas";
        let (format, path) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`; {example}"))?;
        let format = match format {
            "junit" => Format::Junit,
            "json" => Format::Json,
            "html" => Format::Html,
            "messages" => Format::Messages,
            other => return Err(format!("unknown report format `{other}`; known: junit, json, html, messages")),
        };
        if path.is_empty() {
            return Err(format!("`{text}` names no file; {example}"));
        }
        Ok(Self { format, path: path.into() })
    }
}

impl Target {
    /// Replaces the file in one go, so that a reader never sees half of it.
    ///
    /// # Errors
    /// The folder or file can't be written.
    pub fn write(&self, text: &str) -> Result<(), Failure> {
        let write = || {
            if let Some(dir) = self.path.parent().filter(|dir| !dir.as_str().is_empty()) {
                fs_err::create_dir_all(dir)?;
            }
            let new = Utf8PathBuf::from(format!("{}.new", self.path));
            fs_err::write(&new, text)?;
            fs_err::rename(&new, &self.path)
        };
        write().map_err(|error: std::io::Error| {
            Failure::new(Kind::Unexpected, error)
                .context(format!("writing the report {}", self.path))
                .hint("Choose a folder that can be written with --report.")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let target: Target = "junit=reports/a=b.xml".parse().expect("it is one");
        assert_eq!(target, Target { format: Format::Junit, path: "reports/a=b.xml".into() });
    }

    #[test]
    fn what_is_no_target_is_told_why() {
        let error = |text: &str| text.parse::<Target>().expect_err("it is none");
        assert_eq!(error("xml=a"), "unknown report format `xml`; known: junit, json, html, messages");
        assert!(error("junit").starts_with("`junit` has no `=`"));
        assert!(error("json=").starts_with("`json=` names no file"));
    }

    #[test]
    fn a_file_is_replaced_and_its_folder_made() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = Utf8PathBuf::from_path_buf(dir.path().join("new/report.json")).expect("its path is UTF-8");
        let target = Target { format: Format::Json, path: path.clone() };
        target.write("1").expect("it can be written");
        target.write("2").expect("it can be written");
        assert_eq!(fs_err::read_to_string(&path).expect("it is there"), "2");
        assert_eq!(path.parent().expect("it has one").read_dir().expect("it is there").count(), 1);
    }

    #[test]
    fn a_report_that_cant_be_written_is_named() {
        let target = Target { format: Format::Json, path: "/proc/no/report.json".into() };
        let failure = target.write("1").expect_err("nothing can be made there");
        assert!(failure.to_string().starts_with("error: writing the report /proc/no/report.json"), "{failure}");
    }
}
