//! Stands in for the YAML room until that is there.

use serde_json::Value;
use serde_saphyr::Spanned;

use super::error::Error;

pub(super) struct Document {
    pub(super) value: Value,
    pub(super) line: u64,
}

pub(super) fn documents(text: &str, source: &str) -> Result<Vec<Document>, Error> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true, budget: None, with_snippet: false };
    let values: Vec<Spanned<Value>> = serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |place| (place.line(), place.column()));
        Error::Yaml(format!("{source}:{line}:{column}: {error}"))
    })?;
    Ok(values
        .into_iter()
        .filter(|value| !value.value.is_null())
        .map(|value| Document { line: value.referenced.line(), value: value.value })
        .collect())
}
