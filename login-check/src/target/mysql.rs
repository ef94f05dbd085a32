//! MySQL's and MariaDB's URLs. Each driver has words of its own for TLS.

use contract::Redacted;

use super::parameters::{Parameters, plain};
use super::tls::{TlsMode, roots};
use super::uri::split;
use super::{Roots, Target, UrlError, endpoints};

const PORT: u16 = 3306;

const SCHEMES: [&str; 2] = ["mysql", "mariadb"];

/// Reads a URL.
pub(super) fn target(text: &str) -> Result<Target, UrlError> {
    let parts = split(text)?;
    if !SCHEMES.contains(&parts.scheme.as_str()) {
        return Err(UrlError::Invalid("its scheme is not mysql or mariadb"));
    }
    let given = &parts.parameters;
    if given.get(&["socket", "unixsocket", "localsocket"]).is_some() {
        return Err(UrlError::Unsupported("it names a Unix socket"));
    }
    if given.get(&["sslcert", "sslkey", "clientcertificatekeystoreurl"]).is_some() {
        return Err(UrlError::Unsupported("it names a client certificate"));
    }
    let path = Some(parts.path.clone()).filter(|path| !path.is_empty());
    let roots = roots(given.get(&["sslca", "serversslcert"]))?;
    Ok(Target {
        endpoints: endpoints(&parts, None, None, PORT)?,
        user: parts.user().ok_or(UrlError::Unsupported("it names no user"))?,
        password: Redacted::from(parts.password().unwrap_or_default()),
        database: path,
        tls: mode(given, &roots)?.with(roots),
        wants_primary: false,
        options: None,
    })
}

/// How far TLS goes.
fn mode(given: &Parameters, roots: &Roots) -> Result<TlsMode, UrlError> {
    let word = |names: &[&str]| given.get(names).map(plain);
    // `ssl-mode` of the command line, `sslMode` of both JDBC drivers.
    if let Some(word) = word(&["sslmode"]) {
        return match word.as_str() {
            "disabled" | "disable" => Ok(TlsMode::Disable),
            "preferred" | "prefer" => Ok(TlsMode::Prefer),
            "required" | "require" | "trust" => Ok(TlsMode::Require),
            "verifyca" => Ok(TlsMode::VerifyCa),
            "verifyidentity" | "verifyfull" => Ok(TlsMode::VerifyFull),
            _ => Err(UrlError::Unsupported("it has an unknown ssl-mode")),
        };
    }
    let verifies = word(&["verifyservercertificate"]).as_deref() == Some("true");
    // `useSSL` of older JDBC drivers, `tls` of Go, `ssl` of others.
    match word(&["usessl", "ssl", "tls"]).as_deref() {
        // A CA alone says that it is to be held against.
        None if *roots != Roots::Unnamed => Ok(TlsMode::VerifyCa),
        None | Some("preferred") => Ok(TlsMode::Prefer),
        Some("false" | "0") => Ok(TlsMode::Disable),
        Some("skipverify") => Ok(TlsMode::Require),
        Some("true" | "1") if word(&["usessl"]).is_none() => Ok(TlsMode::VerifyFull),
        Some("true") if verifies => Ok(TlsMode::VerifyCa),
        Some("true") => Ok(TlsMode::Require),
        Some(_) => Err(UrlError::Unsupported("it has an unknown word for TLS")),
    }
}
