//! Files that the agent renders from the pod's secrets: a ready format, or a template.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::SecretName;
use crate::vault_template::VaultTemplate;

/// The most rendered files of one pod.
pub const MAX_FILES: usize = 16;

/// The longest template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 256 << 10;

/// A file that the agent renders. It lies beside the secrets' files, so it has a name of their
/// form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedFile {
    /// Its name.
    pub file: SecretName,
    /// What is in it.
    #[serde(flatten)]
    pub contents: Contents,
}

/// What a rendered file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contents {
    /// All secrets in a ready format.
    Format(Format),
    /// What this template makes of them.
    Template(String),
    /// What the template in this file makes of them, read for each generation.
    TemplateFile(String),
    /// What a template of Vault Agent makes of the secrets that it calls for.
    VaultTemplate(VaultTemplate),
}

/// A ready format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines of `NAME='value'`, as a POSIX shell reads them.
    Dotenv,
    /// One object of strings.
    Json,
    /// As `java.util.Properties` reads it.
    Properties,
}

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Dotenv, Self::Json, Self::Properties];

    /// The format as the annotation spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::Json => "json",
            Self::Properties => "properties",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a pod's annotation asks to be in a rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedContents {
    /// `enclii.io/format-FILE`: a ready format.
    Format(Format),
    /// `enclii.io/template-FILE`: the template itself.
    Template(String),
    /// `enclii.io/template-FILE: configmap=NAME/KEY`: a template in a ConfigMap.
    ConfigMap {
        /// Its name.
        name: String,
        /// The key of the template.
        key: String,
    },
    /// `vault.hashicorp.com/agent-inject-template-FILE`, with what it reads.
    Vault(VaultTemplate),
}

/// Why an annotation asks for no file that can be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderedError {
    /// Not the name of a file.
    #[error(
        "parse file {0:?}: must start with a letter or '_' and go on with letters, digits, '_', \
         '.' or '-'"
    )]
    File(String),
    /// Not a format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Not a key of a ConfigMap.
    #[error("parse template {0:?}: must be configmap=NAME/KEY, or the template itself")]
    ConfigMap(String),
    /// A file with a format and a template.
    #[error("file {0} has a format and a template; remove one of them")]
    Twice(SecretName),
    /// More files than a pod may have.
    #[error("a pod may have {MAX_FILES} rendered files at most")]
    TooMany,
    /// More text than fits the agent's configuration.
    #[error(
        "the pod's templates have {0} bytes together, and {MAX_INLINE_BYTES} at most fit the \
         agent's configuration: keep the larger ones in a ConfigMap (configmap=NAME/KEY)"
    )]
    TooLong(usize),
}

/// The most that the templates in a pod's annotations take, in bytes of JSON.
pub const MAX_INLINE_BYTES: usize = 48 << 10;

/// What comes before the name of a ConfigMap.
const CONFIG_MAP: &str = "configmap=";

impl RequestedContents {
    /// The value of `enclii.io/format-FILE`.
    pub(crate) fn format(text: &str) -> Result<Self, RenderedError> {
        Ok(Self::Format(text.trim().parse()?))
    }

    /// The value of `enclii.io/template-FILE`.
    pub(crate) fn template(text: &str) -> Result<Self, RenderedError> {
        let Some(reference) = text.trim().strip_prefix(CONFIG_MAP) else {
            return Ok(Self::Template(text.to_owned()));
        };
        let is_name = |name: &str, more: &[u8]| {
            let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let fits = |byte: u8| is_legal(byte) || more.contains(&byte);
            (1..=253).contains(&name.len()) && name.bytes().all(fits)
        };
        const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ._-";
        match reference.split_once('/') {
            Some((name, key)) if is_name(name, b".-") && is_name(key, UPPER) => {
                Ok(Self::ConfigMap { name: name.to_owned(), key: key.to_owned() })
            }
            _ => Err(RenderedError::ConfigMap(text.chars().take(80).collect())),
        }
    }

    /// What it takes in the agent's configuration, in bytes of JSON.
    pub(crate) fn inline_bytes(&self) -> usize {
        match self {
            Self::Template(text) => serde_json::Value::from(text.as_str()).to_string().len(),
            _ => 0,
        }
    }
}

/// A text is not a [`Format`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse format {0:?}: must be dotenv, json or properties")]
pub struct FormatError(String);

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let quoted = || FormatError(text.chars().take(80).collect());
        Self::ALL.into_iter().find(|it| it.as_str() == text).ok_or_else(quoted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_in_the_configuration() {
        let file = |contents| RenderedFile { file: "app.env".parse().unwrap(), contents };
        for (contents, json) in [
            (Contents::Format(Format::Dotenv), r#"{"file":"app.env","format":"dotenv"}"#),
            (Contents::Template("{{ A }}".into()), r#"{"file":"app.env","template":"{{ A }}"}"#),
            (Contents::TemplateFile("/t".into()), r#"{"file":"app.env","template_file":"/t"}"#),
        ] {
            assert_eq!(serde_json::to_string(&file(contents.clone())).unwrap(), json);
            assert_eq!(serde_json::from_str::<RenderedFile>(json).unwrap(), file(contents));
        }
    }

    #[test]
    fn requests() {
        let map = |name: &str, key: &str| RequestedContents::ConfigMap {
            name: name.to_owned(),
            key: key.to_owned(),
        };
        let template = RequestedContents::template;
        assert_eq!(template("configmap=web/nginx.conf"), Ok(map("web", "nginx.conf")));
        assert_eq!(
            template(" x {{ A }}\n"),
            Ok(RequestedContents::Template(" x {{ A }}\n".into()))
        );
        for text in
            ["configmap=", "configmap=a", "configmap=/a", "configmap=A/a", "configmap=a/b/c"]
        {
            assert!(template(text).is_err(), "{text}");
        }
    }

    #[test]
    fn formats_are_named() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("yaml".parse::<Format>().unwrap_err().to_string().contains("\"yaml\""));
    }
}
