//! A YAML tree in which everything knows its place, so that a fault found later can still be shown.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub tree: Tree,
    /// Its line, counted from 1.
    pub line: u64,
    /// Its column in characters, counted from 1.
    pub column: u64,
}

/// A value whose parts know their places.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// Anything without parts.
    Scalar(Value),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the text; keys are unique.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's line.
    pub line: u64,
    /// The key's column.
    pub column: u64,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value without places.
    #[must_use]
    pub fn into_value(self) -> Value {
        match self.tree {
            Tree::Scalar(value) => value,
            Tree::List(nodes) => nodes.into_iter().map(Node::into_value).collect(),
            Tree::Map(entries) => {
                entries.into_iter().map(|entry| (entry.key, entry.value.into_value())).collect::<Map<_, _>>().into()
            }
        }
    }

    /// The part under `key`, if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.tree {
            Tree::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            Tree::Scalar(_) | Tree::List(_) => None,
        }
    }

    /// The part that a JSON pointer (RFC 6901) names, or the nearest one above it that is there.
    #[must_use]
    pub fn nearest(&self, pointer: &str) -> &Node {
        let mut node = self;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let next = match &node.tree {
                Tree::Map(_) => node.get(&token),
                Tree::List(nodes) => token.parse::<usize>().ok().and_then(|index| nodes.get(index)),
                Tree::Scalar(_) => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self { tree: spanned.value, line: spanned.referenced.line(), column: spanned.referenced.column() })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has too")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        number(value).map(Tree::Scalar).ok_or_else(|| E::custom("infinity and NaN have no form in JSON"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Tree::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(key) = map.next_key::<Spanned<Key>>()? {
            let value = map.next_value()?;
            let (line, column, key) = (key.referenced.line(), key.referenced.column(), key.value.0);
            entries.push(Entry { key, line, column, value });
        }
        Ok(Tree::Map(entries))
    }
}

/// A whole number is written without a fraction, as Go's JSON writer does: the API server refuses
/// `1000.0` where it wants an integer.
fn number(value: f64) -> Option<Value> {
    /// The largest number below which every whole `f64` is an exact integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and in range, as was just asked")]
        let whole = value as i64;
        Some(whole.into())
    } else {
        Number::from_f64(value).map(Value::Number)
    }
}

/// A key as JSON has it: kubectl makes text of numbers and booleans.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Tree::deserialize(deserializer)? {
            Tree::Scalar(Value::String(text)) => Ok(Self(text)),
            Tree::Scalar(Value::Null) => Ok(Self("null".to_owned())),
            Tree::Scalar(other) => Ok(Self(other.to_string())),
            Tree::List(_) | Tree::Map(_) => Err(D::Error::custom("a key must be text, a number or a boolean")),
        }
    }
}
