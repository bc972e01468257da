//! What is altered in a lab's objects: the lab is broken as if its files were wrong.

use std::fmt;

use serde_json::Value;
use thiserror::Error;

use crate::lab::altered::Lot;
use crate::mesh::inject;
use crate::objects;

/// The annotation of a pod template by which its pods are made anew.
const ANEW: &str = "istiolab.dev/mutation";

/// An object of the lab: its kind, its namespace (empty for what lives in none) and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At(pub &'static str, pub &'static str, pub &'static str);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(kind, "", name) => write!(f, "{kind} {name}"),
            Self(kind, namespace, name) => write!(f, "{kind} {namespace}/{name}"),
        }
    }
}

/// One alteration.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    /// The object is taken away.
    Remove(At),
    /// The field at a JSON pointer becomes this JSON.
    Set(At, &'static str, &'static str),
    /// The field at a JSON pointer is taken away.
    Unset(At, &'static str),
    /// In the text at a JSON pointer the first text becomes the second, wherever it stands.
    Replace(At, &'static str, &'static str, &'static str),
    /// An object more, in YAML, applied with this one.
    Beside(At, &'static str),
    /// The workload's pods are made anew, so that they read their configuration again.
    Anew(At),
    /// What injection by hand added is taken out of the workload.
    Uninject(At),
}

/// Why an alteration can't be made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Misfit {
    /// The lab has no such object.
    #[error("the lab has no {0}")]
    Missing(String),
    /// The object is not as the alteration has it.
    #[error("{object} has no {what}")]
    Unlike {
        /// The object.
        object: String,
        /// What it lacks.
        what: String,
    },
}

impl Edit {
    fn at(&self) -> At {
        match self {
            Self::Remove(at)
            | Self::Set(at, ..)
            | Self::Unset(at, _)
            | Self::Replace(at, ..)
            | Self::Beside(at, _)
            | Self::Anew(at)
            | Self::Uninject(at) => *at,
        }
    }

    /// Makes the alteration.
    ///
    /// # Errors
    /// Each variant of [`Misfit`].
    pub fn make(&self, lots: &mut [Lot]) -> Result<(), Misfit> {
        let at = self.at();
        let unlike = |what: String| Misfit::Unlike { object: at.to_string(), what };
        let (lot, index) = find(lots, at).ok_or_else(|| Misfit::Missing(at.to_string()))?;
        let document = &mut lot.objects[index].document;
        match *self {
            Self::Remove(_) => {
                lot.objects.remove(index);
            }
            Self::Set(_, pointer, json) => {
                let value =
                    serde_json::from_str(json).map_err(|error| unlike(format!("such value `{json}`: {error}")))?;
                put(document, pointer, Some(value)).ok_or_else(|| unlike(format!("field `{pointer}`")))?;
            }
            Self::Unset(_, pointer) => {
                put(document, pointer, None).ok_or_else(|| unlike(format!("field `{pointer}`")))?;
            }
            Self::Replace(_, pointer, from, to) => {
                let text = document.pointer(pointer).and_then(Value::as_str).filter(|text| text.contains(from));
                let text = text.ok_or_else(|| unlike(format!("`{from}` at `{pointer}`")))?.replace(from, to);
                put(document, pointer, Some(text.into()));
            }
            Self::Beside(_, yaml) => {
                let more =
                    objects::parse(yaml, "selftest").map_err(|error| unlike(format!("such company: {error}")))?;
                lot.objects.extend(more);
            }
            Self::Anew(_) => {
                document["spec"]["template"]["metadata"]["annotations"][ANEW] = "anew".into();
            }
            Self::Uninject(_) => {
                let removed = inject::remove(vec![lot.objects[index].clone()]);
                let removed = removed.map_err(|error| unlike(format!("injection that can be undone: {error}")))?;
                if removed.changed == 0 {
                    return Err(unlike("injection by hand".to_owned()));
                }
                lot.objects.splice(index..=index, removed.objects);
            }
        }
        Ok(())
    }
}

/// The object, by the lot that it is in and its place there.
fn find(lots: &mut [Lot], at: At) -> Option<(&mut Lot, usize)> {
    let At(kind, namespace, name) = at;
    lots.iter_mut().find_map(|lot| {
        let is_it = |object: &objects::Object| {
            object.kind() == kind
                && object.name() == name
                && (namespace.is_empty() || object.namespace().unwrap_or(&lot.namespace) == namespace)
        };
        let index = lot.objects.iter().position(is_it)?;
        Some((lot, index))
    })
}

/// Sets or takes away the field at a pointer, whose parent must be there; a field that is to be taken away as well.
fn put(document: &mut Value, pointer: &str, value: Option<Value>) -> Option<()> {
    let (parent, field) = pointer.rsplit_once('/')?;
    // As RFC 6901 has it.
    let field = field.replace("~1", "/").replace("~0", "~");
    match (document.pointer_mut(parent)?, value) {
        (Value::Object(fields), Some(value)) => {
            fields.insert(field, value);
        }
        (Value::Object(fields), None) => drop(fields.remove(&field)?),
        (Value::Array(items), Some(value)) => *items.get_mut(field.parse::<usize>().ok()?)? = value,
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CLIENT: At = At("Deployment", "demo", "client");

    fn lots() -> Vec<Lot> {
        let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo, labels: {a/b: c}}\n---\n\
                    apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: client}\nspec: {replicas: 1, ports: [1, 2]}\n---\n\
                    apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: other}\ndata: {t: one two one}\n";
        let objects = objects::parse(text, "test").expect("three objects");
        vec![Lot::default(), Lot { namespace: "demo".to_owned(), objects }]
    }

    fn made(edit: Edit) -> Vec<Value> {
        let mut lots = lots();
        edit.make(&mut lots).expect("it fits");
        lots[1].objects.iter().map(|object| object.document.clone()).collect()
    }

    #[test]
    fn fields_are_set_and_taken_away() {
        assert_eq!(made(Edit::Set(CLIENT, "/spec/replicas", "0"))[1]["spec"]["replicas"], 0);
        assert_eq!(made(Edit::Set(CLIENT, "/spec/ports/1", "9"))[1]["spec"]["ports"], json!([1, 9]));
        assert_eq!(made(Edit::Set(CLIENT, "/spec/more", "{}"))[1]["spec"]["more"], json!({}));
        let namespace = At("Namespace", "", "demo");
        assert_eq!(made(Edit::Unset(namespace, "/metadata/labels/a~1b"))[0]["metadata"]["labels"], json!({}));
        let config = At("ConfigMap", "other", "c");
        assert_eq!(made(Edit::Replace(config, "/data/t", "one", "1"))[2]["data"]["t"], "1 two 1");
        let anew = &made(Edit::Anew(CLIENT))[1]["spec"]["template"];
        assert_eq!(anew["metadata"]["annotations"][ANEW], "anew");
    }

    #[test]
    fn objects_go_and_come() {
        assert_eq!(made(Edit::Remove(CLIENT)).len(), 2);
        let made = made(Edit::Beside(CLIENT, "{apiVersion: v1, kind: Pod, metadata: {name: x}}"));
        assert_eq!((made.len(), &made[3]["kind"]), (4, &json!("Pod")));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let misfit = |edit: Edit| edit.make(&mut lots()).expect_err("it does not fit").to_string();
        assert_eq!(misfit(Edit::Remove(At("Deployment", "other", "client"))), "the lab has no Deployment other/client");
        assert_eq!(misfit(Edit::Remove(At("Namespace", "", "x"))), "the lab has no Namespace x");
        assert_eq!(misfit(Edit::Set(CLIENT, "/status/x", "1")), "Deployment demo/client has no field `/status/x`");
        assert_eq!(misfit(Edit::Unset(CLIENT, "/spec/x")), "Deployment demo/client has no field `/spec/x`");
        let config = At("ConfigMap", "other", "c");
        assert_eq!(misfit(Edit::Replace(config, "/data/t", "3", "4")), "ConfigMap other/c has no `3` at `/data/t`");
        assert_eq!(misfit(Edit::Uninject(CLIENT)), "Deployment demo/client has no injection by hand");
    }
}
