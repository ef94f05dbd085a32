//! Templates of Vault Agent: Go's language with the functions of consul-template.
//!
//! Such a template names the secrets that it reads. They are found when the pod is admitted, so the
//! agent reads them, and what renders the template has no need of Vault.

#[cfg(feature = "template")]
mod check;
mod functions;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::SecretName;

#[cfg(feature = "template")]
pub use check::{ParsedTemplate, SecretCall, check, parse};
pub use functions::{BUILTINS, FUNCTIONS, REFUSED};

/// The function that reads a secret.
pub const SECRET: &str = "secret";

/// The function that has a certificate issued.
pub const PKI_CERT: &str = "pkiCert";

/// A template and what it reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultTemplate {
    /// Its text.
    pub text: String,
    /// The rest.
    #[serde(flatten)]
    pub options: VaultTemplateOptions,
}

/// What there is to know of a template besides its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultTemplateOptions {
    /// What begins and ends an action.
    #[serde(default, skip_serializing_if = "Delimiters::is_default")]
    pub delimiters: Delimiters,
    /// Whether a key that a secret does not have is an error. Else it is `<no value>`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub error_on_missing_key: bool,
    /// The calls of the template, and the secret in which each finds Vault's answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<VaultTemplateCall>,
}

/// What begins and ends an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delimiters(pub String, pub String);

impl Default for Delimiters {
    fn default() -> Self {
        Self("{{".to_owned(), "}}".to_owned())
    }
}

impl Delimiters {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The arguments of a call of [`SECRET`] or [`PKI_CERT`], and where its answer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultTemplateCall {
    /// The path as the template has it.
    pub path: String,
    /// The parameters, as `common_name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The secret whose value is Vault's answer, a JSON object with `data`.
    pub secret: SecretName,
}

/// The parameters of a call: `KEY=VALUE` each.
///
/// # Errors
/// The argument without a `=`.
pub fn parameters<'a>(
    arguments: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<String, String>, &'a str> {
    let arguments = arguments.into_iter().filter(|it| !it.is_empty());
    let pair = |it: &'a str| {
        let (key, value) = it.split_once('=').ok_or(it)?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    };
    arguments.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_template() {
        let call = VaultTemplateCall {
            path: "pki/issue/web".into(),
            parameters: parameters(["common_name = a.example", ""]).unwrap(),
            secret: "A".parse().unwrap(),
        };
        let options = VaultTemplateOptions {
            delimiters: Delimiters("<<".into(), ">>".into()),
            error_on_missing_key: true,
            calls: vec![call],
        };
        for (options, json) in [
            (VaultTemplateOptions::default(), r#"{"text":"x"}"#),
            (
                options,
                concat!(
                    r#"{"text":"x","delimiters":["<<",">>"],"error_on_missing_key":true,"#,
                    r#""calls":[{"path":"pki/issue/web","parameters":"#,
                    r#"{"common_name":"a.example"},"secret":"A"}]}"#,
                ),
            ),
        ] {
            let template = VaultTemplate { text: "x".into(), options };
            assert_eq!(serde_json::to_string(&template).unwrap(), json);
            assert_eq!(serde_json::from_str::<VaultTemplate>(json).unwrap(), template);
        }
        assert_eq!(parameters(["a=b=c", "ttl"]), Err("ttl"));
    }
}
