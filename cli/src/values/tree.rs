//! What JSON and YAML have in common, with every string wiped when it goes.
//!
//! The libraries' own messages may quote a value, so that only the place is told.

use std::fmt;

use contract::Redacted;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A document. An object keeps its keys as they came, also one that comes twice.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    Bool,
    Number,
    Text(Redacted),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Node {
    /// The value of an object's key.
    pub(super) fn at(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// A text that is no secret.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => std::str::from_utf8(text.expose()).ok(),
            _ => None,
        }
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// The one document of a JSON text.
pub(super) fn json(text: &str) -> Result<Vec<Node>, String> {
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text)
        .map(|it| vec![it])
        .map_err(|it| format!("line {} column {} is not JSON", it.line(), it.column()))
}

/// The documents of a YAML text.
pub(super) fn yaml(text: &str) -> Result<Vec<Node>, String> {
    let mut documents: Vec<Node> =
        serde_saphyr::from_multiple(text).map_err(|error| match error.location() {
            Some(at) => format!(
                "line {} column {} is not YAML, or a key is there twice",
                at.line(),
                at.column()
            ),
            None => "it is not YAML".to_owned(),
        })?;
    documents.retain(|it| *it != Node::Null);
    Ok(documents)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Bool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(Redacted::from(text.as_bytes())))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(Redacted::from(text)))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Node::Object(object))
    }
}
