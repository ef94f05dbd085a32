//! A field of an answer as the bytes of a file. Pure.

use contract::Redacted;
use serde_json::value::RawValue;

/// How a list becomes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lists {
    /// As JSON.
    Json,
    /// One text after the other, each on lines of its own: the certificates of a chain.
    Lines,
}

/// The bytes of a field: a text as it is, anything else as its JSON; `None` for `null`.
pub(super) fn bytes_of(field: &RawValue, lists: Lists) -> Option<Redacted> {
    let json = field.get();
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(json).ok().map(Redacted::from),
        Some(b'n') => None,
        Some(b'[') if lists == Lists::Lines => match serde_json::from_str::<Vec<String>>(json) {
            Ok(texts) => Some(Redacted::from(texts.join("\n"))),
            Err(_) => Some(Redacted::from(json.as_bytes())),
        },
        _ => Some(Redacted::from(json.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_bytes() {
        for (json, lists, bytes) in [
            (r#""a\n\"b\"ü""#, Lists::Json, Some("a\n\"b\"ü")),
            (r#""""#, Lists::Json, Some("")),
            ("null", Lists::Json, None),
            ("12345678901234567890123", Lists::Json, Some("12345678901234567890123")),
            ("1.0", Lists::Json, Some("1.0")),
            ("true", Lists::Json, Some("true")),
            (r#"{"a":[1]}"#, Lists::Json, Some(r#"{"a":[1]}"#)),
            (r#"["a","b"]"#, Lists::Json, Some(r#"["a","b"]"#)),
            (r#"["a","b"]"#, Lists::Lines, Some("a\nb")),
            ("[1]", Lists::Lines, Some("[1]")),
        ] {
            let field: Box<RawValue> = serde_json::from_str(json).unwrap();
            let value = bytes_of(&field, lists);
            assert_eq!(value.as_ref().map(Redacted::expose), bytes.map(str::as_bytes), "{json}");
        }
    }
}
