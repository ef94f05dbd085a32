//! Arguments that name a secret and the source of its value: `NAME=VALUE`, `NAME=-`, `NAME=@PATH`
//! and `NAME`.

use std::path::PathBuf;

use contract::name::NameError;
use contract::{Redacted, SecretName};

use crate::error::Error;

/// A secret to write and the source of its value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) name: SecretName,
    pub(crate) value: ValueSource,
}

/// Where a value comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ValueSource {
    Given(Redacted),
    Stdin,
    File(PathBuf),
    Terminal,
}

impl Assignment {
    /// Parses one argument. `literal` gives `-` and `@` no special meaning.
    pub(crate) fn parse(text: &str, literal: bool) -> Result<Self, Error> {
        let Some((name, value)) = text.split_once('=') else {
            return Ok(Self { name: parse_name(text)?, value: ValueSource::Terminal });
        };
        let name = parse_name(name)?;
        let value = match value {
            "-" if !literal => ValueSource::Stdin,
            path if !literal && path.len() > 1 && path.starts_with('@') => {
                ValueSource::File(PathBuf::from(&path[1..]))
            }
            given => ValueSource::Given(Redacted::from(given.as_bytes())),
        };
        Ok(Self { name, value })
    }
}

/// The text may be a misplaced value, so errors do not quote it.
fn parse_name(text: &str) -> Result<SecretName, Error> {
    text.parse().map_err(|error| {
        match error {
        // A reserved name is certainly not a secret value.
        NameError::Reserved(_) => Error::Name(error),
        NameError::Long { length, .. } => {
            Error::Usage(format!("the name has {length} characters; a name has at most 253"))
        }
        NameError::Form(_) => Error::Usage(
            "write NAME=VALUE, NAME=- (standard input), NAME=@PATH (a file) or NAME (asks): a name \
             has letters, digits, '_', '.' and '-', and does not start with a digit"
                .to_owned(),
        ),
    }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, literal: bool) -> Result<(String, ValueSource), String> {
        Assignment::parse(text, literal)
            .map(|it| (it.name.to_string(), it.value))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_are_parsed() {
        let given = |text: &str| ValueSource::Given(Redacted::from(text.as_bytes()));
        for (text, literal, origin) in [
            ("A=b", false, given("b")),
            ("A=", false, given("")),
            ("A=b=c", false, given("b=c")),
            ("A=-", false, ValueSource::Stdin),
            ("A=-", true, given("-")),
            ("A=@x", false, ValueSource::File("x".into())),
            ("A=@x", true, given("@x")),
            ("A=@", false, given("@")),
            ("A= b\n", false, given(" b\n")),
            ("A", false, ValueSource::Terminal),
        ] {
            assert_eq!(parse(text, literal), Ok(("A".to_owned(), origin)), "{text:?}");
        }
    }

    #[test]
    fn errors_do_not_quote_the_argument() {
        for text in [
            "hunter 2",
            "1hunter2",
            "1A=hunter2",
            "A B=hunter2",
            "=hunter2",
            "postgres://u:hunter2@h?a=b",
            &format!("hunter2{}", "x".repeat(300)),
            "",
        ] {
            let message = parse(text, false).unwrap_err();
            assert!(!message.contains("hunter"), "{message}");
        }
    }
}
