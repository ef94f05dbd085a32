//! The parts of a URL, decoded.

use std::net::Ipv6Addr;

use super::UrlError;
use super::parameters::Parameters;
use super::percent::decode;

/// The most servers of one URL.
const MAX_HOSTS: usize = 8;

/// A URL in its parts. Each is decoded, and none is interpreted.
#[derive(Default)]
pub(super) struct Parts {
    /// In lower case, without the driver of `postgresql+psycopg2`.
    pub(super) scheme: String,
    /// Whether it began with `jdbc:`.
    pub(super) is_jdbc: bool,
    user: Option<String>,
    password: Option<String>,
    pub(super) hosts: Vec<(String, Option<u16>)>,
    /// Without its leading slash.
    pub(super) path: String,
    pub(super) parameters: Parameters,
    pub(super) fragment: Option<String>,
}

impl Parts {
    /// Parts that are all parameters.
    pub(super) fn of_settings(scheme: &str, parameters: Parameters) -> Self {
        Self { scheme: scheme.to_owned(), parameters, ..Self::default() }
    }

    /// The user, who may also be a parameter.
    pub(super) fn user(&self) -> Option<String> {
        self.parameters.get(&["user", "username"]).or(self.user.as_deref()).map(str::to_owned)
    }

    /// The password, which may also be a parameter.
    pub(super) fn password(&self) -> Option<String> {
        self.parameters.get(&["password"]).or(self.password.as_deref()).map(str::to_owned)
    }
}

/// Splits a URL.
///
/// # Errors
/// When it is none, or clients split it differently.
pub(super) fn split(text: &str) -> Result<Parts, UrlError> {
    let (text, is_jdbc) = match text.strip_prefix("jdbc:") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Invalid("it has no scheme"))?;
    let is_scheme =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_');
    if scheme.is_empty() || !scheme.bytes().all(is_scheme) {
        return Err(UrlError::Invalid("it has no scheme"));
    }
    let name = scheme.split_once('+').map_or(scheme, |(name, _)| name);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (rest, fragment) = cut(rest, '#');
    let (path, query) = cut(rest, '?');
    let parameters = Parameters::parse(query.unwrap_or_default())?;

    let (user_info, hosts) = match authority.rsplit_once('@') {
        Some((user_info, hosts)) => (Some(user_info), hosts),
        None => (None, authority),
    };
    // The user and the password would otherwise be taken for a host and a port, and be said.
    let is_cut_short = [Some(path), fragment].into_iter().flatten().any(|part| part.contains('@'))
        || query.is_some_and(|query| query.contains('@') && !parameters.has_user());
    if is_cut_short && user_info.is_none() {
        return Err(UrlError::Unsupported(
            "its user or password has a / ? or # that is not percent-encoded",
        ));
    }
    let (user, password) = match user_info.map(|it| it.split_once(':').ok_or(it)) {
        None => (None, None),
        Some(Ok((user, password))) => (Some(decode(user)?), Some(decode(password)?)),
        Some(Err(user)) => (Some(decode(user)?), None),
    };
    Ok(Parts {
        scheme: name.to_ascii_lowercase(),
        is_jdbc,
        user: user.filter(|user| !user.is_empty()),
        password,
        hosts: hosts_of(hosts)?,
        path: decode(path.strip_prefix('/').unwrap_or(path))?,
        parameters,
        fragment: fragment.map(str::to_owned),
    })
}

/// A part before a separator, and the part after it.
fn cut(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn hosts_of(text: &str) -> Result<Vec<(String, Option<u16>)>, UrlError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let hosts = text.split(',').map(|entry| {
        if let Some(rest) = entry.strip_prefix('[') {
            let (host, rest) = rest
                .split_once(']')
                .ok_or(UrlError::Unsupported("it has a host that is not an address"))?;
            return match rest.strip_prefix(':') {
                Some(text) => Ok((host.to_owned(), Some(port(text)?))),
                None if rest.is_empty() => Ok((host.to_owned(), None)),
                None => Err(UrlError::Unsupported("it has a host that is not an address")),
            };
        }
        match entry.rsplit_once(':') {
            // As the libraries do: an empty port is the default.
            Some((host, "")) => Ok((decode(host)?, None)),
            Some((host, text)) => Ok((decode(host)?, Some(port(text)?))),
            None => Ok((decode(entry)?, None)),
        }
    });
    let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
    if hosts.len() > MAX_HOSTS {
        return Err(UrlError::Unsupported("it names more than eight servers"));
    }
    Ok(hosts)
}

/// A port.
pub(super) fn port(text: &str) -> Result<u16, UrlError> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| is_number && *port > 0);
    port.ok_or(UrlError::Unsupported("it has a port that is no number from 1 to 65535"))
}

/// Whether a text is the name or the address of a host.
pub(super) fn is_host(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    text.bytes().all(is_name) || text.parse::<Ipv6Addr>().is_ok()
}
