//! `.env` files: writing.
//!
//! The same file is read by shells, by dotenv's parsers and by `enclii`, and their rules differ.
//! Each value gets a quoting that all of them read as the same text, and real line ends: only
//! shells take `\n` for two characters, only dotenv takes it for one. A few values have no such
//! quoting. They are written for shells and `enclii`, with a note.

use contract::Redacted;

use super::SecretValues;

/// A file, and what its readers must know.
#[derive(Debug, Default)]
pub(crate) struct PrintedFile {
    pub(crate) text: Redacted,
    pub(crate) notes: Vec<String>,
}

/// Formats the values so that a shell and [`super::read`] get back the same values. Fails on what a
/// variable cannot hold.
pub(super) fn print(values: &SecretValues) -> Result<PrintedFile, String> {
    let (mut file, mut shell_only, mut not_variables) = (Vec::new(), Vec::new(), Vec::new());
    for (name, value) in values.iter() {
        let text = std::str::from_utf8(value.expose()).map_err(|_| {
            format!("{name} is not text, and a .env file holds only text: choose another --format")
        })?;
        if text.contains('\0') {
            return Err(format!(
                "{name} has a NUL byte, which no variable can hold: choose another --format"
            ));
        }
        if name.as_str().contains(['.', '-']) {
            not_variables.push(name.to_string());
        }
        let quoting = Quoting::of(text);
        if quoting == Quoting::Escaped || text.contains('\r') {
            shell_only.push(name.to_string());
        }
        file.extend_from_slice(name.as_str().as_bytes());
        file.push(b'=');
        quoting.write(text, &mut file);
        file.push(b'\n');
    }
    let mut notes = Vec::new();
    if !shell_only.is_empty() {
        notes.push(format!(
            "shells and enclii read {} as written, but dotenv's parsers keep the backslashes or \
             drop the carriage returns: --format json has the exact value for every reader",
            shell_only.join(", ")
        ));
    }
    if !not_variables.is_empty() {
        notes.push(format!(
            "{} cannot be a shell's variable because of its '.' or '-'; dotenv's parsers and \
             enclii read it",
            not_variables.join(", ")
        ));
    }
    Ok(PrintedFile { text: Redacted::new(file), notes })
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    /// As it is.
    None,
    /// In single quotes, literally.
    Single,
    /// In double quotes, literally.
    Double,
    /// In double quotes, with a backslash before `\`, `"`, `$` and `` ` ``.
    Escaped,
}

impl Quoting {
    fn of(text: &str) -> Self {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&b);
        // In single quotes, dotenv for Node takes `\'` for a quote that does not end the value, and
        // the one for Python takes `\\` for one backslash.
        let single = !text.contains('\'') && !text.contains("\\\\") && !text.ends_with('\\');
        let double = !text.contains(['\\', '"', '$', '`']);
        match text {
            _ if text.bytes().all(plain) => Self::None,
            _ if double && text.contains('\n') => Self::Double,
            _ if single => Self::Single,
            _ if double => Self::Double,
            _ => Self::Escaped,
        }
    }

    fn write(self, text: &str, file: &mut Vec<u8>) {
        let quote: &[u8] = match self {
            Self::None => b"",
            Self::Single => b"'",
            Self::Double | Self::Escaped => b"\"",
        };
        file.extend_from_slice(quote);
        for byte in text.bytes() {
            if self == Self::Escaped && b"\\\"$`".contains(&byte) {
                file.push(b'\\');
            }
            file.push(byte);
        }
        file.extend_from_slice(quote);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    fn print_one(text: &str) -> PrintedFile {
        let mut values = SecretValues::default();
        values.add("A".parse().unwrap(), Redacted::from(text.as_bytes())).unwrap();
        print(&values).unwrap()
    }

    #[test]
    fn the_quoting_is_one_that_every_reader_understands() {
        for (text, line) in [
            ("postgres://u:p@h/d", "A=postgres://u:p@h/d\n"),
            ("", "A=\n"),
            ("two words", "A='two words'\n"),
            ("a\"b$c`d\\e", "A='a\"b$c`d\\e'\n"),
            ("it's", "A=\"it's\"\n"),
            (
                "-----BEGIN X-----\na+b=\n-----END X-----\n",
                "A=\"-----BEGIN X-----\na+b=\n-----END X-----\n\"\n",
            ),
            ("a\n$b", "A='a\n$b'\n"),
        ] {
            let printed = print_one(text);
            assert_eq!(printed.text.expose(), line.as_bytes());
            assert!(printed.notes.is_empty(), "{text}");
        }
        for (text, line) in [
            ("it's $5", "A=\"it's \\$5\"\n"),
            ("ends with\\", "A=\"ends with\\\\\"\n"),
            ("a\\\\b c", "A=\"a\\\\\\\\b c\"\n"),
            ("a\r\nb", "A=\"a\r\nb\"\n"),
        ] {
            let printed = print_one(text);
            assert_eq!(printed.text.expose(), line.as_bytes());
            assert!(printed.notes[0].contains("A as written"), "{:?}", printed.notes);
        }
    }

    #[test]
    fn what_a_variable_cannot_hold_is_refused_or_noted() {
        let mut values = SecretValues::default();
        values.add("tls.key".parse().unwrap(), Redacted::from("x".to_owned())).unwrap();
        assert!(
            print(&values).unwrap().notes[0].starts_with("tls.key cannot be a shell's variable")
        );
        values.add("NUL".parse().unwrap(), Redacted::from("a\0b".to_owned())).unwrap();
        assert!(print(&values).unwrap_err().starts_with("NUL has a NUL byte"));
    }

    /// The value of A after a shell has read the file.
    fn sourced(shell: &str, file: &[u8]) -> Vec<u8> {
        let mut child = Command::new(shell)
            .args(["-c", ". /dev/stdin; printf %s \"$A\""])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(file).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn shells_read_any_value(text in "[^\0]{0,20}|[ \t\r\n\"'\\\\#$`=!a]{0,20}") {
            let file = print_one(&text).text;
            for shell in ["sh", "bash", "dash"] {
                prop_assert_eq!(sourced(shell, file.expose()), text.as_bytes(), "{}", shell);
            }
        }
    }
}
