//! Credentials by their names.

use super::name::Name;
use super::value::{
    could_be_secret, is_literal_password, is_number, is_object_name, is_random, is_uuid,
};

/// An AWS secret access key: forty characters, and its own name.
pub(super) fn aws_secret(name: &Name, value: &str) -> bool {
    (name.contains("SECRET_ACCESS_KEY") || name.contains("AWS_SECRET_KEY"))
        && super::pairs::is_aws_secret(value)
}

/// `*PASSWORD` and its short forms.
pub(super) fn password(name: &Name, value: &str) -> bool {
    const SHORT: &[&str] = &["PASS", "PWD", "PW", "PSWD", "PEPPER"];
    const ENDINGS: &[&str] = &["PASSWORD", "PASSWD", "PASSPHRASE", "PASSCODE", "DBPASS", "DBPWD"];
    const OTHER_PASSES: &[&str] = &["BYPASS", "COMPASS", "TRESPASS", "ENCOMPASS", "SURPASS"];
    let (head, _) = name.head();
    let is_long = ENDINGS.iter().any(|end| head.ends_with(end)) && head != "NOPASSWD";
    let is_short =
        SHORT.contains(&head) || (head.ends_with("PASS") && !OTHER_PASSES.contains(&head));
    let digits = if is_long { 3 } else { 4 };
    (is_long || is_short) && could_be_secret(value) && !is_number(value, digits)
}

/// `*_SECRET`, `*_TOKEN`, `API_KEY` and the like.
pub(super) fn secret(name: &Name, value: &str) -> bool {
    is_secret_name(name, value) && could_be_secret(value) && !is_number(value, 10)
}

fn is_secret_name(name: &Name, value: &str) -> bool {
    const ENDINGS: &[&str] = &[
        "TOKEN",
        "APIKEY",
        "SECRETKEY",
        "ACCESSKEY",
        "PRIVATEKEY",
        "AUTHKEY",
        "MASTERKEY",
        "CLIENTSECRET",
        "MASTERAUTH",
        "MASTERPASS",
    ];
    const OF_KEYS: &[&str] = &[
        "API",
        "ACCESS",
        "PRIVATE",
        "ENCRYPTION",
        "SECRET",
        "SIGNING",
        "JWT",
        "MASTER",
        "LICENSE",
        "LICENCE",
        "AUTH",
        "HMAC",
        "UNSEAL",
        "FERNET",
    ];
    let (head, mut before) = name.head();
    match head {
        "SALT" | "PSK" | "SK" => true,
        "KEY" | "KEYS" => before.next().is_some_and(|word| OF_KEYS.contains(&word)),
        "ID" => {
            let (last, second) = (before.next(), before.next());
            (last == Some("KEY") && second == Some("ACCESS"))
                || (last == Some("TOKEN") && second == Some("ROOT"))
                || (last == Some("SECRET")
                    && matches!(second, Some("VAULT" | "ROLE" | "APPROLE"))
                    && is_uuid(value))
        }
        "SECRET" => is_secret(before, value),
        _ => ENDINGS.iter().any(|end| head.ends_with(end)) || head.ends_with("SECRET"),
    }
}

/// `JWT_SECRET` holds a secret, `TLS_SECRET` the name of a Secret, and `DB_SECRET` either.
fn is_secret<'a>(mut before: impl Iterator<Item = &'a str>, value: &str) -> bool {
    const OF_VALUES: &[&str] = &[
        "JWT",
        "SESSION",
        "WEBHOOK",
        "CLIENT",
        "APP",
        "APPLICATION",
        "HMAC",
        "COOKIE",
        "SIGNING",
        "SHARED",
        "AUTH",
        "TOKEN",
        "API",
        "ADMIN",
        "CONSUMER",
        "OAUTH",
        "OAUTH2",
        "RPC",
        "TURN",
        "ENCRYPTION",
    ];
    const OF_OBJECTS: &[&str] = &[
        "PULL",
        "TLS",
        "SSL",
        "CERT",
        "CERTIFICATE",
        "CA",
        "EXISTING",
        "K8S",
        "KUBERNETES",
        "IMAGE",
    ];
    match before.next() {
        Some(word) if OF_VALUES.contains(&word) => true,
        Some(word) if OF_OBJECTS.contains(&word) => is_random(value),
        _ => !is_object_name(value),
    }
}

