//! PostgreSQL's URLs: libpq's, and what the drivers of other languages add.

use contract::Redacted;

use super::parameters::{Parameters, plain};
use super::tls::{TlsMode, roots};
use super::{Roots, Target, Tls, UrlError, dsn, endpoints, uri};

const PORT: u16 = 5432;

const SCHEMES: [&str; 5] = ["postgres", "postgresql", "postgis", "pgsql", "cockroachdb"];

/// What only the application has or can do, by the parameter that asks for it.
const BEYOND: [(&str, &str); 7] = [
    ("sslcert", "it names a client certificate"),
    ("sslkey", "it names a client certificate"),
    ("service", "it names a service file"),
    ("passfile", "it names a password file"),
    ("hostaddr", "it has hostaddr"),
    ("socketfactory", "it names a socket factory"),
    ("krbsrvname", "it logs in with Kerberos"),
];

/// Parameters with a value that this program cannot do.
const BEYOND_VALUES: [(&str, &str, &str); 4] = [
    ("channelbinding", "require", "it requires channel binding"),
    ("gssencmode", "require", "it requires GSSAPI"),
    ("sslnegotiation", "direct", "it negotiates TLS directly"),
    ("sslcertmode", "require", "it requires a client certificate"),
];

/// Reads a URL or a list of settings.
pub(super) fn target(text: &str) -> Result<Target, UrlError> {
    let parts = if dsn::is_dsn(text) { dsn::parse(text)? } else { uri::split(text)? };
    if !SCHEMES.contains(&parts.scheme.as_str()) {
        return Err(UrlError::Invalid("its scheme is not postgresql"));
    }
    let given = &parts.parameters;
    if let Some((_, reason)) = BEYOND.iter().find(|(name, _)| given.get(&[name]).is_some()) {
        return Err(UrlError::Unsupported(reason));
    }
    let is_beyond = |(name, value, _): &&(&str, &str, &str)| given.get(&[name]) == Some(value);
    if let Some((_, _, reason)) = BEYOND_VALUES.iter().find(is_beyond) {
        return Err(UrlError::Unsupported(reason));
    }
    let path = Some(parts.path.clone()).filter(|path| !path.is_empty());
    let standbys = given.get(&["targetsessionattrs", "targetservertype"]).map(plain);
    Ok(Target {
        endpoints: endpoints(&parts, given.get(&["host"]), given.get(&["port"]), PORT)?,
        user: parts.user().ok_or(UrlError::Unsupported("it names no user"))?,
        password: Redacted::from(parts.password().unwrap_or_default()),
        database: given.get(&["dbname"]).map(str::to_owned).or(path),
        tls: tls(given, parts.is_jdbc)?,
        wants_primary: matches!(standbys.as_deref(), Some("readwrite" | "primary" | "master")),
        options: given.get(&["options"]).map(str::to_owned),
    })
}

/// TLS, as libpq has it: with a CA at hand `require` checks who issued the certificate, and the
/// system's CAs are never held against without the name.
fn tls(given: &Parameters, is_jdbc: bool) -> Result<Tls, UrlError> {
    let sslmode = given.get(&["sslmode"]);
    let roots = roots(given.get(&["sslrootcert"]))?;
    let mode = match (mode(sslmode, given.get(&["ssl"]), is_jdbc)?, &roots) {
        (TlsMode::Prefer, Roots::Public) if sslmode.is_none() => TlsMode::VerifyFull,
        (TlsMode::Require, Roots::Public | Roots::File(_)) => TlsMode::VerifyCa,
        (mode, _) => mode,
    };
    Ok(mode.with(roots))
}

/// How far TLS goes. `sslmode` is libpq's. `ssl` is JDBC's and others': with a certificate that is
/// checked, or with the words of `sslmode`.
fn mode(sslmode: Option<&str>, ssl: Option<&str>, is_jdbc: bool) -> Result<TlsMode, UrlError> {
    let Some(word) = sslmode.or(ssl) else { return Ok(TlsMode::Prefer) };
    match plain(word).as_str() {
        "disable" | "false" | "0" => Ok(TlsMode::Disable),
        "allow" => Ok(TlsMode::Allow),
        "prefer" => Ok(TlsMode::Prefer),
        // JDBC's `ssl` without a value is dropped with the other empty ones.
        "require" | "noverify" => Ok(TlsMode::Require),
        "verifyca" => Ok(TlsMode::VerifyCa),
        "verifyfull" => Ok(TlsMode::VerifyFull),
        "true" | "1" | "on" if sslmode.is_none() || is_jdbc => Ok(TlsMode::VerifyFull),
        _ => Err(UrlError::Unsupported("it has an unknown sslmode")),
    }
}
