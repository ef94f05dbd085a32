//! What must be true of the application after it has taken up a new generation.
//!
//! A check looks at the effect: the certificate that is served, the login that works. Servers keep
//! the old certificate and stay ready when the new one is broken, so a signal that was sent proves
//! nothing.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::loopback_url::{LoopbackUrl, LoopbackUrlError, parse_port};
use crate::name::SecretName;

/// The most checks of one pod.
pub const MAX_CHECKS: usize = 16;

/// The time for one check if it names none: the previous generation has to be back within five
/// seconds of the swap.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest time for one check, in seconds.
pub const MAX_TIMEOUT_SECONDS: u64 = 60;

/// The longest host name, in bytes (RFC 1035, section 2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// The longest name of a field, in bytes.
const MAX_FIELD_BYTES: usize = 128;

/// One check, as `enclii.io/verify` names it and the agent's configuration lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Check {
    /// What is looked at.
    pub kind: CheckKind,
    /// The time it has to become true, in whole seconds; `None` is [`DEFAULT_TIMEOUT`].
    timeout_seconds: Option<u64>,
}

/// What a check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// The certificate that is served on a port of the loopback is the one in a file.
    Tls {
        /// The port.
        port: u16,
        /// The name to ask for, if the server has several certificates.
        sni: Option<String>,
        /// The secret with the certificate; `None` if it is the only one with a certificate.
        certificate: Option<SecretName>,
        /// The protocol in which TLS is asked for first; `None` where it comes first.
        starttls: Option<StartTls>,
    },
    /// A GET on the loopback is answered with 2xx.
    Http {
        /// The address.
        url: LoopbackUrl,
        /// The field of the answer's JSON object that has the number of the generation, with dots
        /// between the names of nested objects.
        field: Option<String>,
    },
    /// A new connection logs in, with the URL in a secret.
    Login {
        /// The protocol.
        server: LoginServer,
        /// The secret with the URL.
        url: SecretName,
    },
}

/// A protocol that asks for TLS before the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// PostgreSQL's `SSLRequest`.
    Postgres,
}

/// What a login is tried at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginServer {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
    /// Redis or Valkey.
    Redis,
}

/// Why a text is not a [`Check`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Not one of the forms.
    #[error(
        "parse check {0:?}: must be tls=PORT, http=http://127.0.0.1:PORT/PATH, postgres=SECRET, \
         mysql=SECRET or redis=SECRET"
    )]
    Form(String),
    /// An option that the check does not have.
    #[error(
        "parse check option {0:?}: tls has sni, certificate and starttls, http has field, all have \
         timeout; write a comma in a URL as %2C"
    )]
    Option(String),
    /// The same option twice.
    #[error("parse check: option {0} is given twice")]
    Duplicate(String),
    /// Not a port.
    #[error("parse check port {0:?}: must be a number from 1 to 65535")]
    Port(String),
    /// Not an address of the pod's loopback.
    #[error(transparent)]
    Url(#[from] LoopbackUrlError),
    /// Not the name of a secret.
    #[error("parse check secret {0:?}: must be the name of a secret, whose value is the URL")]
    Secret(String),
    /// Not a protocol.
    #[error("parse check starttls {0:?}: must be postgres")]
    StartTls(String),
    /// Not a host name.
    #[error("parse check sni {0:?}: must be a host name")]
    Sni(String),
    /// Not the name of a field.
    #[error("parse check field {0:?}: must be names of JSON fields with dots between them")]
    Field(String),
    /// Not a time.
    #[error("parse check timeout {0:?}: must be 1s to {MAX_TIMEOUT_SECONDS}s")]
    Timeout(String),
    /// More checks than a pod may have.
    #[error("it lists {0} checks, and a pod may have {MAX_CHECKS} at most")]
    TooMany(usize),
}

impl LoginServer {
    const ALL: [Self; 3] = [Self::Postgres, Self::Mysql, Self::Redis];

    /// Its name in a check.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
        }
    }
}

impl Check {
    /// A check with the default time.
    #[must_use]
    pub fn new(kind: CheckKind) -> Self {
        Self { kind, timeout_seconds: None }
    }

    /// The time it has to become true.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout_seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs)
    }

    /// The secret that it reads, if it names one.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretName> {
        match &self.kind {
            CheckKind::Tls { certificate, .. } => certificate.as_ref(),
            CheckKind::Http { .. } => None,
            CheckKind::Login { url, .. } => Some(url),
        }
    }
}

/// The options of a check, each taken by the kind that has it.
struct CheckOptions<'t>(Vec<(&'t str, &'t str)>);

