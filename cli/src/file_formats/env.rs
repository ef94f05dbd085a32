//! `.env` files: reading.
//!
//! The syntax is what common tools agree on: `NAME=value`, an optional `export`, `#` comments on
//! their own line or after an unquoted value, single quotes and backticks for literal values, and
//! double quotes with the escapes `\n`, `\r`, `\t`, `\\`, `\"`, `` \` `` and `\$`. Quoted values
//! may span lines. Nothing is expanded: `$X` in a value is those two characters, since an expansion
//! could silently change a secret.
//!
//! An invalid line may be part of a value, so no message quotes it.

use contract::Redacted;

use super::keys::{Collector, Key};

/// Parses a file. Fails on a duplicate name, since only the user knows which one is meant.
pub(super) fn parse(text: &str, collector: &mut Collector<'_>) -> Result<(), String> {
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
        let key = rest[..equals].trim();
        let key = key.strip_prefix("export ").map_or(key, str::trim);
        let (value, used) = value(&rest[equals + 1..]).map_err(fail)?;
        if let Some(name) = collector.name(Key::at_line(key, start)) {
            collector.add(name, value).map_err(|reason| fail(&reason))?;
        }
        let used = equals + 1 + used;
        line += rest[..used].matches('\n').count();
        rest = &rest[used..];
    }
    Ok(())
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
        Some('`') => backtick_quoted(&body[1..])?,
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

/// As dotenv for Node and Node itself read it: literally, over several lines.
fn backtick_quoted(body: &str) -> Result<(String, usize), &'static str> {
    let end = body.find('`').ok_or("the backtick is never closed")?;
    if body[..end].ends_with('\\') {
        return Err(
            "a backslash before a backtick means different things to different tools: use \
                    double quotes",
        );
    }
    Ok((body[..end].to_owned(), end + 2))
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

    use super::super::SecretValues;
    use super::super::keys::KeyRules;
    use super::*;

    fn parse(text: &str) -> Result<SecretValues, String> {
        let rules = KeyRules::default();
        let mut collector = Collector::new(&rules);
        super::parse(text, &mut collector)?;
        collector.finish()
    }

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
            ("A=`b 'c' \"d\" \\n`", "b 'c' \"d\" \\n"),
            ("A=`b\nc` # x", "b\nc"),
            ("A=``", ""),
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
            "A=`hunter2",
            "A=`hunter2\\`",
            "A=`x` hunter2",
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
