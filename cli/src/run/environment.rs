//! The environment of the program. Pure: the current environment is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;

use contract::SecretName;
use contract::api::BundleValue;

use crate::error::Error;

/// The variable that names the directory of the files.
const DIRECTORY_VARIABLE: &str = "ENCLII_SECRETS_DIR";

/// The variables that give the API token, which the program must not get unless it is asked for.
const TOKEN_VARIABLES: [&str; 2] = ["ENCLII_TOKEN", "ENCLII_TOKEN_FILE"];

/// Variables that change which code a program runs: everyone who can write such a secret can run
/// code as the user.
const CODE_LOADING: [&str; 9] = [
    "PATH",
    "IFS",
    "ENV",
    "BASH_ENV",
    "PROMPT_COMMAND",
    "NODE_OPTIONS",
    "PYTHONSTARTUP",
    "PERL5OPT",
    "JAVA_TOOL_OPTIONS",
];

/// Which secrets become files and which become variables.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProgramEnvironment {
    /// The secrets that become files.
    pub(super) files: BTreeSet<SecretName>,
    /// The secrets that become variables.
    pub(super) variables: BTreeSet<SecretName>,
    /// Warnings for the user.
    pub(super) warnings: Vec<String>,
}

/// Keeps only the secrets in `only`, or all if it is empty.
pub(super) fn select(
    secrets: &mut BTreeMap<SecretName, BundleValue>,
    only: &BTreeSet<SecretName>,
) -> Result<(), Error> {
    if let Some(missing) = only.iter().find(|name| !secrets.contains_key(*name)) {
        return Err(Error::Usage(format!("--only: the bundle has no secret {missing}")));
    }
    if !only.is_empty() {
        secrets.retain(|name, _| only.contains(name));
    }
    Ok(())
}

impl ProgramEnvironment {
    /// `as_env`: `None` for no variables, an empty list for all secrets, or the names.
    pub(super) fn new(
        secrets: &BTreeMap<SecretName, BundleValue>,
        as_env: Option<&[SecretName]>,
        current: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let variables: BTreeSet<SecretName> = match as_env {
            None => BTreeSet::new(),
            Some([]) => secrets.keys().cloned().collect(),
            Some(names) => names.iter().cloned().collect(),
        };
        for name in &variables {
            let secret = secrets.get(name).ok_or_else(|| {
                Error::Usage(format!("--as-env: the bundle has no secret {name}"))
            })?;
            if secret.value.expose().contains(&0) {
                return Err(Error::Usage(format!(
                    "--as-env: the value of {name} has a NUL byte, which variables cannot hold: \
                     keep it as a file"
                )));
            }
        }
        let files = secrets
            .keys()
            .filter(|name| !variables.contains(*name))
            .cloned()
            .collect::<BTreeSet<_>>();
        let mut warnings: Vec<_> = variables
            .iter()
            .filter(|name| changes_code(name))
            .map(|name| {
                format!(
                    "{name} changes which code the program runs: everyone who can write that \
                     secret can run code here"
                )
            })
            .collect();
        for (variable, _) in current {
            let is = |name: &&SecretName| variable.as_bytes() == name.as_str().as_bytes();
            warnings.extend(files.iter().find(is).map(|name| {
                format!("the variable {name} is removed, because the bundle has {name}")
            }));
        }
        Ok(Self { files, variables, warnings })
    }

    /// The command with its environment.
    pub(super) fn command(
        &self,
        mut command: Command,
        keep_token: bool,
        secrets: &BTreeMap<SecretName, BundleValue>,
        directory: &Path,
    ) -> Command {
        if !keep_token {
            TOKEN_VARIABLES.iter().for_each(|name| {
                command.env_remove(name);
            });
        }
        if !self.files.is_empty() {
            command.env(DIRECTORY_VARIABLE, directory);
        }
        for name in &self.files {
            command
                .env_remove(name.as_str())
                .env(name.file_variable(), directory.join(name.as_str()));
        }
        for name in &self.variables {
            if let Some(secret) = secrets.get(name) {
                command
                    .env_remove(name.file_variable())
                    .env(name.as_str(), OsString::from_vec(secret.value.expose().to_vec()));
            }
        }
        command
    }
}

