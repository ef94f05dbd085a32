//! Round trips, through a real shell and Python and through Java's rules.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use contract::SecretName;
use proptest::prelude::*;

use super::*;

fn secrets(values: &[(&str, &[u8])]) -> Secrets {
    let name = |name: &str| FileName::from(&name.parse::<SecretName>().unwrap());
    values.iter().map(|(it, value)| (name(it), Redacted::new(value.to_vec()))).collect()
}

fn rendered(format: Format, values: &[(&str, &[u8])]) -> Vec<u8> {
    render(format, &secrets(values)).unwrap().expose().to_vec()
}

const NASTY: &str = "it's \"$HOME\" `id` \\n \\ \n\r\n\t=#!: ü 🦀  end ";

/// What a program writes that gets these bytes.
fn output(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// What `java.util.Properties.load` makes of a text, by its documentation.
fn load_properties(text: &str) -> BTreeMap<String, String> {
    assert!(text.is_ascii());
    text.lines()
        .map(|line| {
            let (key, rest) = line.split_once('=').unwrap();
            let rest = rest.trim_start_matches([' ', '\t', '\x0c']);
            let mut units = Vec::new();
            let mut characters = rest.chars();
            while let Some(character) = characters.next() {
                let unit = match (character, character == '\\') {
                    (_, true) => match characters.next().unwrap() {
                        'u' => {
                            let digits: String = characters.by_ref().take(4).collect();
                            u16::from_str_radix(&digits, 16).unwrap()
                        }
                        'n' => 10,
                        'r' => 13,
                        't' => 9,
                        other => u16::try_from(u32::from(other)).unwrap(),
                    },
                    (other, false) => u16::try_from(u32::from(other)).unwrap(),
                };
                units.push(unit);
            }
            (key.to_owned(), String::from_utf16(&units).unwrap())
        })
        .collect()
}

#[test]
fn the_forms() {
    let values: [(&str, &[u8]); 3] = [("B", b"it's"), ("A", b""), ("tls.key", b"x\ny")];
    assert_eq!(rendered(Format::Dotenv, &values), b"A=''\nB='it'\\''s'\n");
    assert_eq!(
        rendered(Format::Json, &values),
        b"{\n  \"A\": \"\",\n  \"B\": \"it's\",\n  \"tls.key\": \"x\\ny\"\n}\n"
    );
    assert_eq!(rendered(Format::Properties, &values), b"A=\nB=it's\ntls.key=x\\ny\n");
    assert_eq!(rendered(Format::Json, &[]), b"{\n}\n");
}

#[test]
fn a_shell_reads_every_byte_but_nul() {
    let all: Vec<u8> = (1..=255).collect();
    let file = rendered(Format::Dotenv, &[("A", &all), ("B", NASTY.as_bytes()), ("C", b"\n")]);
    let script = "t=$(mktemp) && cat > $t && . $t && rm $t && \
                  printf '%s|%s|%s' \"$A\" \"$B\" \"$C\"";
    let expected = [&*all, NASTY.as_bytes(), b"\n"].join(&b'|');
    assert_eq!(output("sh", &["-c", script], &file), expected);
}

#[test]
fn python_reads_the_json() {
    let file = rendered(Format::Json, &[("A", NASTY.as_bytes()), ("B", "\0\u{7f}".as_bytes())]);
    let script = "import json, sys\nfound = json.load(sys.stdin.buffer)\n\
                  sys.stdout.buffer.write((found['A'] + '|' + found['B']).encode())";
    assert_eq!(output("python3", &["-c", script], &file), format!("{NASTY}|\0\u{7f}").as_bytes());
}

#[test]
fn what_a_format_cannot_hold_is_named_and_not_shown() {
    for (format, value, expected) in [
        (Format::Dotenv, &b"hunter2\0"[..], "secret A contains a NUL byte"),
        (Format::Json, b"hunter2\xff", "secret A is not UTF-8, which json needs"),
        (Format::Properties, b"hunter2\xff", "secret A is not UTF-8, which properties needs"),
    ] {
        let error = render(format, &secrets(&[("A", value)])).unwrap_err().to_string();
        assert!(error.starts_with(expected) && !error.contains("hunter2"), "{error}");
    }
}

proptest! {
    #[test]
    fn properties_and_json_round_trip(value in any::<String>()) {
        let file = rendered(Format::Properties, &[("A", value.as_bytes())]);
        let found = load_properties(std::str::from_utf8(&file).unwrap());
        prop_assert_eq!(found.get("A"), Some(&value));
        let file = rendered(Format::Json, &[("A", value.as_bytes())]);
        let found: BTreeMap<String, String> = serde_json::from_slice(&file).unwrap();
        prop_assert_eq!(found.get("A"), Some(&value));
    }
}
