//! The data model that JSON and YAML share. Every string is wiped when it is dropped.
//!
//! The libraries' messages may quote a value, so errors give only the position.

use std::fmt;

use contract::Redacted;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A document or a part of one. An object keeps duplicate keys, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Document {
    Null,
    Bool,
    Number,
    Text(Redacted),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Document {
    /// The value of an object's key.
    pub(super) fn at(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// The string, for text that is not secret.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => std::str::from_utf8(text.expose()).ok(),
            _ => None,
        }
    }

    /// The type in words, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Parses JSON into its one document.
pub(super) fn json(text: &str) -> Result<Vec<Document>, String> {
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text)
        .map(|it| vec![it])
        .map_err(|it| format!("line {} column {} is not JSON", it.line(), it.column()))
}

/// Parses YAML into its documents.
pub(super) fn yaml(text: &str) -> Result<Vec<Document>, String> {
    // A tag that is ignored would leave what another tool replaces: `!vault`, `!ENV` and so on.
    let options = serde_saphyr::options! { reject_unsupported_tags: true };
    let mut documents: Vec<Document> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| {
            let place = error.location().map_or_else(
                || "it".to_owned(),
                |at| format!("line {} column {}", at.line(), at.column()),
            );
            match error.without_snippet() {
                // The tag is not quoted: it may be a value that starts with '!'.
                serde_saphyr::Error::UnsupportedTag { .. } => format!(
                    "{place} has a tag, such as !vault or !ENV, that another tool replaces: let it \
                     write the plain values first, or quote a value that starts with '!'"
                ),
                _ => format!("{place} is not YAML, or repeats a key"),
            }
        })?;
    documents.retain(|it| *it != Document::Null);
    Ok(documents)
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON or YAML value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Document, E> {
        Ok(Document::Bool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Document, E> {
        Ok(Document::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Document, E> {
        Ok(Document::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Document, E> {
        Ok(Document::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Document, E> {
        Ok(Document::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Document, E> {
        Ok(Document::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Document, E> {
        Ok(Document::Text(Redacted::from(text.as_bytes())))
    }

    fn visit_string<E>(self, text: String) -> Result<Document, E> {
        Ok(Document::Text(Redacted::from(text)))
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Document, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Document::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Document, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Document::Object(object))
    }
}
