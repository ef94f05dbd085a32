//! Where a URL leads, as whom, and how TLS is checked: pure.
//!
//! Every client library reads these URLs a little differently. What all of them read alike is
//! accepted; where they differ, this program cannot tell, and says so.

mod dsn;
mod mysql;
mod parameters;
mod percent;
mod postgres;
mod redis;
mod tls;
mod uri;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use contract::Redacted;
use contract::check::LoginServer;
use contract::login_check::LoginOutcome;

use self::uri::Parts;
use crate::failure::Failure;

/// What a URL says.
pub(crate) struct Target {
    /// The servers, in the order of the attempts; one at least.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The user; empty where there is none.
    pub(crate) user: String,
    /// The password; empty where there is none.
    pub(crate) password: Redacted,
    /// The database, by its name or its number.
    pub(crate) database: Option<String>,
    /// TLS.
    pub(crate) tls: Tls,
    /// Whether a standby is not enough (PostgreSQL).
    pub(crate) wants_primary: bool,
    /// Settings of the session (PostgreSQL).
    pub(crate) options: Option<String>,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// How a URL wants TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// With which encryption a login is tried, in this order.
    pub(crate) attempts: &'static [Encryption],
    /// What is checked of the server's certificate.
    pub(crate) check: CertificateCheck,
    /// Who may have issued it.
    pub(crate) roots: Roots,
}

/// The encryption of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// None.
    Plain,
    /// TLS if the server offers it.
    IfOffered,
    /// TLS.
    Tls,
}

/// What is checked of a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateCheck {
    /// Nothing.
    None,
    /// Who issued it.
    Issuer,
    /// Who issued it, and that it is for the host.
    IssuerAndName,
}

/// The CAs that a certificate is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// The URL does not say: the application does.
    Unnamed,
    /// The public ones.
    Public,
    /// Those in a file.
    File(PathBuf),
}

/// Why a value is not a [`Target`]. The texts are fixed: nothing of the value is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    /// It is no URL of this protocol.
    #[error("read URL: {0}")]
    Invalid(&'static str),
    /// It may be one, and this program does not know what the application makes of it.
    #[error("read URL: {0}")]
    Unsupported(&'static str),
}

impl From<UrlError> for Failure {
    fn from(error: UrlError) -> Self {
        let outcome = match error {
            UrlError::Invalid(_) => LoginOutcome::Invalid,
            UrlError::Unsupported(_) => LoginOutcome::Unsupported,
        };
        Self::new(outcome, error.to_string())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Reads the value of a secret.
///
/// # Errors
/// When it is not a URL of this protocol, or clients read it differently.
pub(crate) fn parse(server: LoginServer, value: &Redacted) -> Result<Target, UrlError> {
    let text = std::str::from_utf8(value.expose())
        .map_err(|_| UrlError::Invalid("it is not UTF-8 text"))?;
    // What an editor or `echo` leaves at the end of a file, and most applications cut off.
    let text = text.trim_end_matches(['\r', '\n']);
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(UrlError::Unsupported("it has a control character"));
    }
    match server {
        LoginServer::Postgres => postgres::target(text),
        LoginServer::Mysql => mysql::target(text),
        LoginServer::Redis => redis::target(text),
    }
}

/// The servers of a URL.
fn endpoints(
    parts: &Parts,
    host: Option<&str>,
    port: Option<&str>,
    default: u16,
) -> Result<Vec<Endpoint>, UrlError> {
    let mut listed = parts.hosts.clone();
    if let Some(hosts) = host {
        listed = hosts.split(',').map(|host| (host.to_owned(), None)).collect();
    }
    if let Some(ports) = port {
        let ports: Vec<_> = ports.split(',').collect();
        let port_of = |at: usize| ports.get(at).or_else(|| ports.last()).copied().unwrap_or("");
        for (at, entry) in listed.iter_mut().enumerate() {
            entry.1 = Some(uri::port(port_of(at))?);
        }
    }
    if listed.iter().any(|(host, _)| host.starts_with(['/', '@'])) {
        return Err(UrlError::Unsupported("it names a Unix socket"));
    }
    if listed.is_empty() || listed.iter().any(|(host, _)| host.is_empty()) {
        return Err(UrlError::Unsupported("it names no host"));
    }
    if !listed.iter().all(|(host, _)| uri::is_host(host)) {
        return Err(UrlError::Unsupported("it has a host that is neither a name nor an address"));
    }
    let port_or_default = |port: Option<u16>| port.unwrap_or(default);
    Ok(listed
        .into_iter()
        .map(|(host, port)| Endpoint { host, port: port_or_default(port) })
        .collect())
}
