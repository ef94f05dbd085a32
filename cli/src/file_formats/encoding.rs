//! What the object and Kubernetes formats share: names, base64 and YAML keys.

use contract::{Redacted, SecretName};
use zeroize::Zeroizing;

use super::document::Document;

/// The entries of an object.
pub(super) fn entries(node: Document) -> Result<Vec<(String, Document)>, String> {
    match node {
        Document::Object(entries) => Ok(entries),
        node => Err(format!("it must be an object of strings, not {}", node.kind())),
    }
}

/// Decodes standard base64, ignoring whitespace.
pub(super) fn decode(name: &SecretName, text: &Redacted) -> Result<Redacted, String> {
    let compact: Zeroizing<Vec<u8>> = Zeroizing::new(
        text.expose().iter().copied().filter(|it| !it.is_ascii_whitespace()).collect(),
    );
    let quoted = Zeroizing::new([b"\"", compact.as_slice(), b"\""].concat());
    serde_json::from_slice(&quoted).map_err(|_| format!("value of {name}: not standard base64"))
}

/// Encodes standard base64.
pub(super) fn encode(value: &Redacted) -> Result<Zeroizing<String>, String> {
    serde_json::to_string(&value.wire()).map(Zeroizing::new).map_err(|error| error.to_string())
}

/// A YAML key with its colon. Words that YAML 1.1 reads as booleans or null are quoted.
pub(super) fn yaml_key(name: &SecretName) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    if WORDS.iter().any(|word| name.as_str().eq_ignore_ascii_case(word)) {
        format!("\"{name}\": ")
    } else {
        format!("{name}: ")
    }
}
