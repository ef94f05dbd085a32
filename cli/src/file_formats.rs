//! File formats of secrets, read and written: `.env`, JSON, YAML, Java properties and Kubernetes
//! Secret manifests.
//!
//! Reading is strict, so that exactly the intended values are stored: a duplicate name, an unquoted
//! number, a nested object and another tool's ciphertext are refused with the name and the way out.
//! No message quotes a value.

mod ciphertext;
mod detect;
mod document;
mod encoding;
mod env;
mod env_print;
mod keys;
mod kubernetes;
mod object;
mod properties;

use std::collections::BTreeMap;
use std::path::Path;

use clap::ValueEnum;
use contract::layout::MAX_VALUE_BYTES;
use contract::{Redacted, SecretName};

use document::Document;
pub(crate) use env_print::PrintedFile;
use keys::Collector;
pub(crate) use keys::KeyRules;
pub(crate) use kubernetes::ObjectMeta;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    /// Lines of NAME=value, for text values.
    Env,
    /// An object of strings; binary values as {"base64": "…"}.
    Json,
    /// The same in YAML.
    Yaml,
    /// Java properties, for text values.
    Properties,
    /// A Secret for `kubectl apply`.
    K8sSecret,
}

impl FileFormat {
    /// The format that the extension of a path stands for.
    pub(crate) fn from_path(path: &Path) -> Option<Self> {
        detect::by_path(path)
    }
}

/// How to read a file.
#[derive(Debug, Default)]
pub(crate) struct ReadOptions {
    /// The format; without it, the path and the content determine it.
    pub(crate) format: Option<FileFormat>,
    /// The keys to rename and to skip.
    pub(crate) keys: KeyRules,
    /// Whether to take the ciphertext and the references of other tools as values.
    pub(crate) literal: bool,
}

/// Secret values by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SecretValues(BTreeMap<SecretName, Redacted>);

/// The content of a file, with notes for the user.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ParsedFile {
    pub(crate) values: SecretValues,
    pub(crate) notes: Vec<String>,
}

