//! Decodes base64, in its standard alphabet or the one of addresses, with padding or without.

/// The text that `encoded` stands for; `None` if it is not base64, or of something else than text.
pub(super) fn decode(encoded: &str) -> Option<String> {
    let body = encoded.trim_end_matches('=');
    if body.len() % 4 == 1 || encoded.len() - body.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(body.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in body.bytes() {
        bits = (bits << 6) | sextet(byte)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).then_some(text)
}

fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_text_is_decoded_and_nothing_else() {
        for (encoded, text) in [
            ("YTpi", Some("a:b")),
            ("YTpiYw==", Some("a:bc")),
            ("YTpiYw", Some("a:bc")),
            ("", Some("")),
            ("w7w=", Some("ü")),
            ("_-8", None),
            ("AAAA", None),
            ("a b", None),
            ("YTpiY", None),
            ("YTpi===", None),
        ] {
            assert_eq!(decode(encoded).as_deref(), text, "{encoded}");
        }
    }
}
