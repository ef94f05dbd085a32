//! An object of strings in JSON or YAML. A binary value is `{"base64": "…"}`.

use std::fmt::Write as _;

use contract::{Redacted, SecretName};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::SecretValues;
use super::document::Document;
use super::encoding::{decode, encode, entries, yaml_key};
use super::keys::{Collector, Key};

/// Reads the secrets of one object.
pub(super) fn read(documents: Vec<Document>, collector: &mut Collector<'_>) -> Result<(), String> {
    let mut documents = documents.into_iter();
    let (Some(document), None) = (documents.next(), documents.next()) else {
        return Err("the file must hold one document, an object of strings".to_owned());
    };
    if document.at("sops").is_some_and(|it| it.at("mac").is_some()) {
        return Err(
            "the file is encrypted with SOPS: `sops --decrypt FILE | enclii secrets import -`"
                .to_owned(),
        );
    }
    for (key, node) in entries(document)? {
        if let Some(name) = collector.name(Key::of(&key)) {
            let value = value(&name, node)?;
            collector.add(name, value)?;
        }
    }
    Ok(())
}

fn value(name: &SecretName, node: Document) -> Result<Redacted, String> {
    match node {
        Document::Text(text) => Ok(text),
        Document::Number | Document::Bool => Err(format!(
            "value of {name}: must be a string, not {}; quote it, so that its characters are kept",
            node.kind()
        )),
        Document::Object(mut entries) => match (entries.pop(), entries.pop()) {
            (Some((key, Document::Text(text))), None) if key == "base64" => decode(name, &text),
            _ => Err(format!("value of {name}: an object must be {{\"base64\": \"…\"}}")),
        },
        Document::Null | Document::List(_) => {
            Err(format!("value of {name}: must be a string, not {}", node.kind()))
        }
    }
}

/// Formats the values as an indented JSON object.
pub(super) fn print_json(values: &SecretValues) -> Result<Redacted, String> {
    let mut text =
        serde_json::to_vec_pretty(&JsonObject(values)).map_err(|error| error.to_string())?;
    text.push(b'\n');
    Ok(Redacted::new(text))
}

/// Formats the values as a YAML mapping. Double quotes make every value a string to every reader.
pub(super) fn print_yaml(values: &SecretValues) -> Result<Redacted, String> {
    let mut text = String::new();
    for (name, value) in values.iter() {
        text.push_str(&yaml_key(name));
        match std::str::from_utf8(value.expose()) {
            Ok(value) => quote(value, &mut text),
            Err(_) => {
                text.push_str("{base64: ");
                text.push_str(&encode(value)?);
                text.push('}');
            }
        }
        text.push('\n');
    }
    Ok(Redacted::from(text))
}

fn quote(value: &str, text: &mut String) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            // Characters that YAML calls not printable, or reads as line breaks.
            '\0'..='\x1f'
            | '\x7f'..='\u{a0}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

struct JsonObject<'a>(&'a SecretValues);

impl Serialize for JsonObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            match std::str::from_utf8(value.expose()) {
                Ok(text) => map.serialize_entry(name.as_str(), text)?,
                Err(_) => map.serialize_entry(name.as_str(), &Base64Value(value))?,
            }
        }
        map.end()
    }
}

struct Base64Value<'a>(&'a Redacted);

impl Serialize for Base64Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &self.0.wire())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::super::keys::KeyRules;
    use super::*;

    fn read(text: &str) -> Result<SecretValues, String> {
        let rules = KeyRules::default();
        let mut collector = Collector::new(&rules);
        super::read(document::yaml(text)?, &mut collector)?;
        collector.finish()
    }

    fn error(text: &str) -> String {
        read(text).unwrap_err()
    }

    #[test]
    fn a_value_that_is_not_a_string_is_refused_with_its_name() {
        assert_eq!(
            error("PORT: 5432"),
            "value of PORT: must be a string, not a number; \
             quote it, so that its characters are kept"
        );
        assert!(
            error("FLAG: yes")
                .starts_with("value of FLAG: must be a string, not a boolean; quote it")
        );
        assert!(error("A:").starts_with("value of A: must be a string, not null"));
        assert!(error("A: {x: y}").starts_with("value of A: an object must be"));
        assert!(error("A: {base64: YQ==, x: y}").starts_with("value of A: an object must be"));
        assert!(error("[A]").starts_with("it must be an object of strings, not a list"));
        assert!(error("A: b\n---\nC: d").starts_with("the file must hold one document"));
        assert!(error("a b: c").starts_with("a b cannot be the name of a secret"));
        assert!(error("A: ENC[x]\nsops: {mac: x}").contains("sops --decrypt"));
    }

    #[test]
    fn base64_may_span_several_lines() {
        let values = read("A:\n  base64: |\n    aGVs\n    bG8=\n").unwrap();
        assert_eq!(values.iter().next().unwrap().1.expose(), b"hello");
    }
}
