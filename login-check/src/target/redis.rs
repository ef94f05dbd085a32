//! Redis's URLs, as the libraries of several languages read them.

use contract::Redacted;

use super::parameters::plain;
use super::tls::{TlsMode, roots};
use super::uri::{Parts, split};
use super::{Target, UrlError, endpoints};

const PORT: u16 = 6379;

/// Reads a URL.
pub(super) fn target(text: &str) -> Result<Target, UrlError> {
    if text.starts_with("unix:") {
        return Err(UrlError::Unsupported("it names a Unix socket"));
    }
    let parts = split(text)?;
    let given = &parts.parameters;
    let is_tls = match parts.scheme.as_str() {
        "rediss" | "valkeys" => true,
        "redis" | "valkey" => matches!(given.get(&["ssl", "tls"]), Some("true" | "1")),
        "redis-socket" => return Err(UrlError::Unsupported("it names a Unix socket")),
        "redis-sentinel" | "rediss-sentinel" => {
            return Err(UrlError::Unsupported("it asks a Sentinel for the server"));
        }
        _ => return Err(UrlError::Invalid("its scheme is not redis or rediss")),
    };
    if given.get(&["sslcertfile", "sslkeyfile"]).is_some() {
        return Err(UrlError::Unsupported("it names a client certificate"));
    }
    // A word alone before the @ is the password: nobody can log in with a user alone.
    let (user, password) = match (parts.user(), parts.password()) {
        (Some(word), None) => (None, Some(word)),
        both => both,
    };
    Ok(Target {
        endpoints: endpoints(&parts, None, None, PORT)?,
        user: user.unwrap_or_default(),
        password: Redacted::from(password.unwrap_or_default()),
        database: database(&parts)?,
        tls: match is_tls {
            true => mode(&parts)?.with(roots(given.get(&["sslcacerts"]))?),
            false => TlsMode::Disable.with(super::Roots::Unnamed),
        },
        wants_primary: false,
        options: None,
    })
}

/// The number of the database.
fn database(parts: &Parts) -> Result<Option<String>, UrlError> {
    let text = match parts.path.trim_end_matches('/') {
        "" => parts.parameters.get(&["db", "database"]),
        path => Some(path),
    };
    let is_number = |text: &str| text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    match text {
        Some(text) if !is_number(text) => {
            Err(UrlError::Unsupported("its database is not a number"))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

/// What is checked of the certificate: all, unless the URL has one of the libraries' words for
/// less.
fn mode(parts: &Parts) -> Result<TlsMode, UrlError> {
    let given = &parts.parameters;
    if parts.fragment.as_deref() == Some("insecure") {
        return Ok(TlsMode::Require);
    }
    let words = given.get(&["sslcertreqs", "verifypeer", "sslverify"]).map(plain);
    match words.as_deref() {
        Some("none" | "certnone" | "false" | "0") => Ok(TlsMode::Require),
        Some("ca") => Ok(TlsMode::VerifyCa),
        None | Some("required" | "certrequired" | "full" | "true" | "1") => {
            let name = given.get(&["sslcheckhostname"]).map(plain);
            match name.as_deref() {
                Some("false" | "0") => Ok(TlsMode::VerifyCa),
                _ => Ok(TlsMode::VerifyFull),
            }
        }
        Some(_) => Err(UrlError::Unsupported("it has an unknown word for TLS")),
    }
}
