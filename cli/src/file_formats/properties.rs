//! Java properties, as `java.util.Properties.load` reads them:
//! <https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/util/Properties.html#load(java.io.Reader)>.
//!
//! `key=value`, `key: value` or `key value`; `\` escapes a character or continues the line; `#` and
//! `!` start a comment. Two things are stricter than in Java: a key needs a separator, and
//! characters beyond ASCII must be `\uXXXX`, since some programs read the file as Latin-1.
//!
//! An invalid line may be part of a value, so no message quotes it.

use std::fmt::Write as _;

use contract::Redacted;
use zeroize::Zeroizing;

use super::SecretValues;
use super::keys::{Collector, Key};

const BLANKS: [char; 3] = [' ', '\t', '\x0c'];

/// Parses a file. Fails on a duplicate key.
pub(super) fn parse(text: &str, collector: &mut Collector<'_>) -> Result<(), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = natural_lines(text);
    while let Some((number, line)) = lines.next() {
        let fail = |reason: &str| format!("line {number}: {reason}");
        let line = line.trim_start_matches(BLANKS);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = Zeroizing::new(line.to_owned());
        while is_continued(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(BLANKS));
        }
        if !logical.is_ascii() {
            return Err(fail("write characters beyond ASCII as \\uXXXX"));
        }
        let (key, value) = split(&logical)
            .ok_or_else(|| fail("no '=', ':' or blank after the key; write KEY=VALUE"))?;
        let unescaped = |text| unescape(text).map_err(fail);
        let (key, value) = (unescaped(key)?, unescaped(value)?);
        if let Some(name) = collector.name(Key::at_line(&key, number)) {
            collector
                .add(name, Redacted::from(value.as_bytes()))
                .map_err(|reason| fail(&reason))?;
        }
    }
    Ok(())
}

/// The lines with their numbers. A line ends with CR, LF or both.
fn natural_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = Some(text);
    let lines = std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else { return rest.take() };
        let after = &text[end..];
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..));
        Some(&text[..end])
    });
    (1..).zip(lines)
}

/// Whether an odd number of backslashes ends the line.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// The key and the value, both still escaped. `None` without a separator.
fn split(line: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let separates = !escaped && (BLANKS.contains(&c) || matches!(c, '=' | ':'));
        escaped = c == '\\' && !escaped;
        separates
    })?;
    let rest = line[end..].trim_start_matches(BLANKS);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    Some((&line[..end], rest.trim_start_matches(BLANKS)))
}

fn unescape(text: &str) -> Result<Zeroizing<String>, &'static str> {
    // UTF-16, since a character may be two escapes.
    let mut units = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let character = match character {
            '\\' => match rest.next() {
                Some('u') => {
                    let digits = rest
                        .as_str()
                        .get(..4)
                        .filter(|it| it.bytes().all(|b| b.is_ascii_hexdigit()));
                    let unit = digits.and_then(|it| u16::from_str_radix(it, 16).ok());
                    units.push(unit.ok_or("\\u needs four hexadecimal digits")?);
                    rest = rest.as_str()[4..].chars();
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).map(Zeroizing::new).map_err(|_| "a \\uXXXX is half of a character")
}

/// Formats the values so that Java and [`parse`] read back the same. Fails on binary values.
pub(super) fn print(values: &SecretValues) -> Result<Redacted, String> {
    let mut file = String::new();
    for (name, value) in values.iter() {
        let text = std::str::from_utf8(value.expose()).map_err(|_| {
            format!("{name} is not text, and properties hold only text: choose another --format")
        })?;
        file.push_str(name.as_str());
        file.push('=');
        let last = text.chars().count().saturating_sub(1);
        for (at, character) in text.chars().enumerate() {
            match character {
                '\n' => file.push_str("\\n"),
                '\r' => file.push_str("\\r"),
                '\t' => file.push_str("\\t"),
                ' ' if at == 0 || at == last => file.push_str("\\ "),
                '\\' | '=' | ':' | '#' | '!' => file.extend(['\\', character]),
                ' '..='~' => file.push(character),
                other => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                    let _ = write!(file, "\\u{unit:04x}");
                }),
            }
        }
        file.push('\n');
    }
    Ok(Redacted::from(file))
}

#[cfg(test)]
mod tests {
    use super::super::keys::KeyRules;
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let rules = KeyRules::default();
        let mut collector = Collector::new(&rules);
        parse(text, &mut collector)?;
        let text_of = |value: &Redacted| String::from_utf8(value.expose().to_vec()).unwrap();
        let values = collector.finish()?;
        Ok(values.iter().map(|(name, value)| (name.to_string(), text_of(value))).collect())
    }

    #[test]
    fn it_is_read_as_java_reads_it() {
        for (text, expected) in [
            ("A=b", "b"),
            ("A = b ", "b "),
            ("A: b", "b"),
            ("A b c", "b c"),
            ("A\t=\tb", "b"),
            ("A==b", "=b"),
            ("A = = b", "= b"),
            ("A=", ""),
            ("A=postgres\\://u\\:p@h", "postgres://u:p@h"),
            ("A=b \\\n    c\\\r\n\td", "b cd"),
            ("A=b\\\\", "b\\"),
            ("A=b\\\\\n# c", "b\\"),
            ("A=b\\", "b"),
            ("A=\\ttab\\nline\\r\\f\\q", "\ttab\nline\r\x0cq"),
            ("A=\\u00e4\\uD83D\\uDE00", "\u{e4}\u{1f600}"),
            ("A='b'", "'b'"),
            ("# \u{e4}\n! x\n\n  A=b#c", "b#c"),
            ("\u{feff}A=b", "b"),
        ] {
            assert_eq!(read(text).unwrap(), [("A".to_owned(), expected.to_owned())], "{text:?}");
        }
        assert_eq!(read("A=1\rB=2").unwrap().len(), 2);
    }

    #[test]
    fn errors_name_the_line_and_do_not_quote_it() {
        for text in [
            "# x\nhunter2",
            "A=1\nA=hunter2",
            "\nA=hunter2\\u00g0",
            "\nA=hunter2\\u00",
            "\nA=hunter2\\ud83d",
            "\nA=hunter2\u{e4}",
            "\n1hunter2=x",
        ] {
            let message = read(text).unwrap_err();
            assert!(message.starts_with("line 2: ") && !message.contains("hunter2"), "{message}");
        }
        let message = read("spring.data\\:url=x\nA=1").unwrap_err();
        assert!(message.contains("--rename spring.data:url=spring.data_url"), "{message}");
    }
}