impl<'t> CheckOptions<'t> {
    fn parse(text: Option<&'t str>) -> Result<Self, CheckError> {
        let mut found: Vec<(&str, &str)> = Vec::new();
        for option in text.into_iter().flat_map(|text| text.split(',')) {
            let (name, value) =
                option.split_once('=').ok_or_else(|| CheckError::Option(quoted(option)))?;
            let (name, value) = (name.trim(), value.trim());
            if found.iter().any(|(other, _)| *other == name) {
                return Err(CheckError::Duplicate(quoted(name)));
            }
            found.push((name, value));
        }
        Ok(Self(found))
    }

    fn take(&mut self, name: &str) -> Option<&'t str> {
        let at = self.0.iter().position(|(other, _)| *other == name)?;
        Some(self.0.remove(at).1)
    }

    fn end(self) -> Result<(), CheckError> {
        match self.0.first() {
            Some((name, _)) => Err(CheckError::Option(quoted(name))),
            None => Ok(()),
        }
    }
}

impl FromStr for Check {
    type Err = CheckError;

    fn from_str(text: &str) -> Result<Self, CheckError> {
        let (first, options) = match text.split_once(',') {
            Some((first, options)) => (first, Some(options)),
            None => (text, None),
        };
        let (name, target) = first.split_once('=').ok_or_else(|| CheckError::Form(quoted(text)))?;
        let (name, target) = (name.trim(), target.trim());
        let mut options = CheckOptions::parse(options)?;
        let timeout_seconds = options.take("timeout").map(timeout).transpose()?;
        let kind = match name {
            "tls" => CheckKind::Tls {
                port: parse_port(target).ok_or_else(|| CheckError::Port(quoted(target)))?,
                sni: options.take("sni").map(host).transpose()?,
                certificate: options.take("certificate").map(secret).transpose()?,
                starttls: options.take("starttls").map(starttls).transpose()?,
            },
            "http" => CheckKind::Http {
                url: target.parse()?,
                field: options.take("field").map(field).transpose()?,
            },
            _ => {
                let known = LoginServer::ALL.into_iter().find(|server| server.as_str() == name);
                let server = known.ok_or_else(|| CheckError::Form(quoted(text)))?;
                CheckKind::Login { server, url: secret(target)? }
            }
        };
        options.end()?;
        Ok(Self { kind, timeout_seconds })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            CheckKind::Tls { port, sni, certificate, starttls } => {
                write!(f, "tls={port}")?;
                if let Some(sni) = sni {
                    write!(f, ",sni={sni}")?;
                }
                if let Some(certificate) = certificate {
                    write!(f, ",certificate={certificate}")?;
                }
                if let Some(StartTls::Postgres) = starttls {
                    write!(f, ",starttls=postgres")?;
                }
            }
            CheckKind::Http { url, field } => {
                write!(f, "http={url}")?;
                if let Some(field) = field {
                    write!(f, ",field={field}")?;
                }
            }
            CheckKind::Login { server, url } => write!(f, "{}={url}", server.as_str())?,
        }
        match self.timeout_seconds {
            Some(seconds) => write!(f, ",timeout={seconds}s"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for Check {
    type Error = CheckError;

    fn try_from(text: String) -> Result<Self, CheckError> {
        text.parse()
    }
}

impl From<Check> for String {
    fn from(check: Check) -> Self {
        check.to_string()
    }
}

fn secret(text: &str) -> Result<SecretName, CheckError> {
    text.parse().map_err(|_| CheckError::Secret(quoted(text)))
}

fn starttls(text: &str) -> Result<StartTls, CheckError> {
    match text {
        "postgres" => Ok(StartTls::Postgres),
        _ => Err(CheckError::StartTls(quoted(text))),
    }
}

/// Whole seconds, as `5s`.
pub(crate) fn seconds(text: &str, most: u64) -> Option<u64> {
    let digits = text.strip_suffix('s')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|seconds| is_number && (1..=most).contains(seconds))
}

fn timeout(text: &str) -> Result<u64, CheckError> {
    seconds(text, MAX_TIMEOUT_SECONDS).ok_or_else(|| CheckError::Timeout(quoted(text)))
}

fn host(text: &str) -> Result<String, CheckError> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let fits = text.len() <= MAX_HOST_BYTES && text.split('.').all(is_label);
    fits.then(|| text.to_owned()).ok_or_else(|| CheckError::Sni(quoted(text)))
}

fn field(text: &str) -> Result<String, CheckError> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let fits = text.len() <= MAX_FIELD_BYTES && text.split('.').all(is_name);
    fits.then(|| text.to_owned()).ok_or_else(|| CheckError::Field(quoted(text)))
}

/// The beginning of a text, for an error. Somebody may write an address with a password in place of
/// the secret that holds it, so nothing is shown of what follows a scheme or comes before an `@`.
fn quoted(text: &str) -> String {
    let short = |text: &str| text.chars().take(80).collect::<String>();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((before, _)), _) => format!("{}://…", short(before)),
        (None, Some((_, after))) => format!("…@{}", short(after)),
        (None, None) => short(text),
    }
}

#[cfg(test)]
mod tests;
