//! Tells a credential by its looks.
//!
//! A value in a format that only credentials have is certainly one; a name like `API_KEY` with some
//! text behind it only looks like one. The list is short on purpose: a wrong 'certain' refuses a
//! pod.

mod token;

use std::fmt;

use token::{Body, token};

/// What a variable seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The value has a format that only credentials have.
    Certain(Kind),
    /// The name says so.
    Likely,
}

/// What kind of credential a value certainly is. Its text reads on after 'is'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(&'static str);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Judges the variable `name` with the literal `value`.
#[must_use]
pub fn detect(name: &str, value: &str) -> Option<Finding> {
    let value = value.trim();
    if value.is_empty() {
        return None;
    }
    let certain = token(value.strip_prefix("Bearer ").unwrap_or(value))
        .or_else(|| private_key(value))
        .or_else(|| url_with_password(value))
        .or_else(|| named_format(name, value))
        .or_else(|| web_token(value));
    certain
        .map(Finding::Certain)
        .or_else(|| (has_telling_name(name) && could_be_secret(value)).then_some(Finding::Likely))
}

/// PEM, plain or base64 once more (the four ways that the usual headers begin then).
fn private_key(value: &str) -> Option<Kind> {
    const ENCODED: &[&str] = &[
        "LS0tLS1CRUdJTiBQUklWQVRFIEtFW",
        "LS0tLS1CRUdJTiBSU0EgUFJJVkFUR",
        "LS0tLS1CRUdJTiBFQyBQUklWQVRFI",
        "LS0tLS1CRUdJTiBPUEVOU1NIIFBSS",
    ];
    let header = value.find("-----BEGIN ").is_some_and(|at| {
        let line = &value[at + "-----BEGIN ".len()..];
        line.find("-----").is_some_and(|end| {
            line[..end].ends_with("PRIVATE KEY") || line[..end].ends_with("PRIVATE KEY BLOCK")
        })
    });
    (header || ENCODED.iter().any(|start| value.starts_with(start)))
        .then_some(Kind("a private key"))
}

/// `scheme://user:password@host`, or a connection address with `password=` among its parameters.
fn url_with_password(value: &str) -> Option<Kind> {
    const KIND: Kind = Kind("an address with a password in it");
    let (scheme, rest) = value.split_once("://")?;
    let is_scheme = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b':'))
    };
    if !is_scheme(scheme) {
        return None;
    }
    let authority = &rest[..rest.find(['/', '?', '#', ' ']).unwrap_or(rest.len())];
    // The last '@' ends the user part: passwords hold unescaped ones more often than hosts do.
    let password = authority
        .rsplit_once('@')
        .and_then(|(user, _)| user.split_once(':'))
        .map(|(_, password)| password);
    if password.is_some_and(is_written_out) {
        return Some(KIND);
    }
    let parameters = rest.split(['?', '&', ';']).skip(1);
    let parameter = parameters
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case("password"));
    parameter.is_some_and(|(_, password)| is_written_out(password)).then_some(KIND)
}

/// Not empty, and no reference or blank to be filled in: `$(X)`, `${X}`, `{{ x }}`, `<password>`,
/// `***`.
fn is_written_out(password: &str) -> bool {
    !password.is_empty()
        && !password.starts_with(['$', '{', '<', '%'])
        && !password.bytes().all(|b| matches!(b, b'*' | b'x' | b'X' | b'.'))
}

/// Formats that are common text without their name.
fn named_format(name: &str, value: &str) -> Option<Kind> {
    let base64 = |text: &str| {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    };
    if name.to_ascii_uppercase().contains("SECRET_ACCESS_KEY") && value.len() == 40 && base64(value)
    {
        return Some(Kind("an AWS secret access key"));
    }
    let account_key = value.split(';').find_map(|part| part.trim().strip_prefix("AccountKey="));
    account_key.filter(|key| key.len() >= 40 && base64(key)).map(|_| Kind("an Azure storage key"))
}

/// A signed JSON Web Token: three parts of base64url, of which the first two are JSON objects.
fn web_token(value: &str) -> Option<Kind> {
    let value = value.strip_prefix("Bearer ").unwrap_or(value);
    let mut parts = value.split('.');
    let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let fits = parts.next().is_none()
        && header.starts_with("eyJ")
        && claims.starts_with("eyJ")
        && signature.len() >= 20
        && value.bytes().all(|b| Body::Word.fits(b) || b == b'.');
    fits.then_some(Kind("a JSON Web Token"))
}

/// Parts of names that credentials have.
const TELLING: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
    "CREDENTIAL",
    "ENCRYPTION_KEY",
];

/// Last parts of names that speak of a credential without being one.
const HARMLESS: &[&str] = &[
    "FILE",
    "PATH",
    "DIR",
    "NAME",
    "HEADER",
    "TTL",
    "LENGTH",
    "ENABLED",
    "TIMEOUT",
    "EXPIRY",
    "EXPIRATION",
    "ISSUER",
    "AUDIENCE",
    "URL",
    "URI",
    "ENDPOINT",
    "TYPE",
    "ALGORITHM",
    "NAMESPACE",
    "PREFIX",
];

fn has_telling_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let last = upper.rsplit('_').next().unwrap_or_default();
    !HARMLESS.contains(&last) && TELLING.iter().any(|part| upper.contains(part))
}

