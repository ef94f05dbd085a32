//! Prints JSON values as YAML that every reader takes for the same values.

use serde_json::Value;

use super::scalar::is_ambiguous;

/// One document, with a line break at its end.
pub(super) fn yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut text),
        Value::Array(list) if !list.is_empty() => block(value, 0, &mut text),
        _ => {
            inline(value, 0, &mut text);
            text.push('\n');
        }
    }
    text
}

/// A mapping or a sequence that is not empty.
fn block(value: &Value, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                text.push_str(&pad);
                text.push_str(&plain_or_quoted(key));
                text.push(':');
                below(value, indent, text);
            }
        }
        Value::Array(list) => {
            for item in list {
                text.push_str(&pad);
                text.push('-');
                if is_block(item) {
                    // The first key stands on the line of the dash.
                    let start = text.len();
                    block(item, indent + 2, text);
                    text.replace_range(start..start + indent + 2, " ");
                } else {
                    text.push(' ');
                    inline(item, indent, text);
                    text.push('\n');
                }
            }
        }
        _ => {}
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

/// What follows a key.
fn below(value: &Value, indent: usize, text: &mut String) {
    if is_block(value) {
        text.push('\n');
        // kubectl's own style: a sequence is not indented below its key.
        let deeper = if value.is_array() { indent } else { indent + 2 };
        block(value, deeper, text);
    } else {
        text.push(' ');
        inline(value, indent, text);
        text.push('\n');
    }
}

fn inline(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::String(string) => match literal_block(string, indent + 2) {
            Some(block) => text.push_str(&block),
            None => text.push_str(&plain_or_quoted(string)),
        },
        Value::Object(_) => text.push_str("{}"),
        Value::Array(_) => text.push_str("[]"),
        other => text.push_str(&other.to_string()),
    }
}

/// `|` and the lines, without the last line break; `None` where that would change the text.
fn literal_block(string: &str, indent: usize) -> Option<String> {
    let body = string.trim_end_matches('\n');
    let is_fit = body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && body.chars().all(|c| c == '\n' || is_printable(c));
    if !is_fit {
        return None;
    }
    let (chomping, kept) = match string.len() - body.len() {
        0 => ("|-", body),
        1 => ("|", body),
        _ => ("|+", &string[..string.len() - 1]),
    };
    let mut block = chomping.to_owned();
    for line in kept.split('\n') {
        block.push('\n');
        if !line.is_empty() {
            block.push_str(&" ".repeat(indent));
            block.push_str(line);
        }
    }
    Some(block)
}

fn plain_or_quoted(string: &str) -> String {
    if is_plain(string) { string.to_owned() } else { quoted(string) }
}

fn is_plain(string: &str) -> bool {
    let starts = string.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_'));
    let ends = !string.ends_with([' ', ':']);
    let is_inside = |c: char| c.is_ascii_alphanumeric() || "_-./:@+=,~ ()$".contains(c);
    starts
        && ends
        && string.chars().all(is_inside)
        && !string.contains(": ")
        && !is_ambiguous(string)
}

/// In double quotes, with JSON's escapes and YAML's for the rest.
fn quoted(string: &str) -> String {
    let mut text = String::with_capacity(string.len() + 2);
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            c if is_printable(c) => text.push(c),
            c if u32::from(c) <= 0xffff => text.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => text.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    text.push('"');
    text
}

/// What YAML may hold as it is, but for line and byte-order marks.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}
