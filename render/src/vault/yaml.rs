//! YAML of a value. It says the same as what consul-template writes; where a text needs quotation
//! marks, it has double ones.

use serde_json::Value as Json;

/// Words that YAML takes for something else than a text.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// A document, without a line break at its end.
pub(super) fn document(value: &Json) -> String {
    let mut out = String::new();
    node(value, 0, &mut out);
    out.truncate(out.trim_end_matches('\n').len());
    out
}

/// A value that begins on the current line, each line of it with an end.
fn node(value: &Json, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Json::Object(fields) if !fields.is_empty() => {
            for (at, (name, it)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push_str(&indent);
                }
                out.push_str(&scalar(name));
                out.push(':');
                member(it, depth, out);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for (at, it) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(&indent);
                }
                out.push_str("- ");
                node(it, depth + 1, out);
            }
        }
        Json::String(text) => {
            out.push_str(&scalar(text));
            out.push('\n');
        }
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

/// The value after a name.
fn member(value: &Json, depth: usize, out: &mut String) {
    // A list begins below its name, with no more indentation.
    let below = match value {
        Json::Object(fields) if !fields.is_empty() => depth + 1,
        Json::Array(items) if !items.is_empty() => depth,
        _ => {
            out.push(' ');
            return node(value, depth, out);
        }
    };
    out.push('\n');
    out.push_str(&"  ".repeat(below));
    node(value, below, out);
}

/// A text, in quotation marks if YAML would take it for something else without.
fn scalar(text: &str) -> String {
    let is_plain_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    let is_plain = text.bytes().all(is_plain_byte)
        && text.bytes().next().is_some_and(|it| it.is_ascii_alphabetic() || it == b'/')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    match is_plain {
        true => text.to_owned(),
        // JSON's texts are YAML's.
        false => Json::from(text).to_string(),
    }
}
