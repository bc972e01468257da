//! What must not leave the machine is taken out: the data of secrets, values whose names say that
//! they are secret, private keys, tokens, logins; and every such value that is known from there,
//! wherever else it stands.
//!
//! Everything that is written into a bundle passes through [`Redactor::text`] or
//! [`Redactor::document`]; there is no other way in.

mod names;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use serde_json::Value;

pub(super) use names::is_secret;

/// What stands in place of what was removed.
pub(super) const REMOVED: &str = "[removed]";
/// Known values that are shorter are not looked for elsewhere: they would be found everywhere.
const SHORTEST: usize = 6;
/// Known values that are longer are not looked for as a whole, but line by line.
const LONGEST: usize = 8192;
/// Lines of a known value that are as long as this give it away.
const LINE: usize = 24;
/// At most so many known values are looked for.
const MOST: usize = 20_000;
/// Fields of workloads and logs that are words of every cluster.
const COMMON: [&str; 8] = [
    "default",
    "kubernetes",
    "Opaque",
    "system:nodes",
    "system:masters",
    "cluster.local",
    "kubernetes.io",
    "istio-system",
];

/// Takes out what is secret, and counts it by its kind.
#[derive(Default)]
pub(super) struct Redactor {
    /// Values that were found where secrets are kept.
    known: BTreeSet<String>,
    /// What is public although it is also somebody's secret: the names of objects.
    public: BTreeSet<String>,
    pattern: Option<Regex>,
    counts: Mutex<BTreeMap<&'static str, usize>>,
}

