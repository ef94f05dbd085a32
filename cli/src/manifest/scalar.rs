//! Plain scalars as kubectl reads them: by the rules of go-yaml v2, which are those of YAML 1.1.
//! `yes` is true, `0400` is 256, `1_000` is 1000, and a date is a string.

use serde_json::{Number, Value};

/// The value of a plain scalar; `None` if JSON has none for it, as for `.inf`.
pub(super) fn resolve(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => return None,
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    })
}

fn number(text: &str) -> Option<Number> {
    let plain = match text.as_bytes().first()? {
        b'.' => return float(text),
        b'0'..=b'9' | b'+' | b'-' => text.replace('_', ""),
        _ => return None,
    };
    integer(&plain).or_else(|| float(&plain))
}

/// With the prefixes of Go: `0x`, `0o` or `0` (octal), `0b`.
fn integer(plain: &str) -> Option<Number> {
    let (is_negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, &*lower)
    };
    // `from_str_radix` takes a sign, and there was one.
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if is_negative {
        0_i64.checked_sub_unsigned(magnitude).map(Number::from)
    } else {
        Some(Number::from(magnitude))
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`; a whole number as JSON writes it.
fn float(plain: &str) -> Option<Number> {
    let is_part = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    let has_digit = plain.bytes().next_back().is_some_and(|b| b.is_ascii_digit() || b == b'.')
        && plain.bytes().any(|b| b.is_ascii_digit());
    if !has_digit || !plain.bytes().all(is_part) {
        return None;
    }
    let value: f64 = plain.parse().ok()?;
    // Beyond 2^53 the digits of a whole number are not exact.
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// Whether some reader of YAML takes the plain text for something else than a string.
pub(super) fn is_ambiguous(text: &str) -> bool {
    let looks_like_number =
        text.bytes().all(|b| b.is_ascii_hexdigit() || b"+-._:xobTZtz ".contains(&b))
            && text.bytes().next().is_some_and(|b| b.is_ascii_digit() || b"+-.".contains(&b));
    looks_like_number
        || matches!(text, "<<" | "=")
        || !matches!(resolve(text), Some(Value::String(_)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_are_what_go_yaml_makes_of_them() {
        for (text, value) in [
            ("0400", json!(256)),
            ("0644", json!(420)),
            ("0o400", json!(256)),
            ("0800", json!(800)),
            ("8080", json!(8080)),
            ("0", json!(0)),
            ("-0", json!(0)),
            ("+5", json!(5)),
            ("-0x1F", json!(-31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("1e3", json!(1000)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1.", json!(1)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("yes", json!(true)),
            ("On", json!(true)),
            ("n", json!(false)),
            ("off", json!(false)),
            ("~", json!(null)),
            ("", json!(null)),
            ("yEs", json!("yEs")),
            ("2001-01-01", json!("2001-01-01")),
            ("1:30", json!("1:30")),
            ("1.2.3", json!("1.2.3")),
            ("100m", json!("100m")),
            ("1Gi", json!("1Gi")),
            ("-", json!("-")),
            ("0x", json!("0x")),
            ("1e", json!("1e")),
            ("+-5", json!("+-5")),
            ("infinity", json!("infinity")),
        ] {
            assert_eq!(resolve(text), Some(value), "{text}");
        }
        assert_eq!(resolve(".inf"), None);
    }
}