/// `*_AUTH`, `*_CREDENTIALS`: `user:password`, `user/password`, or random.
pub(super) fn pair(name: &Name, value: &str) -> bool {
    let (head, _) = name.head();
    // `user:password@host:3306/database`
    let value = match value.rsplit_once('@') {
        Some((login, _)) if head == "DSN" => login,
        _ => value,
    };
    let is_named =
        matches!(head, "AUTH" | "AUTHORIZATION" | "CREDENTIALS" | "CREDENTIAL" | "CREDS" | "DSN");
    is_named && could_be_secret(value) && (is_user_and_password(value) || is_random(value))
}

fn is_user_and_password(value: &str) -> bool {
    let Some((user, password)) = value.split_once(':').or_else(|| value.split_once('/')) else {
        return false;
    };
    let is_user = !user.is_empty()
        && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-+@".contains(&b));
    let is_port = password.len() <= 5 && password.bytes().all(|b| b.is_ascii_digit());
    is_user && !is_port && !password.contains(['/', ' ']) && is_literal_password(password)
}

/// Any other name with a word of credentials in it, where the value is random. A name whose last
/// word says that it is about a credential, as in `TOKEN_ISSUER`, is none.
pub(super) fn random(name: &Name, value: &str) -> bool {
    const WORDS: &[&str] = &[
        "PASSWORD",
        "PASSWD",
        "PASS",
        "PASSPHRASE",
        "SECRET",
        "SECRETS",
        "TOKEN",
        "TOKENS",
        "KEY",
        "KEYS",
        "APIKEY",
        "PSK",
        "SALT",
        "AUTH",
        "CREDENTIALS",
        "CREDENTIAL",
        "COOKIE",
        "SEED",
        "LICENSE",
    ];
    let (head, mut before) = name.head();
    let is_key_of_all = matches!(head, "KEY" | "KEYS")
        && before.next().is_some_and(|word| matches!(word, "GPG" | "PGP" | "HOST" | "CACHE"));
    name.has(WORDS)
        && !is_about_one(head)
        && !is_key_of_all
        && could_be_secret(value)
        && (is_random(value) || is_user_and_random(value))
}

fn is_user_and_random(value: &str) -> bool {
    value.split_once(':').is_some_and(|(user, rest)| !user.is_empty() && is_random(rest))
}

/// Last words of names that are about a credential.
fn is_about_one(head: &str) -> bool {
    const ABOUT: &[&str] = &[
        "FILE",
        "PATH",
        "DIR",
        "DIRECTORY",
        "NAME",
        "HEADER",
        "TTL",
        "LENGTH",
        "ENABLED",
        "DISABLED",
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
        "SUFFIX",
        "ID",
        "IDS",
        "STORE",
        "BACKEND",
        "ENGINE",
        "MANAGER",
        "PROVIDER",
        "MODE",
        "POLICY",
        "HOST",
        "PORT",
        "REGION",
        "VERSION",
        "FORMAT",
        "ARN",
        "REF",
        "ROLE",
        "USER",
        "USERNAME",
        "EMAIL",
        "CERT",
        "CA",
        "FINGERPRINT",
        "CHECKSUM",
        "DIGEST",
        "COMMIT",
        "IMAGE",
        "DOMAIN",
        "SCOPE",
        "CLAIM",
        "CLASS",
        "BUCKET",
        "CLUSTER",
        "SERVER",
        "SERVICE",
        "LOCATION",
        "SOURCE",
        "TEMPLATE",
    ];
    ABOUT.contains(&head)
}
