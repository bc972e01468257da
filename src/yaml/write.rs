//! Writing, so that kubectl and any reader of YAML 1.1 reads back what was meant.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_saphyr::LitStr;

use super::Error;

/// Writes a value so that kubectl, and any reader of YAML 1.1, reads it back unchanged: text that looks
/// like something else is quoted.
///
/// # Errors
/// [`Error::Write`] if the value has no YAML form.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, Error> {
    let mut options = serde_saphyr::SerializerOptions::default();
    // Which texts stand in blocks is decided below; in all others line breaks are escaped.
    options.prefer_block_scalars = false;
    options.no_lang_directive = true;
    let value = serde_json::to_value(value).map_err(|error| Error::Write { message: error.to_string() })?;
    serde_saphyr::to_string_with_options(&Written(&value), options)
        .map_err(|error| Error::Write { message: error.to_string() })
}

/// Writes values as one stream of documents.
///
/// # Errors
/// [`Error::Write`] if one of them has no YAML form.
pub fn stream<'a, T: Serialize + 'a>(values: impl IntoIterator<Item = &'a T>) -> Result<String, Error> {
    let documents = values.into_iter().map(to_string).collect::<Result<Vec<_>, _>>()?;
    Ok(documents.join("---\n"))
}

/// A value whose texts of several lines stand in blocks, where every reader agrees on them.
struct Written<'a>(&'a Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) if fits_a_block(text) => LitStr(text).serialize(serializer),
            Value::Array(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|value| seq.serialize_element(&Written(value)))?;
                seq.end()
            }
            Value::Object(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, &Written(value)))?;
                map.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

/// Whether a text of several lines reads back the same from a block. Go's reader takes a tab at the
/// begin of a line for indentation, and a block that begins with white space needs a sign of its own.
fn fits_a_block(text: &str) -> bool {
    let odd = |c: char| (c.is_control() && c != '\n' && c != '\t') || "\u{85}\u{2028}\u{2029}\u{feff}".contains(c);
    text.trim_end_matches('\n').contains('\n')
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with("\n\n")
        && !text.contains(odd)
        && text.split('\n').all(|line| !line.trim_start_matches(' ').starts_with('\t'))
}
