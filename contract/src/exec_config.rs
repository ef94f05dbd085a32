//! What `enclii-agent exec` does: JSON that the webhook writes into a variable of the application's
//! container. It holds the names of variables and of files, never a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agent_config::ConfigError;
use crate::name::SecretName;

/// The version that this build writes, and the only one it reads.
pub const VERSION: u32 = 1;

/// The longest grace of a restart, in seconds. A rotation waits for it.
pub const MAX_RESTART_GRACE_SECONDS: u32 = 300;

/// Which variables a command gets, and whether it starts again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecConfig {
    /// Always [`VERSION`].
    pub version: u32,
    /// The memory volume's mount point.
    pub directory: String,
    /// The variables.
    pub variables: ExecVariables,
    /// The command starts again when the values change, and has this many seconds to end; `None`
    /// leaves it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_grace_seconds: Option<u32>,
}

/// Names of variables, each with the secret whose file holds its value. In JSON a list of `NAME`,
/// or `NAME=SECRET` where they differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct ExecVariables(pub BTreeMap<String, SecretName>);

/// Why a text is not one of [`ExecVariables`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse variable {0:?}: must be NAME or NAME=SECRET")]
pub struct ExecVariableError(String);

impl TryFrom<Vec<String>> for ExecVariables {
    type Error = ExecVariableError;

    fn try_from(entries: Vec<String>) -> Result<Self, ExecVariableError> {
        let parse = |entry: &String| {
            let (name, secret) = entry.split_once('=').unwrap_or((entry, entry));
            let is_name = !name.is_empty() && name.bytes().all(|it| (b' '..=b'~').contains(&it));
            let secret = secret.parse::<SecretName>().ok().filter(|_| is_name)?;
            Some((name.to_owned(), secret))
        };
        let quoted = |entry: &str| ExecVariableError(entry.chars().take(80).collect());
        entries
            .iter()
            .map(|entry| parse(entry).ok_or_else(|| quoted(entry)))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl From<ExecVariables> for Vec<String> {
    fn from(variables: ExecVariables) -> Self {
        let entry = |(name, secret): (String, SecretName)| match name == secret.as_str() {
            true => name,
            false => format!("{name}={secret}"),
        };
        variables.0.into_iter().map(entry).collect()
    }
}

impl ExecConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// When it does not have a version and form that this build reads.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_str(text).map_err(ConfigError::Form)?;
        match config.version {
            VERSION => Ok(config),
            found => Err(ConfigError::Version { found }),
        }
    }

    /// Writes the configuration, on one line and always in the same order.
    ///
    /// # Errors
    /// None for a value of this type; the serializer can return one.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_version_1() {
        let names = ["DB=DATABASE_URL", "TOKEN"].map(str::to_owned).to_vec();
        let config = ExecConfig {
            version: VERSION,
            directory: "/run/secrets".into(),
            variables: names.try_into().unwrap(),
            restart_grace_seconds: Some(30),
        };
        let json = config.to_json().unwrap();
        assert_eq!(
            json,
            r#"{"version":1,"directory":"/run/secrets","variables":["DB=DATABASE_URL","TOKEN"],"restart_grace_seconds":30}"#
        );
        assert_eq!(ExecConfig::from_json(&json).unwrap(), config);
    }

    #[test]
    fn mistakes_are_refused() {
        for variables in ["[\"\"]", "[\"=A\"]", "[\"A=\"]", "[\"A=../x\"]", "[\"A\t=B\"]", "{}"] {
            let json = format!(r#"{{"version":1,"directory":"/d","variables":{variables}}}"#);
            assert!(ExecConfig::from_json(&json).is_err(), "{json}");
        }
        let newer = r#"{"version":2,"directory":"/d","variables":[]}"#;
        assert!(matches!(ExecConfig::from_json(newer), Err(ConfigError::Version { found: 2 })));
    }
}
