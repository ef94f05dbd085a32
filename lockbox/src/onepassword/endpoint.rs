//! Which address of Connect is accepted.

use runtime::http_client::is_https_or_loopback;
use url::Url;

use super::config::SetupError;

/// Parses the base address. Values travel to it, so it must be HTTPS or loopback, unless the
/// operator allows plain HTTP.
pub(super) fn address(text: &str, allow_plain_http: bool) -> Result<String, SetupError> {
    let bad = || SetupError::Address(text.chars().take(200).collect());
    let url = Url::parse(text).map_err(|_| bad())?;
    let has_only_host = url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    match url.scheme() {
        _ if !has_only_host => return Err(bad()),
        "https" => {}
        "http" if is_https_or_loopback(&url) || allow_plain_http => {}
        "http" => return Err(SetupError::PlainHttp(text.to_owned())),
        _ => return Err(bad()),
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_and_loopback_addresses_are_accepted() {
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
}
