//! The environment of the command. Pure, but for the reading of the limits.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use contract::{Redacted, SecretName};
use rustix::process::{Resource, getrlimit};

/// Why a command cannot have its environment. Never holds a value.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The file of a secret.
    #[error("set {name}: read the file of secret {secret}")]
    Read {
        /// The variable.
        name: String,
        /// The secret.
        secret: SecretName,
        /// Why.
        source: io::Error,
    },
    /// A value that a C string cannot hold.
    #[error(
        "set {name}: the value of secret {secret} contains a NUL byte, which no environment \
         variable can hold; let the application read the file (enclii.io/deliver: {name}=files)"
    )]
    Nul {
        /// The variable.
        name: String,
        /// The secret.
        secret: SecretName,
    },
    /// A value above the kernel's limit.
    #[error(
        "set {name}: the value of secret {secret} has {bytes} bytes, and the kernel takes {limit} \
         with the name; let the application read the file (enclii.io/deliver: {name}=files)"
    )]
    ValueTooLong {
        /// The variable.
        name: String,
        /// The secret.
        secret: SecretName,
        /// The size of the value in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Arguments and variables above the kernel's limit.
    #[error(
        "set environment: the command's arguments and variables take {bytes} bytes, and the \
         kernel takes {limit}; let the application read the largest values from their files"
    )]
    TooLarge {
        /// What they take, in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// What the kernel takes, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of one argument or variable, with its NUL.
    text: usize,
    /// Of all of them, with a pointer to each.
    total: usize,
}

/// `_STK_LIM / 4 * 3` of the kernel: arguments take no more, however large the stack is.
const MAX_TOTAL: usize = 6 << 20;
/// `ARG_MAX`: arguments take this much, however small the stack is.
const MIN_TOTAL: usize = 128 << 10;

impl Limits {
    /// See execve(2).
    pub(super) fn of_this_process() -> Self {
        let stack = getrlimit(Resource::Stack)
            .current
            .map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let total = (stack / 4).clamp(MIN_TOTAL, MAX_TOTAL);
        Self { text: 32 * rustix::param::page_size(), total }
    }
}

/// What a command gets: what this process has, with the secrets in it.
pub(super) struct Environment {
    inherited: Vec<(OsString, OsString)>,
    secrets: BTreeMap<OsString, (SecretName, Redacted)>,
}

impl Environment {
    pub(super) fn new(inherited: Vec<(OsString, OsString)>) -> Self {
        Self { inherited, secrets: BTreeMap::new() }
    }

    /// Sets a variable. It replaces an inherited one.
    pub(super) fn set(
        &mut self,
        name: &str,
        secret: &SecretName,
        value: Redacted,
    ) -> Result<(), EnvironmentError> {
        if value.expose().contains(&0) {
            return Err(EnvironmentError::Nul { name: name.to_owned(), secret: secret.clone() });
        }
        self.inherited.retain(|(inherited, _)| inherited != name);
        self.secrets.insert(name.into(), (secret.clone(), value));
        Ok(())
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// All variables, with their values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let inherited = self.inherited.iter().map(|(name, value)| (&**name, &**value));
        inherited.chain(
            self.secrets
                .iter()
                .map(|(name, (_, value))| (&**name, OsStr::from_bytes(value.expose()))),
        )
    }

    /// Whether the kernel takes it. It would only say that something is too long.
    pub(super) fn check(
        &self,
        command: &[OsString],
        limits: Limits,
    ) -> Result<(), EnvironmentError> {
        for (name, (secret, value)) in &self.secrets {
            // The equals sign and the NUL.
            let room = limits.text.saturating_sub(name.len() + 2);
            if value.len() > room {
                return Err(EnvironmentError::ValueTooLong {
                    name: name.to_string_lossy().into_owned(),
                    secret: secret.clone(),
                    bytes: value.len(),
                    limit: limits.text,
                });
            }
        }
        let pointer = size_of::<usize>();
        let words = command.iter().map(|word| word.len() + 1 + pointer);
        let variables = self.iter().map(|(name, value)| name.len() + value.len() + 2 + pointer);
        let bytes = words.chain(variables).sum();
        if bytes > limits.total {
            return Err(EnvironmentError::TooLarge { bytes, limit: limits.total });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str) -> SecretName {
        name.parse().unwrap()
    }

    fn with(values: &[(&str, &[u8])]) -> Result<Environment, EnvironmentError> {
        let mut environment =
            Environment::new(vec![("PATH".into(), "/bin".into()), ("A".into(), "old".into())]);
        for (name, value) in values {
            environment.set(name, &secret("S"), Redacted::new(value.to_vec()))?;
        }
        Ok(environment)
    }

    #[test]
    fn a_secret_replaces_what_is_inherited() {
        let environment = with(&[("A", b"x\n'\"\xff"), ("B", b"")]).unwrap();
        let found: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"PATH", b"/bin"), (b"A", b"x\n'\"\xff"), (b"B", b"")];
        assert_eq!(found, expected);
        assert_eq!(environment.get("PATH"), Some(OsStr::new("/bin")));
    }

    #[test]
    fn what_the_kernel_refuses_is_named_and_never_shown() {
        let error = with(&[("A", b"hunter2\0")]).err().unwrap().to_string();
        assert!(error.starts_with("set A: the value of secret S contains a NUL"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        let limits = Limits { text: 20, total: 100 };
        let check = |values: &[(&str, &[u8])]| with(values).unwrap().check(&["c".into()], limits);
        assert!(check(&[("A", &[b'x'; 17])]).is_ok());
        let error = check(&[("A", &[b'x'; 18])]).unwrap_err().to_string();
        assert!(error.starts_with("set A: the value of secret S has 18 bytes"), "{error}");
        // 10 for the command, 18 for PATH and 11 + 15 for each of the others.
        assert!(check(&[("A", &[b'x'; 15]), ("B", &[b'x'; 15])]).is_ok());
        let error = check(&[("A", &[b'x'; 15]), ("B", &[b'x'; 15]), ("C", &[b'x'; 15])]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("take 106 bytes, and the kernel takes 100"), "{error}");
    }
}
