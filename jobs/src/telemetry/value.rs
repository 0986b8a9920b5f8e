//! One record of any source: a borrowed tree that JSON lines, CSV records and Parquet rows are all turned into, so that
//! a schema mapping is written once.
//!
//! Lookups take dotted paths and accept nested objects, dotted keys and any mixture of the two
//! (`{"process.parent": {"command_line": …}}`). Of duplicate keys the last non-null one counts, as with most JSON
//! readers. Strings borrow from the input unless the JSON text escapes something.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A value of one record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    /// Bytes that are not UTF-8 (Parquet only: a JSON line or CSV record is checked as a whole).
    Bytes(&'a [u8]),
    /// Microseconds since 1970-01-01T00:00:00Z (Parquet only).
    Time(i64),
    List(Vec<Node<'a>>),
    Map(Vec<(Cow<'a, str>, Node<'a>)>),
    /// A value of a type that no mapping reads.
    Other,
}

impl<'a> Node<'a> {
    /// The last non-null value at a dotted path.
    pub(super) fn get(&self, path: &str) -> Option<&Node<'a>> {
        let Node::Map(entries) = self else {
            return None;
        };
        entries.iter().rev().find_map(|(key, value)| {
            let rest = path.strip_prefix(key.as_ref())?;
            if rest.is_empty() {
                (*value != Node::Null).then_some(value)
            } else {
                value.get(rest.strip_prefix('.')?)
            }
        })
    }

    /// The value at the first of these paths that has one.
    pub(super) fn first(&self, paths: &[&str]) -> Option<&Node<'a>> {
        paths.iter().find_map(|path| self.get(path))
    }

    /// Whether a path exists, be its value null.
    pub(super) fn has(&self, path: &str) -> bool {
        let Node::Map(entries) = self else {
            return false;
        };
        entries
            .iter()
            .any(|(key, value)| match path.strip_prefix(key.as_ref()) {
                Some("") => true,
                Some(rest) => rest.strip_prefix('.').is_some_and(|rest| value.has(rest)),
                // A dotted key below the path asked for: `process.pid` shows that there is a `process`.
                None => key
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.starts_with('.')),
            })
    }

    /// The value as text: strings as they are, numbers and booleans written out; `None` for anything else and for "".
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Node::Text(text) if text.is_empty() => None,
            Node::Text(text) => Some(Cow::Borrowed(text)),
            Node::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Node::Int(value) => Some(Cow::Owned(value.to_string())),
            Node::Float(value) => Some(Cow::Owned(value.to_string())),
            Node::Bytes(bytes) => Some(String::from_utf8_lossy(bytes)),
            // A field that may hold one value or many (ECS): the first one speaks.
            Node::List(values) => values.first().and_then(Node::text),
            Node::Null | Node::Time(_) | Node::Map(_) | Node::Other => None,
        }
    }

    /// The value as a boolean, also from 0/1 and the words.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Node::Bool(value) => Some(*value),
            Node::Int(0) => Some(false),
            Node::Int(1) => Some(true),
            Node::Text(text) => match text.trim() {
                "true" | "True" | "TRUE" | "1" => Some(true),
                "false" | "False" | "FALSE" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value as a whole number, also from its decimal digits.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Node::Int(value) => Some(*value),
            Node::Text(text) => text.trim().parse().ok(),
            Node::List(values) => values.first().and_then(Node::integer),
            _ => None,
        }
    }

    /// Whether the value, or one of a list's, is one of these words.
    pub(super) fn is_any_of(&self, words: &[&str]) -> bool {
        match self {
            Node::Text(text) => words.iter().any(|word| text.eq_ignore_ascii_case(word)),
            Node::List(values) => values.iter().any(|value| value.is_any_of(words)),
            _ => false,
        }
    }

    /// A short name of the value that is safe to print and to count by: no text that a sender could fill.
    pub(super) fn label(&self) -> Cow<'static, str> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        match self {
            Node::Int(value) => Cow::Owned(value.to_string()),
            Node::Text(text) if text.len() <= 32 && !text.is_empty() && text.chars().all(plain) => {
                Cow::Owned(text.to_string())
            }
            Node::List(values) => values.first().map_or(Cow::Borrowed("none"), Node::label),
            _ => Cow::Borrowed("other"),
        }
    }
}

impl<'de> Deserialize<'de> for Node<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Int(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        // Beyond i64 no time, id or flag is meant.
        Ok(i64::try_from(value).map_or(Node::Other, Node::Int))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Float(value))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node<'de>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Node::List(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node<'de>, A::Error> {
        let mut entries = Vec::with_capacity(16);
        while let Some((Key(key), value)) = access.next_entry()? {
            entries.push((key, value));
        }
        Ok(Node::Map(entries))
    }
}

/// serde's own `Cow` always copies.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(value.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// As JSON, which is how a bad Parquet row is kept in quarantine. Bytes that are not UTF-8 are an array of numbers.
impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null | Node::Other => serializer.serialize_unit(),
            Node::Bool(value) => serializer.serialize_bool(*value),
            Node::Int(value) | Node::Time(value) => serializer.serialize_i64(*value),
            Node::Float(value) => serializer.serialize_f64(*value),
            Node::Text(text) => serializer.serialize_str(text),
            Node::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Node::List(values) => serializer.collect_seq(values),
            Node::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}
