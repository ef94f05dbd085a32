//! How a secret's value reaches the application.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::name::SecretName;

/// Where an application finds a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Delivery {
    /// In a file, whose path is in `NAME_FILE`.
    #[default]
    Files,
    /// In the variable, which kubelet reads from a file when it creates the container
    /// (`fileKeyRef`, Kubernetes 1.35).
    Env,
    /// In the variable, which the agent's program sets before it starts the application's command.
    Exec,
}

impl Delivery {
    /// Every delivery, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Files, Self::Env, Self::Exec];

    /// The delivery as the annotation spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Env => "env",
            Self::Exec => "exec",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Delivery {
    type Err = DeliveryError;

    fn from_str(text: &str) -> Result<Self, DeliveryError> {
        Self::ALL
            .into_iter()
            .find(|delivery| delivery.as_str() == text)
            .ok_or_else(|| DeliveryError::Form(text.chars().take(80).collect()))
    }
}

/// The word of the annotation that leaves no sidecar.
const INIT: &str = "init";

/// The value of `enclii.io/deliver`: `files` (the default), `env` or `exec` for every secret,
/// `NAME=DELIVERY` for one, and `init` for a pod without a sidecar; separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryRequest {
    /// For each secret that is not in `by_name`.
    pub default: Delivery,
    /// For single secrets.
    pub by_name: BTreeMap<SecretName, Delivery>,
    /// Whether the agent ends once the files are written, so that nothing rotates.
    pub init_only: bool,
}

/// What is wrong with one entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Not one of the forms.
    #[error("parse delivery {0:?}: must be files, env, exec, init or NAME=files|env|exec")]
    Form(String),
    /// Two deliveries for all secrets.
    #[error("parse delivery: {0} and {1} are both for every secret; write NAME={1} for one")]
    Ambiguous(Delivery, Delivery),
    /// Two deliveries for one secret.
    #[error("parse delivery: secret {0} is listed twice")]
    Duplicate(SecretName),
}

/// Collects the entries of the list.
#[derive(Default)]
pub(crate) struct DeliveryEntries {
    request: DeliveryRequest,
    default: Option<Delivery>,
}

impl DeliveryEntries {
    /// Adds one entry.
    pub(crate) fn add(&mut self, entry: &str) -> Result<(), DeliveryError> {
        if entry == INIT {
            self.request.init_only = true;
            return Ok(());
        }
        let form = || DeliveryError::Form(entry.chars().take(80).collect());
        let Some((name, delivery)) = entry.split_once('=') else {
            let delivery = entry.parse()?;
            return match self.default.replace(delivery) {
                Some(other) if other != delivery => Err(DeliveryError::Ambiguous(other, delivery)),
                _ => Ok(()),
            };
        };
        let name: SecretName = name.trim().parse().map_err(|_| form())?;
        let delivery = delivery.trim().parse().map_err(|_| form())?;
        match self.request.by_name.insert(name.clone(), delivery) {
            Some(_) => Err(DeliveryError::Duplicate(name)),
            None => Ok(()),
        }
    }

    pub(crate) fn into_request(self) -> DeliveryRequest {
        DeliveryRequest { default: self.default.unwrap_or_default(), ..self.request }
    }
}

impl DeliveryRequest {
    /// How the secret `name` is delivered.
    #[must_use]
    pub fn of(&self, name: &str) -> Delivery {
        self.by_name.get(name).copied().unwrap_or(self.default)
    }

    /// Whether a container reads a secret's file itself, and so needs the volume.
    pub(crate) fn needs_volume(&self) -> bool {
        Delivery::ALL.into_iter().any(|it| it != Delivery::Env && self.uses(it))
    }

    /// Whether a restart for new values is one of the commands that the agent's program starts, and
    /// not one of all containers.
    #[must_use]
    pub fn restarts_commands(&self) -> bool {
        self.uses(Delivery::Exec) && !self.uses(Delivery::Env)
    }

    /// Whether any secret is delivered so.
    #[must_use]
    pub fn uses(&self, delivery: Delivery) -> bool {
        self.default == delivery || self.by_name.values().any(|it| *it == delivery)
    }
}

/// As the annotation spells it.
impl fmt::Display for DeliveryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.default)?;
        if self.init_only {
            write!(f, ",{INIT}")?;
        }
        for (name, delivery) in &self.by_name {
            write!(f, ",{name}={delivery}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DeliveryRequest, DeliveryError> {
        let mut entries = DeliveryEntries::default();
        text.split(',').map(str::trim).try_for_each(|entry| entries.add(entry))?;
        Ok(entries.into_request())
    }

    #[test]
    fn forms() {
        for (text, canonical) in [
            ("files", "files"),
            ("env", "env"),
            ("env,env", "env"),
            ("init", "files,init"),
            ("exec, init", "exec,init"),
            ("TLS_KEY=files, env, A = exec", "env,A=exec,TLS_KEY=files"),
            ("DB=env", "files,DB=env"),
        ] {
            let request = parse(text).unwrap();
            assert_eq!(request.to_string(), canonical);
            assert_eq!(parse(canonical).unwrap(), request);
        }
        let mixed = parse("env,TLS=files").unwrap();
        assert_eq!((mixed.of("DB"), mixed.of("TLS")), (Delivery::Env, Delivery::Files));
        assert!(mixed.uses(Delivery::Env) && mixed.uses(Delivery::Files));
        assert!(!mixed.uses(Delivery::Exec));
        for (text, needs_volume) in
            [("", true), ("env", false), ("env,A=files", true), ("A=env", true), ("exec", true)]
        {
            let request =
                if text.is_empty() { Ok(DeliveryRequest::default()) } else { parse(text) };
            assert_eq!(request.unwrap().needs_volume(), needs_volume, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("", "\"\""),
            ("volume", "\"volume\""),
            ("env,files", "env and files are both"),
            ("A=env,A=exec", "secret A is listed twice"),
            ("A=init", "\"A=init\""),
            ("a b=env", "\"a b=env\""),
            ("=env", "\"=env\""),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
