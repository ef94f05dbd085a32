//! What the agent and its program for templates say to each other.
//!
//! Both sides send frames (see [`crate::stream::frame`]), over standard input and standard output:
//!
//! ```text
//! agent    a RenderRequest, and the secrets' values as the body
//!          for each template: a RenderTemplate, and its text as the body
//! program  for each template, in their order: a RenderAnswer, and the file as the body
//! ```
//!
//! The program ends after its last answer, or after the first template that fails.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::layout::{MAX_TEMPLATE_STEPS, MAX_VALUE_BYTES};
use crate::name::FileName;
use crate::vault_template::VaultTemplateOptions;

/// The longest header of an answer, in bytes.
pub const MAX_ANSWER_HEADER_BYTES: usize = 4 << 10;

/// The first frame of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderRequest {
    /// The secrets, in the order of their values in the body.
    pub secrets: Vec<RenderSecret>,
    /// How many templates follow.
    pub templates: usize,
}

/// One secret of a [`RenderRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderSecret {
    /// Its name.
    pub name: String,
    /// The length of its value, in bytes.
    pub bytes: usize,
}

/// What is said of a template. Its text is the frame's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderTemplate {
    /// The file that it makes.
    pub file: String,
    /// Its language.
    #[serde(flatten)]
    pub language: TemplateLanguage,
}

/// The language of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "language")]
pub enum TemplateLanguage {
    /// Jinja's (see `template`): it sees every secret by its name.
    Jinja,
    /// That of Vault Agent: it sees the secrets that it calls for.
    Vault(VaultTemplateOptions),
}

/// What became of a template. The file is the frame's body; it is empty where there is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderAnswer {
    /// The file.
    pub file: String,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TemplateError>,
}

/// Why a template failed: where, and what. Holds nothing of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct TemplateError {
    /// Where, from 1.
    pub line: usize,
    /// What.
    #[serde(flatten)]
    pub kind: TemplateErrorKind,
}

/// What went wrong in a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum TemplateErrorKind {
    /// A name that is no secret of the pod.
    Undefined {
        /// The name; `None` for one that the template computes, which may be a value.
        name: Option<String>,
    },
    /// A value that is no text.
    NotText {
        /// The secret.
        name: String,
    },
    /// More steps than a template may take.
    TooLong,
    /// More output than a file may hold.
    TooLarge,
    /// Anything else.
    Other {
        /// What, in words that are the same whatever the values are.
        what: String,
    },
}

impl TemplateErrorKind {
    /// Anything else.
    #[must_use]
    pub fn other(what: impl Into<String>) -> Self {
        Self::Other { what: what.into() }
    }
}

impl fmt::Display for TemplateErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined { name: Some(name) } => {
                write!(f, "{name} is not a secret of the pod's bundles")
            }
            Self::Undefined { name: None } => {
                f.write_str("a name that it computes is not a secret of the pod's bundles")
            }
            Self::NotText { name } => {
                write!(f, "secret {name} is not UTF-8, so a template cannot hold it")
            }
            Self::TooLong => write!(f, "it takes more than {MAX_TEMPLATE_STEPS} steps"),
            Self::TooLarge => write!(f, "it writes more than {MAX_VALUE_BYTES} bytes"),
            Self::Other { what } => f.write_str(what),
        }
    }
}

impl RenderSecret {
    /// A secret of this length.
    #[must_use]
    pub fn new(name: &FileName, bytes: usize) -> Self {
        Self { name: name.as_str().to_owned(), bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_each_message() {
        let secrets = vec![RenderSecret { name: "A".into(), bytes: 3 }];
        let request = RenderRequest { secrets, templates: 2 };
        let json = r#"{"secrets":[{"name":"A","bytes":3}],"templates":2}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), json);
        assert_eq!(serde_json::from_str::<RenderRequest>(json).unwrap(), request);
        let options = VaultTemplateOptions { error_on_missing_key: true, ..Default::default() };
        for (language, json) in [
            (TemplateLanguage::Jinja, r#"{"file":"a","language":"jinja"}"#),
            (
                TemplateLanguage::Vault(options),
                r#"{"file":"a","language":"vault","error_on_missing_key":true}"#,
            ),
        ] {
            let template = RenderTemplate { file: "a".into(), language };
            assert_eq!(serde_json::to_string(&template).unwrap(), json);
            assert_eq!(serde_json::from_str::<RenderTemplate>(json).unwrap(), template);
        }
        for (error, json) in [
            (None, r#"{"file":"a"}"#),
            (
                Some(TemplateErrorKind::Undefined { name: Some("B".into()) }),
                r#"{"file":"a","error":{"line":7,"kind":"undefined","name":"B"}}"#,
            ),
            (
                Some(TemplateErrorKind::NotText { name: "B".into() }),
                r#"{"file":"a","error":{"line":7,"kind":"not-text","name":"B"}}"#,
            ),
            (
                Some(TemplateErrorKind::TooLong),
                r#"{"file":"a","error":{"line":7,"kind":"too-long"}}"#,
            ),
            (
                Some(TemplateErrorKind::other("w")),
                r#"{"file":"a","error":{"line":7,"kind":"other","what":"w"}}"#,
            ),
        ] {
            let error = error.map(|kind| TemplateError { line: 7, kind });
            let answer = RenderAnswer { file: "a".into(), error };
            assert_eq!(serde_json::to_string(&answer).unwrap(), json);
            assert_eq!(serde_json::from_str::<RenderAnswer>(json).unwrap(), answer);
        }
    }
}
