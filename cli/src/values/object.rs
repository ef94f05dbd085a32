//! An object of strings, in JSON or YAML. Bytes that are no text are `{"base64": "…"}`.

use std::fmt::Write as _;

use contract::{Redacted, SecretName};
use serde::ser::{Serialize, SerializeMap, Serializer};
use zeroize::Zeroizing;

use super::tree::Node;
use super::{Read, Values, kubernetes};

/// Reads documents: one object, or Kubernetes manifests.
pub(super) fn read(documents: Vec<Node>) -> Result<Read, String> {
    if documents.iter().any(kubernetes::is_manifest) {
        return kubernetes::read(documents);
    }
    let mut documents = documents.into_iter();
    let (Some(document), None) = (documents.next(), documents.next()) else {
        return Err("there must be one document in it, an object of strings".to_owned());
    };
    if document.at("sops").is_some_and(|it| it.at("mac").is_some()) {
        return Err(
            "it is encrypted by SOPS: `sops --decrypt FILE | enclii secrets import -`".to_owned()
        );
    }
    let mut read = Read::default();
    for (name, node) in entries(document)? {
        let value = value(&name, node)?;
        read.values.add(name, value)?;
    }
    Ok(read)
}

/// The entries of an object, with names that secrets can have.
pub(super) fn entries(node: Node) -> Result<Vec<(SecretName, Node)>, String> {
    let Node::Object(entries) = node else {
        return Err(format!("it is {}, and must be an object of strings", node.kind()));
    };
    entries
        .into_iter()
        .map(|(name, node)| {
            Ok((name.parse().map_err(|error: contract::name::NameError| error.to_string())?, node))
        })
        .collect()
}

fn value(name: &SecretName, node: Node) -> Result<Redacted, String> {
    match node {
        Node::Text(text) => Ok(text),
        Node::Number | Node::Bool => Err(format!(
            "value of {name}: is {}; put it in quotes, so that its characters are certain",
            node.kind()
        )),
        Node::Object(mut entries) => match (entries.pop(), entries.pop()) {
            (Some((key, Node::Text(text))), None) if key == "base64" => decode(name, &text),
            _ => Err(format!("value of {name}: an object must be {{\"base64\": \"…\"}}")),
        },
        Node::Null | Node::List(_) => {
            Err(format!("value of {name}: is {}, and must be a string", node.kind()))
        }
    }
}

/// Standard base64; line ends in it are passed over.
pub(super) fn decode(name: &SecretName, text: &Redacted) -> Result<Redacted, String> {
    let compact: Zeroizing<Vec<u8>> = Zeroizing::new(
        text.expose().iter().copied().filter(|it| !it.is_ascii_whitespace()).collect(),
    );
    let quoted = Zeroizing::new([b"\"", compact.as_slice(), b"\""].concat());
    serde_json::from_slice(&quoted).map_err(|_| format!("value of {name}: is not standard base64"))
}

/// Standard base64.
pub(super) fn encode(value: &Redacted) -> Result<Zeroizing<String>, String> {
    serde_json::to_string(&value.wire()).map(Zeroizing::new).map_err(|error| error.to_string())
}

/// One object, indented.
pub(super) fn print_json(values: &Values) -> Result<Redacted, String> {
    let mut text = serde_json::to_vec_pretty(&Object(values)).map_err(|error| error.to_string())?;
    text.push(b'\n');
    Ok(Redacted::new(text))
}

/// One mapping; each value in double quotes, so that it is a string to every reader.
pub(super) fn print_yaml(values: &Values) -> Result<Redacted, String> {
    let mut text = String::new();
    for (name, value) in values.iter() {
        text.push_str(&key(name));
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

/// A key and its colon. YAML 1.1 reads some words as booleans, so they stand in quotes.
pub(super) fn key(name: &SecretName) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    if WORDS.iter().any(|word| name.as_str().eq_ignore_ascii_case(word)) {
        format!("\"{name}\": ")
    } else {
        format!("{name}: ")
    }
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
            // What YAML calls not printable, and what it may take for a line end.
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

struct Object<'a>(&'a Values);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            match std::str::from_utf8(value.expose()) {
                Ok(text) => map.serialize_entry(name.as_str(), text)?,
                Err(_) => map.serialize_entry(name.as_str(), &Bytes(value))?,
            }
        }
        map.end()
    }
}

struct Bytes<'a>(&'a Redacted);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &self.0.wire())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    fn error(text: &str) -> String {
        tree::yaml(text).and_then(read).unwrap_err()
    }

    #[test]
    fn what_is_no_string_is_refused_with_its_name() {
        assert_eq!(
            error("PORT: 5432"),
            "value of PORT: is a number; put it in quotes, so that its characters are certain"
        );
        assert!(
            error("FLAG: yes").starts_with("value of FLAG: is true or false; put it in quotes")
        );
        assert!(error("A:").starts_with("value of A: is nothing"));
        assert!(error("A: {x: y}").starts_with("value of A: an object must be"));
        assert!(error("A: {base64: YQ==, x: y}").starts_with("value of A: an object must be"));
        assert!(error("[A]").starts_with("it is a list"));
        assert!(error("A: b\n---\nC: d").starts_with("there must be one document"));
        assert!(error("a b: c").starts_with("parse secret name"));
        assert!(error("A: ENC[x]\nsops: {mac: x}").contains("sops --decrypt"));
    }

    #[test]
    fn base64_may_be_broken_into_lines() {
        let read = tree::yaml("A: {base64: |\n  aGVs\n  bG8=\n}")
            .or_else(|_| tree::yaml("A:\n  base64: |\n    aGVs\n    bG8=\n"))
            .and_then(read)
            .unwrap();
        assert_eq!(read.values.iter().next().unwrap().1.expose(), b"hello");
    }
}
