//! `.env` files.
//!
//! The common ground of the tools that read them: `NAME=value`, an optional `export`, `#` comments
//! on lines of their own or behind an unquoted value, single quotes for a value as it stands,
//! double quotes with `\n`, `\r`, `\t`, `\\`, `\"`, `` \` `` and `\$`, both over several lines.
//! Nothing is expanded: `$X` in a value is those two characters, since a secret that changes under
//! the user's hand would be worse.
//!
//! A line that is not understood may be part of a value, so no message quotes one.

use contract::{Redacted, SecretName};

use super::Values;

/// Reads a whole file. A name that comes twice is refused: which one was meant is not ours to
/// guess.
pub(crate) fn parse(text: &str) -> Result<Values, String> {
    let mut found = Values::default();
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
        let equals =
            rest[..end].find('=').ok_or_else(|| fail("there is no '='; write NAME=value"))?;
        let name = rest[..equals].trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim);
        let name: SecretName =
            name.parse().map_err(|_| fail("what stands before the '=' is no name of a secret"))?;
        let (value, used) = value(&rest[equals + 1..]).map_err(fail)?;
        found.add(name, value).map_err(|reason| fail(&reason))?;
        let used = equals + 1 + used;
        line += rest[..used].matches('\n').count();
        rest = &rest[used..];
    }
    Ok(found)
}

/// Writes what [`parse`], a shell and the usual readers of such files take back to the same values.
/// Bytes that are no text cannot be written.
pub(crate) fn print(values: &Values) -> Result<Redacted, String> {
    let mut file = Vec::new();
    for (name, value) in values.iter() {
        let text = std::str::from_utf8(value.expose()).map_err(|_| {
            format!("{name} is no text, which a .env file cannot hold: take another --format")
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

/// The value at the start of `text`, and how many bytes it and the rest of its line take.
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
                return Err("a value of several lines must stand in quotes");
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
        return Err("there is text behind the closing quote");
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
    fn forms() {
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
    fn several_lines_count() {
        assert_eq!(
            read("A=1\nB=\"2\n3\"\nC='4'"),
            [("A", "1"), ("B", "2\n3"), ("C", "4")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert_eq!(
            parse("A=\"1\n2\"\nhunter2").unwrap_err(),
            "line 3: there is no '='; write NAME=value"
        );
    }

    #[test]
    fn what_is_refused_names_the_line_and_no_value() {
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
