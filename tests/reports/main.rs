//! Reports as those read them for whom they are made: JUnit against the schema that CI systems have,
//! messages by Cucumber's own tools, the page in a browser.
//!
//! What reads them comes from package registries (`tests/reports/tools.sh FOLDER`) and is found in
//! `ISTIOLAB_TEST_REPORT_TOOLS`. The files, and pictures of the page, stay in `target/tmp/reports`.

mod run;
#[path = "../skipped/mod.rs"]
mod skipped;
mod tools;

use tools::check;

#[tokio::test]
async fn junit_follows_the_schema_of_ci_systems() {
    check("junit_follows_the_schema_of_ci_systems", "junit.py", &["whole.xml", "cut.xml", "empty.xml"]).await;
}

#[tokio::test]
async fn messages_are_of_the_shape_that_cucumber_has() {
    let files = ["whole.ndjson", "cut.ndjson", "empty.ndjson"];
    check("messages_are_of_the_shape_that_cucumber_has", "messages.py", &files).await;
}

#[tokio::test]
async fn cucumbers_own_page_shows_the_messages() {
    check("cucumbers_own_page_shows_the_messages", "cucumber_page.py", &["whole.ndjson"]).await;
}

#[tokio::test]
async fn the_page_reads_well_in_a_browser() {
    check("the_page_reads_well_in_a_browser", "page.py", &["whole.html", "cut.html", "empty.html"]).await;
}
