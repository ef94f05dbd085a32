//! The address of a server in the configuration. Pure.

use std::fmt;

use http::Uri;
use rustls_pki_types::ServerName;

const DEFAULT_PORT: u16 = 443;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The host name or IP address to connect to.
    pub(super) host: String,
    /// The port to connect to.
    pub(super) port: u16,
    /// The name that the server certificate must be valid for.
    pub(super) server_name: ServerName<'static>,
    /// Whether the server speaks TLS. Only a server on loopback may do without.
    pub(super) is_tls: bool,
    /// `HOST[:PORT]`, for the `Host` header.
    pub(super) authority: String,
}

/// Why a text is not a valid address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `https://HOST`, with nothing after it.
    #[error("parse server address {0:?}: must be https://HOST or https://HOST:PORT")]
    Form(String),
    /// It holds credentials, which the error does not quote.
    #[error("parse server address: must not contain credentials")]
    Credentials,
    /// Plain HTTP to another machine.
    #[error(
        "parse server address {0:?}: http:// sends values and tokens unencrypted, and it is not \
         loopback"
    )]
    Unencrypted(String),
}

impl Address {
    /// Parses `https://HOST[:PORT]`.
    ///
    /// # Errors
    /// For anything else.
    pub(super) fn https(text: &str) -> Result<Self, AddressError> {
        match Self::https_or_loopback(text) {
            Ok(address) if !address.is_tls => Err(AddressError::Form(quoted(text))),
            other => other,
        }
    }

    /// Parses `https://HOST[:PORT]`, or `http://` with a host that is this pod's loopback.
    ///
    /// # Errors
    /// For anything else.
    pub(super) fn https_or_loopback(text: &str) -> Result<Self, AddressError> {
        let invalid = || AddressError::Form(quoted(text));
        if text.contains('@') {
            return Err(AddressError::Credentials);
        }
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let (Some(scheme), Some(authority), "" | "/", None) =
            (uri.scheme_str(), uri.authority(), uri.path(), uri.query())
        else {
            return Err(invalid());
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (is_tls, default_port) = match scheme {
            "https" => (true, DEFAULT_PORT),
            "http" if is_loopback(&host) => (false, 80),
            "http" => return Err(AddressError::Unencrypted(quoted(text))),
            _ => return Err(invalid()),
        };
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // `HOST:` with an empty port is a typo.
            None if authority.as_str() == authority.host() => default_port,
            None => return Err(invalid()),
        };
        let server_name = ServerName::try_from(host.clone()).map_err(|_| invalid())?;
        Ok(Self { host, port, server_name, is_tls, authority: authority.to_string() })
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(200).collect()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_addresses_are_parsed() {
        for (text, host, port) in [
            ("https://switchyard.enclii-system.svc", "switchyard.enclii-system.svc", 443),
            ("https://switchyard.enclii-system.svc/", "switchyard.enclii-system.svc", 443),
            ("https://127.0.0.1:8443", "127.0.0.1", 8443),
            ("https://[::1]:8443", "::1", 8443),
        ] {
            let address = Address::https(text).unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
            assert_eq!(Address::https_or_loopback(text), Ok(address));
        }
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        for text in [
            "",
            "switchyard",
            "http://switchyard",
            "https://",
            "https://a:",
            "https://a:99999",
            "https://a/x",
            "https://a?x",
            "ftp://a",
        ] {
            assert!(Address::https(text).is_err(), "{text}");
            assert!(Address::https_or_loopback(text).is_err(), "{text}");
        }
        let error = Address::https("https://someone:hunter2@a").unwrap_err();
        assert!(error == AddressError::Credentials && !format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for (text, port) in [
            ("http://127.0.0.1:8200", 8200),
            ("http://127.8.9.1:8200", 8200),
            ("http://[::1]:8200", 8200),
            ("http://localhost", 80),
        ] {
            let address = Address::https_or_loopback(text).unwrap();
            assert_eq!((address.port, address.is_tls), (port, false));
            assert_eq!(address.to_string(), text);
            assert!(Address::https(text).is_err(), "{text}");
        }
        for text in ["http://10.0.0.1", "http://localhost.example", "http://vault.vault.svc:8200"] {
            let refused = AddressError::Unencrypted(text.to_owned());
            assert_eq!(Address::https_or_loopback(text), Err(refused));
        }
    }
}
