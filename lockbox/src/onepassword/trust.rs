//! Which address is taken, and whose certificates are trusted behind it.

use std::path::Path;
use std::sync::Arc;

use runtime::logs::ErrorChain;
use rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

use super::config::SetupError;

/// The address that paths are put behind. Values travel to it, so it is HTTPS, or loopback, or the
/// operator said that it is all the same.
pub(super) fn address(text: &str, plain_http: bool) -> Result<String, SetupError> {
    let bad = || SetupError::Address(text.chars().take(200).collect());
    let url = Url::parse(text).map_err(|_| bad())?;
    let host = url.host().ok_or_else(bad)?;
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let loopback = match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    match url.scheme() {
        _ if !bare => Err(bad()),
        "https" => Ok(url.as_str().trim_end_matches('/').to_owned()),
        "http" if loopback || plain_http => Ok(url.as_str().trim_end_matches('/').to_owned()),
        "http" => Err(SetupError::Plain(text.to_owned())),
        _ => Err(bad()),
    }
}

/// What TLS trusts, where it is not what the system trusts.
pub(super) fn tls(
    address: &str,
    ca_file: Option<&Path>,
) -> Result<Option<ClientConfig>, SetupError> {
    let roots = match ca_file {
        Some(path) => roots(path)?,
        // No TLS is spoken: the system's certificates are not looked for.
        None if address.starts_with("http:") => RootCertStore::empty(),
        None => return Ok(None),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| SetupError::Certificates {
        path: ca_file.unwrap_or_else(|| Path::new("")).to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Some(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn roots(path: &Path) -> Result<RootCertStore, SetupError> {
    let pem =
        std::fs::read(path).map_err(|source| SetupError::Read { path: path.to_owned(), source })?;
    runtime::root_certs::from_pem(&pem).map_err(|error| SetupError::Certificates {
        path: path.to_owned(),
        reason: ErrorChain(&error).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_addresses_are_taken() {
        for (text, plain, expected) in [
            ("https://connect:8443", false, Some("https://connect:8443")),
            ("https://connect/", false, Some("https://connect")),
            ("http://127.0.0.1:8080", false, Some("http://127.0.0.1:8080")),
            ("http://[::1]:8080", false, Some("http://[::1]:8080")),
            ("http://localhost:8080/", false, Some("http://localhost:8080")),
            ("http://connect:8080", false, None),
            ("http://localhost.example.org", false, None),
            ("http://connect:8080", true, Some("http://connect:8080")),
            ("https://connect/v1", false, None),
            ("https://user:x@connect", false, None),
            ("https://connect?x", false, None),
            ("connect:8080", false, None),
            ("ftp://connect", true, None),
            ("", false, None),
        ] {
            assert_eq!(address(text, plain).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.crt");
        assert!(matches!(tls("https://x", Some(&file)), Err(SetupError::Read { .. })));
        std::fs::File::create(&file).unwrap();
        assert!(matches!(tls("https://x", Some(&file)), Err(SetupError::Certificates { .. })));
        assert!(
            tls("https://x", None).unwrap().is_none()
                && tls("http://localhost", None).unwrap().is_some()
        );
    }
}
