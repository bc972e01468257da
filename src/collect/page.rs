//! The page that one reads first: one file without anything from elsewhere, readable by day and by
//! night, with a mouse, with keys, and on paper.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::summary::{Finding, Grade, Summary};

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// The sections in their order: identifier and title.
const SECTIONS: [(&str, &str); 9] = [
    ("cause", "What failed"),
    ("findings", "What is wrong"),
    ("warnings", "Newest warnings"),
    ("nodes", "Containers of the lab"),
    ("missing", "Not collected"),
    ("versions", "Versions"),
    ("images", "Images"),
    ("removed", "Removed because it is secret"),
    ("files", "Files"),
];

/// The page of a bundle.
pub(super) fn render(summary: &Summary) -> String {
    let files: BTreeSet<&str> = summary.files.iter().map(|file| file.path.as_str()).collect();
    let mut page = String::new();
    head(&mut page, summary);
    page.push_str("<main>\n");
    if let Some(cause) = &summary.cause {
        section(&mut page, "cause", None);
        put(&mut page, format_args!("<pre class=\"cause\">{}</pre></section>\n", escaped(cause)));
    }
    section(&mut page, "findings", Some(summary.findings.len()));
    if summary.findings.is_empty() {
        page.push_str("<p class=\"well\">No object of the cluster says that something is wrong.</p>\n");
    }
    summary.findings.iter().for_each(|finding| card(&mut page, finding, &files));
    page.push_str("</section>\n");
    tables(&mut page, summary, &files);
    page.push_str("</main>\n");
    put(&mut page, format_args!("<script>{SCRIPT}</script>\n</body>\n</html>\n"));
    page
}

fn head(page: &mut String, summary: &Summary) {
    let lab = escaped(&summary.lab);
    let count = |grade| summary.findings.iter().filter(|finding| finding.grade == grade).count();
    put(
        page,
        format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{lab}: debug bundle</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{lab}</h1>\n<p>Collected {} in {:.0} s; {}.</p>\n<p class=\"counts\">",
            escaped(&summary.time),
            summary.seconds,
            escaped(&summary.cluster),
        ),
    );
    for grade in [Grade::Failed, Grade::NotReady, Grade::Notable] {
        let (class, words) = (class(grade), words(grade));
        put(page, format_args!("<span class=\"{class}\"><b>{}</b> {words}</span>\n", count(grade)));
    }
    page.push_str("</p>\n<nav aria-label=\"Sections\">\n");
    for (id, title) in SECTIONS.iter().filter(|(id, _)| *id != "cause" || summary.cause.is_some()) {
        put(page, format_args!("<a href=\"#{id}\">{title}</a>\n"));
    }
    page.push_str(
        "</nav>\n<p class=\"keys\"><label>Filter <input type=\"search\" id=\"filter\" placeholder=\"name, reason, file\"></label>\n\
         <span><kbd>/</kbd> filter <kbd>j</kbd> <kbd>k</kbd> next, previous finding <kbd>Enter</kbd> its first file</span></p>\n</header>\n",
    );
}

fn section(page: &mut String, id: &str, count: Option<usize>) {
    let title = SECTIONS.iter().find(|(known, _)| *known == id).map_or(id, |(_, title)| title);
    let count = count.map(|count| format!(" <small>{count}</small>")).unwrap_or_default();
    put(page, format_args!("<section id=\"{id}\">\n<h2>{title}{count}</h2>\n"));
}

fn card(page: &mut String, finding: &Finding, files: &BTreeSet<&str>) {
    let (class, words) = (class(finding.grade), words(finding.grade));
    put(
        page,
        format_args!(
            "<article class=\"row {class}\" tabindex=\"0\">\n<h3><code>{}</code> <small>{words}</small></h3>\n<p>{}</p>\n",
            escaped(&finding.object),
            escaped(&finding.cause)
        ),
    );
    if !finding.events.is_empty() {
        page.push_str("<ul class=\"events\">\n");
        finding.events.iter().for_each(|event| put(page, format_args!("<li>{}</li>\n", escaped(event))));
        page.push_str("</ul>\n");
    }
    if !finding.lines.is_empty() {
        put(page, format_args!("<pre>{}</pre>\n", escaped(&finding.lines.join("\n"))));
    }
    let links: Vec<String> = finding.files.iter().map(|path| link(path, files)).collect();
    put(page, format_args!("<p class=\"files\">{}</p>\n</article>\n", links.join(" ")));
}