impl SecretValues {
    /// Adds a value. Fails if it is too large or the name exists already.
    pub(crate) fn add(&mut self, name: SecretName, value: Redacted) -> Result<(), String> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(format!(
                "value of {name}: {} bytes exceed the limit of {MAX_VALUE_BYTES}",
                value.len()
            ));
        }
        if self.0.contains_key(&name) {
            return Err(format!("{name} occurs twice"));
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

impl IntoIterator for SecretValues {
    type Item = (SecretName, Redacted);
    type IntoIter = std::collections::btree_map::IntoIter<SecretName, Redacted>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Parses a file.
pub(crate) fn read(bytes: &[u8], options: &ReadOptions, path: &Path) -> Result<ParsedFile, String> {
    if !options.literal {
        ciphertext::check_file(bytes)?;
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to()))?;
    let format = match options.format {
        Some(format) => format,
        None => detect::detect(path, text).ok_or(
            "its format is unclear: give --format env, json, yaml, properties or k8s-secret",
        )?,
    };
    let mut collector = Collector::new(&options.keys);
    let note = match format {
        FileFormat::Env => env::parse(text, &mut collector).map(|()| None),
        FileFormat::Properties => properties::parse(text, &mut collector).map(|()| None),
        FileFormat::Json => object_or_manifests(document::json(text)?, &mut collector),
        FileFormat::Yaml => object_or_manifests(document::yaml(text)?, &mut collector),
        FileFormat::K8sSecret if detect::is_json(text) => {
            kubernetes::read(document::json(text)?, &mut collector)
        }
        FileFormat::K8sSecret => kubernetes::read(document::yaml(text)?, &mut collector),
    }?;
    let values = collector.finish()?;
    if !options.literal {
        ciphertext::check_values(&values)?;
    }
    Ok(ParsedFile { values, notes: note.into_iter().collect() })
}

/// Returns a note of what was skipped, if anything was.
fn object_or_manifests(
    documents: Vec<Document>,
    collector: &mut Collector<'_>,
) -> Result<Option<String>, String> {
    if documents.iter().any(kubernetes::is_manifest) {
        kubernetes::read(documents, collector)
    } else {
        object::read(documents, collector).map(|()| None)
    }
}

/// Formats values. `metadata` is that of a Kubernetes Secret.
pub(crate) fn print(
    values: &SecretValues,
    format: FileFormat,
    metadata: &ObjectMeta,
) -> Result<PrintedFile, String> {
    let text = match format {
        FileFormat::Env => return env_print::print(values),
        FileFormat::Properties => properties::print(values),
        FileFormat::Json => object::print_json(values),
        FileFormat::Yaml => object::print_yaml(values),
        FileFormat::K8sSecret => kubernetes::print(values, metadata),
    };
    text.map(|text| PrintedFile { text, notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn values(map: impl IntoIterator<Item = (String, Vec<u8>)>) -> SecretValues {
        SecretValues(
            map.into_iter()
                .map(|(name, value)| (name.parse().unwrap(), Redacted::new(value)))
                .collect(),
        )
    }

    fn round_trip(values: &SecretValues, format: FileFormat) -> Result<(), TestCaseError> {
        let text = print(
            values,
            format,
            &ObjectMeta { name: "api-prod".to_owned(), namespace: Some("shop".to_owned()) },
        )
        .unwrap()
        .text;
        // A property looks like a line of .env, so only a file's name tells.
        let path = if format == FileFormat::Properties { "x.properties" } else { "-" };
        for format in [Some(format), None] {
            let options = ReadOptions { format, literal: true, ..ReadOptions::default() };
            let back = read(text.expose(), &options, Path::new(path));
            prop_assert_eq!(
                back,
                Ok(ParsedFile { values: SecretValues(values.0.clone()), notes: Vec::new() }),
                "{}",
                String::from_utf8_lossy(text.expose())
            );
        }
        Ok(())
    }

    /// Includes names that YAML, shells or JSON may give another meaning.
    const NAME: &str =
        "[A-Za-z_][A-Za-z0-9_.-]{0,12}|yes|no|null|True|ON|y|_1|e1|base64|kind|sops|data";

    /// Includes characters that a format must quote.
    const TEXT: &str = "\\PC{0,20}|[ \t\r\n\"'\\\\#$`=:{}|>&*!%@~-]{0,12}|(?s).{0,12}";

    proptest! {
        #[test]
        fn any_bytes_round_trip(map in btree_map(NAME, vec(any::<u8>(), 0..40), 1..8)) {
            let values = values(map);
            for format in [FileFormat::Json, FileFormat::Yaml, FileFormat::K8sSecret] {
                round_trip(&values, format)?;
            }
        }

        #[test]
        fn any_text_round_trips(map in btree_map(NAME, TEXT, 1..8)) {
            let has_nul = map.values().any(|text| text.contains('\0'));
            let values = values(map.into_iter().map(|(name, text)| (name, text.into_bytes())));
            for &format in FileFormat::value_variants() {
                if has_nul && format == FileFormat::Env {
                    let printed = print(&values, format, &ObjectMeta::default());
                    prop_assert!(printed.unwrap_err().contains("NUL"));
                } else {
                    round_trip(&values, format)?;
                }
            }
        }

        #[test]
        fn no_input_panics(
            bytes in vec(any::<u8>(), 0..60),
            text in "\\PC{0,60}|[{}\\[\\]\":,a-z0-9 \n-]{0,60}",
        ) {
            let formats = FileFormat::value_variants().iter().copied().map(Some);
            for format in formats.chain([None]) {
                let options = ReadOptions { format, ..ReadOptions::default() };
                let _ = read(&bytes, &options, Path::new("-"));
                let _ = read(text.as_bytes(), &options, Path::new("-"));
            }
        }
    }

    #[test]
    fn an_env_file_cannot_hold_binary_values() {
        let message = print(
            &values([("A".to_owned(), vec![0xff, b'h', b'u'])]),
            FileFormat::Env,
            &ObjectMeta::default(),
        )
        .unwrap_err();
        assert!(message.starts_with("A is not text") && !message.contains("hu\""), "{message}");
    }

    #[test]
    fn no_error_quotes_a_value() {
        for (format, text) in [
            (FileFormat::Json, r#"{"A": 12345678}"#),
            (FileFormat::Json, r#"{"A": "hunter2" "B"}"#),
            (FileFormat::Json, r#"{"A": "x", "A": "hunter2"}"#),
            (FileFormat::Json, r#"{"A": {"base64": "hunter2!"}}"#),
            (FileFormat::Json, r#"["hunter2"]"#),
            (FileFormat::Json, r#""hunter2""#),
            (FileFormat::Json, "hunter2"),
            (FileFormat::Yaml, "A: 12345678"),
            (FileFormat::Yaml, "A: [hunter2]"),
            (FileFormat::Yaml, "A: {b: hunter2}"),
            (FileFormat::Yaml, "A: 'hunter2"),
            (FileFormat::Yaml, "A: x\nA: hunter2"),
            (FileFormat::Yaml, "A: *hunter2"),
            (FileFormat::Yaml, "A: hunter2: x"),
            (FileFormat::Yaml, "hunter2"),
            (FileFormat::Yaml, "A: !hunter2"),
            (FileFormat::Yaml, "A: !vault hunter2"),
            (FileFormat::Yaml, "!ENV A: hunter2"),
            (FileFormat::Yaml, "A: !!binary hunter2"),
            (FileFormat::Env, "A=ENC[AES256_GCM,data:hunter2]"),
            (FileFormat::Properties, "A=ENC(hunter2)"),
            (
                FileFormat::K8sSecret,
                "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {A: hunter2!}",
            ),
            (
                FileFormat::K8sSecret,
                "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {A: 12345678}",
            ),
            (FileFormat::K8sSecret, "hunter2"),
        ] {
            let options = ReadOptions { format: Some(format), ..ReadOptions::default() };
            let message = read(text.as_bytes(), &options, Path::new("-")).unwrap_err();
            assert!(!message.contains("hunter2") && !message.contains("12345678"), "{message}");
            assert!(message.len() > 10, "{message}");
        }
    }
}
