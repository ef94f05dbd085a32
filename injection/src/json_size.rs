//! How much a JSON text holds, before it is read into memory.

/// The most values of a pod's JSON. A pod of a thousand variables in each of five containers has
/// some 20,000, and etcd takes no object that is larger than 1.5 MiB.
pub const MAX_JSON_VALUES: usize = 1 << 16;

/// Whether a JSON text has more than `maximum` values: objects, arrays, strings, numbers, booleans
/// and nulls, but not the names of an object's fields. An empty array or object counts twice. The
/// text need not be valid.
pub(crate) fn has_more_values(json: &str, maximum: usize) -> bool {
    // Each value but the first follows a comma or an opening bracket.
    if json.len() < maximum {
        return false;
    }
    let mut values = 1_usize;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b'[' | b'{' => values += 1,
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
        if values > maximum {
            return true;
        }
    }
    values > maximum
}

/// Skips the rest of a string and its closing quote.
fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_strings() {
        for (json, values) in [
            ("1", 1),
            (r#"{"a":1}"#, 2),
            (r#"{"a":1,"b":[2,3,{}]}"#, 7),
            (r#""a,[{,\",,""#, 1),
            (r#"["\\",",",1]"#, 4),
            ("", 1),
            (r#"["unterminated,,,,"#, 2),
        ] {
            assert!(!has_more_values(json, values), "{json}");
            assert!(has_more_values(json, values - 1), "{json}");
        }
    }
}