fn tables(page: &mut String, summary: &Summary, files: &BTreeSet<&str>) {
    let text = |text: &str| escaped(text);
    let warnings = summary.warnings.iter().map(|warning| {
        let count = if warning.count > 1 { format!(" <small>×{}</small>", warning.count) } else { String::new() };
        vec![text(&warning.time), text(&warning.object), text(&warning.reason) + &count, text(&warning.message)]
    });
    table(page, "warnings", &["time", "object", "reason", "message"], warnings);
    let nodes = summary.nodes.iter().map(|node| {
        let folder = format!("nodes/{}/", node.name);
        let below = files.iter().filter_map(|path| Some((*path, path.strip_prefix(&folder)?)));
        let links = below.map(|(path, name)| anchor(path, name));
        vec![text(&node.name), text(&node.role), text(&node.state), links.collect::<Vec<_>>().join(" ")]
    });
    table(page, "nodes", &["name", "role", "state", "files"], nodes);
    let missing = summary.missing.iter().map(|missing| vec![text(&missing.what), text(&missing.why)]);
    table(page, "missing", &["what", "why"], missing);
    let versions = summary.versions.iter().map(|(name, version)| vec![text(name), text(version)]);
    table(page, "versions", &["of", "version"], versions);
    let images = summary.images.iter().map(|image| {
        vec![text(&image.name), format!("<code>{}</code>", text(&image.digest)), image.containers.to_string()]
    });
    table(page, "images", &["image", "digest", "containers"], images);
    let removed = summary.removed.iter().map(|(kind, count)| vec![text(kind), count.to_string()]);
    table(page, "removed", &["what", "times"], removed);
    let listed = summary.files.iter().map(|file| vec![link(&file.path, files), size(file.bytes)]);
    table(page, "files", &["file", "size"], listed);
}

fn table(page: &mut String, id: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    section(page, id, Some(rows.len()));
    if rows.is_empty() {
        page.push_str("<p>None.</p>\n</section>\n");
        return;
    }
    page.push_str("<div class=\"wide\"><table>\n<thead><tr>");
    for head in heads {
        put(page, format_args!("<th scope=\"col\">{head}</th>"));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        page.push_str("<tr class=\"row\">");
        for cell in row {
            put(page, format_args!("<td>{cell}</td>"));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table></div>\n</section>\n");
}

/// A link to a file of the bundle, or its name if it is not there.
fn link(path: &str, files: &BTreeSet<&str>) -> String {
    if files.contains(path) { anchor(path, path) } else { format!("<code>{}</code>", escaped(path)) }
}

/// A link to a file of the bundle under a name.
fn anchor(path: &str, name: &str) -> String {
    let mut address = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            put(&mut address, format_args!("%{byte:02X}"));
        }
    }
    format!("<a href=\"{address}\"><code>{}</code></a>", escaped(name))
}

fn class(grade: Grade) -> &'static str {
    match grade {
        Grade::Failed => "failed",
        Grade::NotReady => "unready",
        Grade::Notable => "notable",
    }
}

fn words(grade: Grade) -> &'static str {
    match grade {
        Grade::Failed => "failed",
        Grade::NotReady => "not ready",
        Grade::Notable => "notable",
    }
}

fn size(bytes: usize) -> String {
    if bytes < 1024 { format!("{bytes} B") } else { format!("{} KiB", bytes.div_ceil(1024)) }
}

/// Text as it may stand in the page, also within an attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = page.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::super::summary::{File, Missing};
    use super::*;

    fn summary() -> Summary {
        Summary {
            lab: "demo".to_owned(),
            cause: Some("error: <boom> & \"quotes\"".to_owned()),
            findings: vec![Finding {
                grade: Grade::Failed,
                object: "Pod n/<script>alert(1)</script>".to_owned(),
                cause: "crashed".to_owned(),
                events: vec!["BackOff".to_owned()],
                lines: vec!["panic: <nil>".to_owned()],
                files: vec!["logs/n/p#1.log".to_owned(), "logs/none.log".to_owned()],
            }],
            files: vec![File { path: "logs/n/p#1.log".to_owned(), bytes: 2000 }],
            missing: vec![Missing { what: "one thing".to_owned(), why: "no reason".to_owned() }],
            ..Summary::default()
        }
    }

    #[test]
    fn nothing_that_was_collected_becomes_a_part_of_the_page() {
        let page = render(&summary());
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
        assert!(
            page.contains("&lt;boom&gt; &amp; &quot;quotes&quot;") && page.contains("<pre>panic: &lt;nil&gt;</pre>")
        );
        assert_eq!(page.matches("<script>").count(), 1);
    }

    #[test]
    fn it_needs_nothing_from_elsewhere() {
        let page = render(&summary());
        for elsewhere in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn files_that_are_there_are_linked_and_others_named() {
        let page = render(&summary());
        assert!(page.contains("<a href=\"logs/n/p%231.log\"><code>logs/n/p#1.log</code></a>"));
        assert!(page.contains("<code>logs/none.log</code>") && !page.contains("href=\"logs/none.log\""));
    }

    #[test]
    fn every_section_of_the_menu_is_there() {
        let page = render(&summary());
        for (id, _) in SECTIONS {
            assert_eq!(page.matches(&format!("href=\"#{id}\"")).count(), 1, "{id}");
            assert_eq!(page.matches(&format!("<section id=\"{id}\"")).count(), 1, "{id}");
        }
    }
}