fn changes_code(name: &SecretName) -> bool {
    let name = name.as_str();
    CODE_LOADING.contains(&name) || name.starts_with("LD_") || name.starts_with("DYLD_")
}

#[cfg(test)]
mod tests {
    use contract::{Redacted, Version};

    use super::*;

    fn bundle(values: &[(&str, &[u8])]) -> BTreeMap<SecretName, BundleValue> {
        let one = |value: &[u8]| BundleValue { version: Version(1), value: Redacted::from(value) };
        values.iter().map(|(name, value)| (name.parse().unwrap(), one(value))).collect()
    }

    fn names(names: &[&str]) -> Vec<SecretName> {
        names.iter().map(|it| it.parse().unwrap()).collect()
    }

    fn variables(
        environment: &ProgramEnvironment,
        secrets: &BTreeMap<SecretName, BundleValue>,
    ) -> Vec<(String, Option<String>)> {
        let text = |it: &std::ffi::OsStr| it.to_str().unwrap().to_owned();
        let command = environment.command(Command::new("true"), false, secrets, Path::new("/d"));
        command.get_envs().map(|(name, value)| (text(name), value.map(text))).collect()
    }

    #[test]
    fn files_replace_variables() {
        let secrets = bundle(&[("A", b"1"), ("B", b"2")]);
        let environment = ProgramEnvironment::new(
            &secrets,
            None,
            [("A".into(), "old".into()), ("C".into(), "x".into())],
        )
        .unwrap();
        assert_eq!(environment.warnings, ["the variable A is removed, because the bundle has A"]);
        let expected = [
            ("A", None),
            ("A_FILE", Some("/d/A")),
            ("B", None),
            ("B_FILE", Some("/d/B")),
            ("ENCLII_SECRETS_DIR", Some("/d")),
            ("ENCLII_TOKEN", None),
            ("ENCLII_TOKEN_FILE", None),
        ];
        assert_eq!(
            variables(&environment, &secrets),
            expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)))
        );
    }

    #[test]
    fn the_token_is_kept_only_if_asked_for() {
        let environment = ProgramEnvironment::new(&bundle(&[]), None, []).unwrap();
        let command =
            environment.command(Command::new("true"), true, &bundle(&[]), Path::new("/d"));
        assert_eq!(command.get_envs().count(), 0);
    }

    #[test]
    fn as_env_sets_variables() {
        let secrets = bundle(&[("A", b"1"), ("LD_PRELOAD", b"2")]);
        let environment = ProgramEnvironment::new(&secrets, Some(&[]), []).unwrap();
        assert!(
            environment.files.is_empty()
                && environment.warnings[0].starts_with("LD_PRELOAD changes"),
            "{environment:?}"
        );
        let found = variables(&environment, &secrets);
        assert!(
            found.contains(&("A".to_owned(), Some("1".to_owned())))
                && !found.iter().any(|(name, _)| name == DIRECTORY_VARIABLE),
            "{found:?}"
        );
        let environment = ProgramEnvironment::new(&secrets, Some(&names(&["A"])), []).unwrap();
        assert_eq!(environment.files, names(&["LD_PRELOAD"]).into_iter().collect());
    }

    #[test]
    fn impossible_requests_are_refused() {
        let mut secrets = bundle(&[("A", b"hunter2\0")]);
        let message = ProgramEnvironment::new(&secrets, Some(&[]), []).unwrap_err().to_string();
        assert!(
            message.contains("value of A has a NUL byte") && !message.contains("hunter2"),
            "{message}"
        );
        assert!(ProgramEnvironment::new(&secrets, Some(&names(&["B"])), []).is_err());
        assert!(select(&mut secrets, &names(&["B"]).into_iter().collect()).is_err());
        assert!(select(&mut secrets, &BTreeSet::new()).is_ok());
        assert_eq!(secrets.len(), 1);
    }
}
