//! Recognizes credentials by their format or their name.
//!
//! A value in a format that only credentials have is certainly one. A variable with a name like
//! `API_KEY` is likely one. The list of formats is short on purpose: a false positive refuses a
//! pod.

mod token;

use std::fmt;

use token::{TokenAlphabet, token};

/// How sure it is that a variable is a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialMatch {
    /// The value has a format that only credentials have.
    Certain(CredentialKind),
    /// The name suggests a credential.
    Likely,
}

/// The kind of a credential. Displayed with an article, as in `a GitHub token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CredentialKind(&'static str);

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Checks the variable `name` with the literal `value`.
#[must_use]
pub(crate) fn detect(name: &str, value: &str) -> Option<CredentialMatch> {
    let value = value.trim();
    if value.is_empty() {
        return None;
    }
    let certain = token(value.strip_prefix("Bearer ").unwrap_or(value))
        .or_else(|| private_key(value))
        .or_else(|| url_with_password(value))
        .or_else(|| named_format(name, value))
        .or_else(|| web_token(value));
    certain.map(CredentialMatch::Certain).or_else(|| {
        (name_suggests_credential(name) && value_could_be_secret(value))
            .then_some(CredentialMatch::Likely)
    })
}

/// A PEM private key, plain or in base64 (the beginnings of the four usual headers).
fn private_key(value: &str) -> Option<CredentialKind> {
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
        .then_some(CredentialKind("a private key"))
}

/// `scheme://user:password@host`, or a connection address with `password=` among its parameters.
fn url_with_password(value: &str) -> Option<CredentialKind> {
    const KIND: CredentialKind = CredentialKind("an address with a password in it");
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
    // The last '@' ends the user part: a password may hold an unescaped '@', a host may not.
    let password = authority
        .rsplit_once('@')
        .and_then(|(user, _)| user.split_once(':'))
        .map(|(_, password)| password);
    if password.is_some_and(is_literal_password) {
        return Some(KIND);
    }
    let parameters = rest.split(['?', '&', ';']).skip(1);
    let parameter = parameters
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case("password"));
    parameter.is_some_and(|(_, password)| is_literal_password(password)).then_some(KIND)
}

/// Not empty, and not a reference or placeholder: `$(X)`, `${X}`, `{{ x }}`, `<password>`, `***`.
fn is_literal_password(password: &str) -> bool {
    !password.is_empty()
        && !password.starts_with(['$', '{', '<', '%'])
        && !password.bytes().all(|b| matches!(b, b'*' | b'x' | b'X' | b'.'))
}

/// Formats that are only credentials together with a name.
fn named_format(name: &str, value: &str) -> Option<CredentialKind> {
    let base64 = |text: &str| {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    };
    if name.to_ascii_uppercase().contains("SECRET_ACCESS_KEY") && value.len() == 40 && base64(value)
    {
        return Some(CredentialKind("an AWS secret access key"));
    }
    let account_key = value.split(';').find_map(|part| part.trim().strip_prefix("AccountKey="));
    account_key
        .filter(|key| key.len() >= 40 && base64(key))
        .map(|_| CredentialKind("an Azure storage key"))
}

/// A signed JSON Web Token: three parts of base64url, the first two of them JSON objects.
fn web_token(value: &str) -> Option<CredentialKind> {
    let value = value.strip_prefix("Bearer ").unwrap_or(value);
    let mut parts = value.split('.');
    let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let fits = parts.next().is_none()
        && header.starts_with("eyJ")
        && claims.starts_with("eyJ")
        && signature.len() >= 20
        && value.bytes().all(|b| TokenAlphabet::Word.fits(b) || b == b'.');
    fits.then_some(CredentialKind("a JSON Web Token"))
}

/// Words in the names of credentials.
const CREDENTIAL_WORDS: &[&str] = &[
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

/// Last words of names that mention a credential without being one.
const HARMLESS_LAST_WORDS: &[&str] = &[
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

fn name_suggests_credential(name: &str) -> bool {
    let upper = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let last = upper.rsplit('_').next().unwrap_or_default();
    !HARMLESS_LAST_WORDS.contains(&last) && CREDENTIAL_WORDS.iter().any(|part| upper.contains(part))
}

/// Not a number, a boolean, a path or a reference to another variable.
fn value_could_be_secret(value: &str) -> bool {
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

    /// Built from parts, so that no secret scanner reports this file.
    fn sample(start: &str, fill: char, count: usize) -> String {
        start.chars().chain(std::iter::repeat_n(fill, count)).collect()
    }

    fn kind(name: &str, value: &str) -> Option<&'static str> {
        match detect(name, value) {
            Some(CredentialMatch::Certain(CredentialKind(kind))) => Some(kind),
            Some(CredentialMatch::Likely) => Some("likely"),
            None => None,
        }
    }

    #[test]
    fn every_token_format_is_recognized_with_any_name() {
        for (start, least, body, expected) in TOKENS {
            let fill = if matches!(body, TokenAlphabet::Upper) { 'A' } else { 'a' };
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
    fn private_keys_are_recognized() {
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
    fn only_urls_with_a_literal_password_are_recognized() {
        for (value, expected) in [
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
            assert_eq!(kind("X", value).is_some(), expected, "{value}");
        }
    }

    #[test]
    fn some_formats_need_a_name() {
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
    fn json_web_tokens_are_recognized() {
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
    fn a_name_makes_a_likely_credential() {
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
        fn no_url_panics(value in "[a-z]{0,3}:?/?/?[a-zé:@/?&=;$%<-]{0,30}") {
            let _ = detect("X", &value);
        }
    }
}