/// Not a number, a switch, a path or a reference to another variable.
fn could_be_secret(value: &str) -> bool {
    let number =
        value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-')) && value.len() <= 10;
    let switch = ["true", "false", "yes", "no", "on", "off", "none", "null"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word));
    let reference = value.starts_with("$(") && value.ends_with(')');
    !number && !switch && !reference && !value.starts_with('/')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::token::TOKENS;
    use super::*;

    /// Built from its parts, so that no scanner takes this file for a leak.
    fn sample(start: &str, fill: char, count: usize) -> String {
        start.chars().chain(std::iter::repeat_n(fill, count)).collect()
    }

    fn kind(name: &str, value: &str) -> Option<&'static str> {
        match detect(name, value) {
            Some(Finding::Certain(Kind(kind))) => Some(kind),
            Some(Finding::Likely) => Some("likely"),
            None => None,
        }
    }

    #[test]
    fn every_token_format_is_known_with_any_name() {
        for (start, least, body, expected) in TOKENS {
            let fill = if matches!(body, Body::Upper) { 'A' } else { 'a' };
            let whole = sample(start, fill, *least);
            assert!(
                kind("X", &whole).is_some_and(|it| it == *expected || start.starts_with("sk-")),
                "{start}"
            );
            assert!(kind("X", &format!(" Bearer {whole}\n")).is_some(), "{start}");
            assert_eq!(kind("X", &sample(start, fill, 3)), None, "{start}");
            assert_eq!(kind("X", &format!("{whole} and more")), None, "{start}");
        }
    }

    #[test]
    fn private_keys() {
        for header in [
            "PRIVATE KEY",
            "RSA PRIVATE KEY",
            "EC PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        ] {
            assert_eq!(
                kind("X", &format!("{{\"k\":\"-----BEGIN {header}-----\\nMII")),
                Some("a private key"),
                "{header}"
            );
        }
        assert_eq!(kind("X", "-----BEGIN CERTIFICATE-----\nMII"), None);
        assert_eq!(kind("X", "-----BEGIN PUBLIC KEY-----\nMII"), None);
        assert_eq!(kind("X", "-----BEGIN "), None);
        assert_eq!(kind("X", "LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0tLS0t"), Some("a private key"));
        assert_eq!(kind("X", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"), None);
    }

    #[test]
    fn addresses() {
        for (value, is) in [
            ("postgres://app:pw@db:5432/x", true),
            ("redis://:pw@cache:6379", true),
            ("amqps://a:p@ss@mq/vhost", true),
            ("jdbc:postgresql://db/x?user=a&password=pw", true),
            ("sqlserver://db:1433;user=a;Password=pw", true),
            ("https://x:tokentoken@github.com/a/b.git", true),
            ("postgres://db:5432/x", false),
            ("postgres://app@db/x", false),
            ("postgres://app:$(DB_PASSWORD)@db/x", false),
            ("postgres://app:${PW}@db/x", false),
            ("postgres://app:<password>@db/x", false),
            ("postgres://app:***@db/x", false),
            ("postgres://app:@db/x", false),
            ("https://example.com/a:b@c", false),
            ("https://example.com/?password=", false),
            ("see https://a:b@c for more", false),
            ("a:b@c", false),
        ] {
            assert_eq!(kind("X", value).is_some(), is, "{value}");
        }
    }

    #[test]
    fn formats_that_need_their_name() {
        let key = sample("", 'k', 40);
        assert_eq!(kind("AWS_SECRET_ACCESS_KEY", &key), Some("an AWS secret access key"));
        assert_eq!(kind("GIT_COMMIT", &key), None);
        let azure = format!(
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}==",
            sample("", 'k', 86)
        );
        assert_eq!(kind("X", &azure), Some("an Azure storage key"));
    }

    #[test]
    fn web_tokens() {
        let signature = sample("", 's', 43);
        assert_eq!(
            kind("X", &format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{signature}")),
            Some("a JSON Web Token")
        );
        assert_eq!(
            kind("X", &format!("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{signature}")),
            Some("a JSON Web Token")
        );
        assert_eq!(kind("X", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0."), None);
        assert_eq!(kind("X", "1.2.3"), None);
    }

    #[test]
    fn names_only_look() {
        for name in [
            "PASSWORD",
            "DB_PASSWORD",
            "db.password",
            "api-key",
            "MY_APIKEY",
            "CLIENT_SECRET",
            "SESSION_TOKEN",
            "AWS_ACCESS_KEY_ID",
        ] {
            assert_eq!(kind(name, "hunter2"), Some("likely"), "{name}");
        }
        for name in [
            "TOKEN_FILE",
            "PASSWORD_LENGTH",
            "SECRET_NAME",
            "TOKEN_TTL",
            "LOG_LEVEL",
            "KEYBOARD",
            "TOKEN_URL",
        ] {
            assert_eq!(kind(name, "hunter2"), None, "{name}");
        }
        for value in ["", " ", "true", "Off", "3600", "/run/x", "$(OTHER)"] {
            assert_eq!(kind("PASSWORD", value), None, "{value}");
        }
        assert_eq!(kind("PASSWORD", "12345678901"), Some("likely"));
    }

    proptest! {
        #[test]
        fn no_input_panics(name: String, value: String) {
            let _ = detect(&name, &value);
        }

        #[test]
        fn no_address_panics(value in "[a-z]{0,3}:?/?/?[a-zé:@/?&=;$%<-]{0,30}") {
            let _ = detect("X", &value);
        }
    }
}
