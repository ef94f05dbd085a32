//! Secrets as files hold them: `.env`, JSON, YAML and Kubernetes' Secret manifests, read and
//! written.
//!
//! Reading is strict, since what is stored must be what was meant: a name that comes twice, a
//! number whose digits YAML may have read in another way, a nested object are refused with the name
//! and the way out. No message quotes what the file holds.

mod detect;
mod env;
mod kubernetes;
mod object;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use clap::ValueEnum;
use contract::layout::MAX_VALUE_BYTES;
use contract::{Redacted, SecretName};

pub(crate) use kubernetes::Identity;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Lines of NAME=value; for values that are text.
    Env,
    /// An object of strings; bytes that are no text as {"base64": "…"}.
    Json,
    /// The same in YAML.
    Yaml,
    /// A Secret for `kubectl apply`.
    K8sSecret,
}

impl Form {
    /// The form that a file's name promises.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        detect::by_name(path)
    }
}

/// Values by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Values(BTreeMap<SecretName, Redacted>);

/// What was read, and what the user should know of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) values: Values,
    pub(crate) notes: Vec<String>,
}

impl Values {
    /// Adds a value that may be stored. Refused: a name that is there already, and what is too
    /// large.
    pub(crate) fn add(&mut self, name: SecretName, value: Redacted) -> Result<(), String> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(format!(
                "value of {name}: {} bytes are over the limit of {MAX_VALUE_BYTES}",
                value.len()
            ));
        }
        if self.0.contains_key(&name) {
            return Err(format!("{name} is there twice"));
        }
        self.0.insert(name, value);
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SecretName, &Redacted)> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl IntoIterator for Values {
    type Item = (SecretName, Redacted);
    type IntoIter = std::collections::btree_map::IntoIter<SecretName, Redacted>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Reads a file's bytes; without a form, its name and its text tell.
pub(crate) fn read(bytes: &[u8], form: Option<Form>, path: &Path) -> Result<Read, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to()))?;
    let form = match form {
        Some(form) => form,
        None => detect::form(path, text)
            .ok_or("its form is not clear: say --format env, json, yaml or k8s-secret")?,
    };
    match form {
        Form::Env => env::parse(text).map(|values| Read { values, notes: Vec::new() }),
        Form::Json => object::read(tree::json(text)?),
        Form::Yaml => object::read(tree::yaml(text)?),
        Form::K8sSecret if detect::is_json(text) => kubernetes::read(tree::json(text)?),
        Form::K8sSecret => kubernetes::read(tree::yaml(text)?),
    }
}

/// Writes values in a form. `identity` names the manifest's object.
pub(crate) fn print(values: &Values, form: Form, identity: &Identity) -> Result<Redacted, String> {
    match form {
        Form::Env => env::print(values),
        Form::Json => object::print_json(values),
        Form::Yaml => object::print_yaml(values),
        Form::K8sSecret => kubernetes::print(values, identity),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn values(map: impl IntoIterator<Item = (String, Vec<u8>)>) -> Values {
        Values(
            map.into_iter()
                .map(|(name, value)| (name.parse().unwrap(), Redacted::new(value)))
                .collect(),
        )
    }

    fn there_and_back(values: &Values, form: Form) -> Result<(), TestCaseError> {
        let text = print(
            values,
            form,
            &Identity { name: "api-prod".to_owned(), namespace: Some("shop".to_owned()) },
        )
        .unwrap();
        for form in [Some(form), None] {
            let back = read(text.expose(), form, Path::new("-"));
            prop_assert_eq!(
                back,
                Ok(Read { values: Values(values.0.clone()), notes: Vec::new() }),
                "{}",
                String::from_utf8_lossy(text.expose())
            );
        }
        Ok(())
    }

    /// Names that YAML, shells or JSON might take for something else among them.
    const NAME: &str =
        "[A-Za-z_][A-Za-z0-9_.-]{0,12}|yes|no|null|True|ON|y|_1|e1|base64|kind|sops|data";

    proptest! {
        #[test]
        fn any_bytes_come_back(map in btree_map(NAME, vec(any::<u8>(), 0..40), 1..8)) {
            let values = values(map);
            for form in [Form::Json, Form::Yaml, Form::K8sSecret] {
                there_and_back(&values, form)?;
            }
        }

        #[test]
        fn any_text_comes_back(map in btree_map(NAME, "\\PC{0,20}|[ \t\r\n\"'\\\\#$`=:{}|>&*!%@~-]{0,12}|(?s).{0,12}", 1..8)) {
            let values = values(map.into_iter().map(|(name, text)| (name, text.into_bytes())));
            for form in [Form::Env, Form::Json, Form::Yaml, Form::K8sSecret] {
                there_and_back(&values, form)?;
            }
        }

        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..60), text in "\\PC{0,60}|[{}\\[\\]\":,a-z0-9 \n-]{0,60}") {
            for form in [None, Some(Form::Env), Some(Form::Json), Some(Form::Yaml), Some(Form::K8sSecret)] {
                let _ = read(&bytes, form, Path::new("-"));
                let _ = read(text.as_bytes(), form, Path::new("-"));
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_have_no_env_file() {
        let message = print(
            &values([("A".to_owned(), vec![0xff, b'h', b'u'])]),
            Form::Env,
            &Identity::default(),
        )
        .unwrap_err();
        assert!(message.starts_with("A is no text") && !message.contains("hu\""), "{message}");
    }

    #[test]
    fn no_refusal_quotes_a_value() {
        for (form, text) in [
            (Form::Json, r#"{"A": 12345678}"#),
            (Form::Json, r#"{"A": "hunter2" "B"}"#),
            (Form::Json, r#"{"A": "x", "A": "hunter2"}"#),
            (Form::Json, r#"{"A": {"base64": "hunter2!"}}"#),
            (Form::Json, r#"["hunter2"]"#),
            (Form::Json, r#""hunter2""#),
            (Form::Json, "hunter2"),
            (Form::Yaml, "A: 12345678"),
            (Form::Yaml, "A: [hunter2]"),
            (Form::Yaml, "A: {b: hunter2}"),
            (Form::Yaml, "A: 'hunter2"),
            (Form::Yaml, "A: x\nA: hunter2"),
            (Form::Yaml, "A: *hunter2"),
            (Form::Yaml, "A: hunter2: x"),
            (Form::Yaml, "hunter2"),
            (
                Form::K8sSecret,
                "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {A: hunter2!}",
            ),
            (
                Form::K8sSecret,
                "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {A: 12345678}",
            ),
            (Form::K8sSecret, "hunter2"),
        ] {
            let message = read(text.as_bytes(), Some(form), Path::new("-")).unwrap_err();
            assert!(!message.contains("hunter2") && !message.contains("12345678"), "{message}");
            assert!(message.len() > 10, "{message}");
        }
    }
}
