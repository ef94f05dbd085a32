//! The configuration's URL. Pure.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use rustls_pki_types::ServerName;

const DEFAULT_PORT: u16 = 443;

/// The address of switchyard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The host name or IP address to connect to.
    pub(super) host: String,
    /// The port to connect to.
    pub(super) port: u16,
    /// The name that the server certificate must be valid for.
    pub(super) server_name: ServerName<'static>,
    /// `HOST[:PORT]`, for the `Host` header.
    pub(super) authority: String,
}

/// Why a text is not a valid address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse switchyard address {0:?}: must be https://HOST or https://HOST:PORT")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let invalid = || AddressError(text.chars().take(200).collect());
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let (Some("https"), Some(authority), "" | "/", None) =
            (uri.scheme_str(), uri.authority(), uri.path(), uri.query())
        else {
            return Err(invalid());
        };
        if authority.as_str().contains('@') {
            return Err(invalid());
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // `HOST:` with an empty port is a typo.
            None if authority.as_str() == authority.host() => DEFAULT_PORT,
            None => return Err(invalid()),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let server_name = ServerName::try_from(host.clone()).map_err(|_| invalid())?;
        Ok(Self { host, port, server_name, authority: authority.to_string() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority)
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
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
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
            "https://u:p@a",
            "https://a/x",
            "https://a?x",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
