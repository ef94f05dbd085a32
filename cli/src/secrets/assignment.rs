//! `NAME=VALUE`, `NAME=-`, `NAME=@PATH` and `NAME`.

use std::path::PathBuf;

use contract::name::NameError;
use contract::{Redacted, SecretName};

use crate::error::Error;

/// One thing to write, and where its value comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) name: SecretName,
    pub(crate) value: Origin,
}

/// Where a value comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Given(Redacted),
    Stdin,
    File(PathBuf),
    Terminal,
}

impl Assignment {
    /// Reads one argument. `literal` takes every value as it stands.
    pub(crate) fn parse(text: &str, literal: bool) -> Result<Self, Error> {
        let Some((name, value)) = text.split_once('=') else {
            return Ok(Self { name: parse_name(text)?, value: Origin::Terminal });
        };
        let name = parse_name(name)?;
        let value = match value {
            "-" if !literal => Origin::Stdin,
            path if !literal && path.len() > 1 && path.starts_with('@') => {
                Origin::File(PathBuf::from(&path[1..]))
            }
            given => Origin::Given(Redacted::from(given.as_bytes())),
        };
        Ok(Self { name, value })
    }
}

/// The name may be a misplaced value, so that it is not quoted.
fn parse_name(text: &str) -> Result<SecretName, Error> {
    text.parse().map_err(|error| {
        match error {
        // This one is a word of ours and no value.
        NameError::Reserved(_) => Error::Name(error),
        NameError::Form(_) => Error::Usage(
            "write NAME=VALUE, NAME=- (standard input), NAME=@PATH (a file) or NAME (typed): a name has letters, digits, '_', '.' and '-', \
             and no digit first"
                .to_owned(),
        ),
    }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, literal: bool) -> Result<(String, Origin), String> {
        Assignment::parse(text, literal)
            .map(|it| (it.name.to_string(), it.value))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn forms() {
        let given = |text: &str| Origin::Given(Redacted::from(text.as_bytes()));
        for (text, literal, origin) in [
            ("A=b", false, given("b")),
            ("A=", false, given("")),
            ("A=b=c", false, given("b=c")),
            ("A=-", false, Origin::Stdin),
            ("A=-", true, given("-")),
            ("A=@x", false, Origin::File("x".into())),
            ("A=@x", true, given("@x")),
            ("A=@", false, given("@")),
            ("A= b\n", false, given(" b\n")),
            ("A", false, Origin::Terminal),
        ] {
            assert_eq!(parse(text, literal), Ok(("A".to_owned(), origin)), "{text:?}");
        }
    }

    #[test]
    fn what_is_refused_names_no_value() {
        for text in [
            "hunter 2",
            "1hunter2",
            "1A=hunter2",
            "A B=hunter2",
            "=hunter2",
            "postgres://u:hunter2@h?a=b",
            "",
        ] {
            let message = parse(text, false).unwrap_err();
            assert!(!message.contains("hunter"), "{message}");
        }
    }
}
