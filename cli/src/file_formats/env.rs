//! `.env` files.
//!
//! The syntax is what common tools agree on: `NAME=value`, an optional `export`, `#` comments on
//! their own line or after an unquoted value, single quotes for literal values, double quotes with
//! the escapes `\n`, `\r`, `\t`, `\\`, `\"`, `` \` `` and `\$`. Quoted values may span lines.
//! Nothing is expanded: `$X` in a value is those two characters, since an expansion could silently
//! change a secret.
//!
//! An invalid line may be part of a value, so no message quotes it.

use contract::{Redacted, SecretName};

use super::SecretValues;

/// Parses a file. Fails on a duplicate name, since only the user knows which one is meant.
pub(crate) fn parse(text: &str) -> Result<SecretValues, String> {
    let mut found = SecretValues::default();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let start = line;
        let fail = |reason: &str| format!("line {start}: {reason}");
        let end = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let trimmed = rest[..end].trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = &rest[end..];
            line += 1;
            continue;
        }
        let equals = rest[..end].find('=').ok_or_else(|| fail("no '='; write NAME=value"))?;
        let name = rest[..equals].trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim);
        let name: SecretName =
            name.parse().map_err(|_| fail("the text before the '=' is not a valid secret name"))?;
        let (value, used) = value(&rest[equals + 1..]).map_err(fail)?;
        found.add(name, value).map_err(|reason| fail(&reason))?;
        let used = equals + 1 + used;
        line += rest[..used].matches('\n').count();
        rest = &rest[used..];
    }
    Ok(found)
}

/// Formats the values so that [`parse`], a shell and common tools read back the same values. Fails
/// on binary values.
pub(crate) fn print(values: &SecretValues) -> Result<Redacted, String> {
    let mut file = Vec::new();
    for (name, value) in values.iter() {
        let text = std::str::from_utf8(value.expose()).map_err(|_| {
            format!("{name} is not text, and a .env file holds only text: choose another --format")
        })?;
        file.extend_from_slice(name.as_str().as_bytes());
        file.push(b'=');
        quote(text, &mut file);
        file.push(b'\n');
    }
    Ok(Redacted::new(file))
}

fn quote(text: &str, file: &mut Vec<u8>) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&b);
    if text.bytes().all(plain) {
        file.extend_from_slice(text.as_bytes());
    } else if !text.contains(['\'', '\n', '\r']) {
        file.extend([b"'", text.as_bytes(), b"'"].concat());
    } else {
        file.push(b'"');
        for byte in text.bytes() {
            match byte {
                b'\n' => file.extend(b"\\n"),
                b'\r' => file.extend(b"\\r"),
                b'\\' | b'"' | b'$' | b'`' => file.extend([b'\\', byte]),
                other => file.push(other),
            }
        }
        file.push(b'"');
    }
}

/// Parses the value at the start of `text`. Also returns the length of the value with the rest of
/// its line.
fn value(text: &str) -> Result<(Redacted, usize), &'static str> {
    let skipped = text.len() - text.trim_start_matches([' ', '\t']).len();
    let body = &text[skipped..];
    let (value, used) = match body.chars().next() {
        Some('\'') => {
            let end = body[1..].find('\'').ok_or("the single quote is never closed")?;
            (body[1..=end].to_owned(), end + 2)
        }
        Some('"') => double_quoted(&body[1..])?,
        _ => {
            let line = &body[..body.find('\n').unwrap_or(body.len())];
            if line.trim_start().starts_with("-----BEGIN ") && !line.contains("-----END ") {
                return Err("quote a value of several lines");
            }
            let comment = if skipped > 0 && line.starts_with('#') {
                Some(0)
            } else {
                line.find(" #").or_else(|| line.find("\t#"))
            };
            let end = comment.unwrap_or(line.len());
            return Ok((
                Redacted::from(line[..end].trim_end().as_bytes()),
                line_end(text, skipped + line.len()),
            ));
        }
    };
    let tail = &body[used..];
    let tail = tail[..tail.find('\n').unwrap_or(tail.len())].trim();
    if !tail.is_empty() && !tail.starts_with('#') {
        return Err("there is text after the closing quote");
    }
    Ok((Redacted::from(value), line_end(text, skipped + used)))
}

fn double_quoted(body: &str) -> Result<(String, usize), &'static str> {
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, at + 2)),
            '\\' => match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(same @ ('\\' | '"' | '$' | '`')) => value.push(same),
                Some(other) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("the double quote is never closed")
}

fn line_end(text: &str, from: usize) -> usize {
    text[from..].find('\n').map_or(text.len(), |at| from + at + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let text_of = |value: &Redacted| String::from_utf8(value.expose().to_vec()).unwrap();
        parse(text)
            .unwrap()
            .iter()
            .map(|(name, value)| (name.to_string(), text_of(value)))
            .collect()
    }

    #[test]
    fn values_are_parsed() {
        for (text, expected) in [
            ("A=b", "b"),
            ("A=b\r\n", "b"),
            ("export A=b # why", "b"),
            ("A=b#c", "b#c"),
            ("A= # why", ""),
            ("A=#c", "#c"),
            ("A = b c \n", "b c"),
            ("A=", ""),
            ("A=''", ""),
            ("A='b # $c \\n'", "b # $c \\n"),
            ("A=\"b\\nc\\\"d\\$e\\q\" # x", "b\nc\"d$e\\q"),
            ("A=\"b\nc\"", "b\nc"),
            ("# x\n\n  A=b", "b"),
            ("A=postgres://u:p@h/d?x=y", "postgres://u:p@h/d?x=y"),
            ("\u{feff}A=b", "b"),
        ] {
            assert_eq!(read(text), [("A".to_owned(), expected.to_owned())], "{text:?}");
        }
    }

    #[test]
    fn errors_count_lines_within_values() {
        assert_eq!(
            read("A=1\nB=\"2\n3\"\nC='4'"),
            [("A", "1"), ("B", "2\n3"), ("C", "4")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert_eq!(parse("A=\"1\n2\"\nhunter2").unwrap_err(), "line 3: no '='; write NAME=value");
    }

    #[test]
    fn errors_name_the_line_and_do_not_quote_it() {
        for text in [
            "hunter2",
            "1A=hunter2",
            "hun+ter2==",
            "A='hunter2",
            "A=\"hunter2",
            "A='x' hunter2",
            "A=1\nA=hunter2",
            "A=-----BEGIN RSA PRIVATE KEY-----\nhunter2==\n",
        ] {
            let message = parse(text).unwrap_err();
            assert!(
                message.starts_with("line ")
                    && !message.contains("hunter2")
                    && !message.contains("hun+"),
                "{message}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[A-Z=\"'\\\\ #\n$a-z]{0,60}|\\PC*") {
            let _ = parse(&text);
        }
    }
}