impl Redactor {
    /// Remembers what an object holds that is secret, so that it is found elsewhere, too.
    pub(super) fn learn(&mut self, object: &Value) {
        for field in ["name", "namespace", "generateName"] {
            self.public.extend(object["metadata"][field].as_str().map(str::to_owned));
        }
        if object["kind"] == "Secret" {
            for value in object["data"].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()) {
                match STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
                    Some(plain) => self.remember(&plain),
                    None => drop(self.known.insert(value.to_owned())),
                }
            }
            for value in object["stringData"].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str())
            {
                self.remember(value);
            }
        }
        self.learn_fields(object);
    }

    fn learn_fields(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(secret) = value["value"].as_str().filter(|_| is_named_secret(value)) {
                    self.remember(secret);
                }
                for (name, field) in fields {
                    match field.as_str() {
                        Some(text) if is_secret(name) => self.remember(text),
                        _ => self.learn_fields(field),
                    }
                }
            }
            Value::Array(items) => {
                for (flag, value) in items.iter().zip(items.iter().skip(1)) {
                    if let (Some(flag), Some(value)) = (flag.as_str(), value.as_str())
                        && text::is_secret_flag(flag)
                    {
                        self.remember(value);
                    }
                }
                for variable in items.iter().filter_map(Value::as_str) {
                    if let Some((name, value)) = variable.split_once('=')
                        && !name.contains(' ')
                        && is_secret(name)
                    {
                        self.remember(value);
                    }
                }
                for item in items {
                    self.learn_fields(item);
                }
            }
            _ => {}
        }
    }

    /// Remembers a secret value.
    pub(super) fn remember(&mut self, value: &str) {
        if text::is_public(value) || self.known.len() >= MOST {
            return;
        }
        let value = value.trim();
        if value.len() <= LONGEST {
            self.known.insert(value.to_owned());
            self.known.insert(STANDARD.encode(value));
        }
        // A key of several lines is a secret in each of them.
        let lines = value.lines().map(str::trim).filter(|line| line.len() >= LINE && !line.starts_with("-----"));
        self.known.extend(lines.map(str::to_owned));
    }

    /// Remembers a login as docker keeps it: `user:password` in base64.
    pub(super) fn remember_login(&mut self, auth: &str) {
        self.known.insert(auth.to_owned());
        let plain = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some((_, password)) = plain.as_deref().and_then(|login| login.split_once(':')) {
            self.remember(password);
        }
    }

    /// From now on what was learnt is looked for. Nothing should be learnt afterwards.
    pub(super) fn seal(&mut self) {
        let common =
            |value: &String| value.len() < SHORTEST || self.public.contains(value) || COMMON.contains(&value.as_str());
        let mut wanted: Vec<&String> = self.known.iter().filter(|value| !common(value)).collect();
        // Of two that begin alike the longer one counts.
        wanted.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let wanted: Vec<String> = wanted.into_iter().map(|value| regex::escape(value)).collect();
        if !wanted.is_empty() {
            let built = regex::RegexBuilder::new(&wanted.join("|")).size_limit(256 << 20).build();
            self.pattern = built.ok();
        }
    }

    /// A text without what is secret in it. A text that is a JSON document is cleaned as one.
    pub(super) fn text(&self, text: &str) -> String {
        if text.trim_start().starts_with(['{', '['])
            && let Ok(mut document) = serde_json::from_str::<Value>(text)
            && (document.is_object() || document.is_array())
        {
            self.document(&mut document);
            return document.to_string();
        }
        let text = text::clean(text, |kind| self.count(kind));
        match &self.pattern {
            Some(pattern) => pattern
                .replace_all(&text, |_: &regex::Captures<'_>| {
                    self.count("known values");
                    REMOVED
                })
                .into_owned(),
            None => text,
        }
    }

    /// Cleans a document in place: an object of the cluster, or any other JSON.
    pub(super) fn document(&self, value: &mut Value) {
        let is_pair = is_named_secret(value);
        let is_secret_object = value["kind"] == "Secret" || value["kind"] == "SecretList";
        match value {
            Value::Object(fields) => {
                for data in ["data", "stringData"].iter().filter(|_| is_secret_object) {
                    let values = fields.get_mut(*data).and_then(Value::as_object_mut).into_iter();
                    for secret in values.flat_map(|data| data.values_mut()) {
                        let text = secret.as_str().unwrap_or_default();
                        let size = STANDARD.decode(text).map_or(text.len(), |bytes| bytes.len());
                        *secret = Value::from(format!("[removed: {size} bytes]"));
                        self.count("data of secrets");
                    }
                }
                for (name, field) in fields.iter_mut() {
                    let is_data = is_secret_object && matches!(name.as_str(), "data" | "stringData");
                    let by_name = is_secret(name) || (is_pair && name == "value");
                    match field {
                        _ if is_data => {}
                        Value::String(text) if by_name && !text.is_empty() => {
                            REMOVED.clone_into(text);
                            self.count("values with secret names");
                        }
                        Value::String(text) if name.ends_with("last-applied-configuration") => self.applied(text),
                        _ => self.document(field),
                    }
                }
            }
            Value::Array(items) => {
                let mut after_flag = false;
                for item in items {
                    match item {
                        Value::String(text) if after_flag => {
                            after_flag = false;
                            REMOVED.clone_into(text);
                            self.count("values with secret names");
                        }
                        _ => {
                            after_flag = item.as_str().is_some_and(text::is_secret_flag);
                            self.document(item);
                        }
                    }
                }
            }
            Value::String(text) => *text = self.text(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The annotation in which kubectl keeps the whole object.
    fn applied(&self, text: &mut String) {
        match serde_json::from_str::<Value>(text) {
            Ok(mut object) => {
                self.document(&mut object);
                *text = object.to_string();
            }
            Err(_) => REMOVED.clone_into(text),
        }
    }

    fn count(&self, kind: &'static str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// How much was removed, by its kind.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether this is a name with a value, such as a variable of an environment, and the name is secret.
fn is_named_secret(pair: &Value) -> bool {
    ["name", "key"].iter().any(|field| pair[field].as_str().is_some_and(is_secret))
}

#[cfg(test)]
mod tests;
