//! Credentials in a form of their own: keys in PEM, HTTP's credentials, a registry's, hashes.

use super::base64;
use super::value::{is_literal_password, is_random, starts_with_ignoring_case};

/// A private key in PEM with something after its header, also inside JSON.
pub(super) fn private_key(text: &str) -> bool {
    text.match_indices("-----BEGIN ").any(|(at, mark)| {
        let line = &text[at + mark.len()..];
        let Some((label, body)) = line.split_once("-----") else { return false };
        // The line break, raw or escaped once or twice.
        let body = body.trim_start_matches(['\\', 'n', 'r', '\n', '\r', ' ']);
        label.len() < 64
            && (label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK"))
            && body.bytes().take_while(u8::is_ascii_alphanumeric).count() >= 3
            && !is_placeholder_line(body)
    })
}

fn is_placeholder_line(body: &str) -> bool {
    ["your", "key", "xxx"].iter().any(|word| starts_with_ignoring_case(body, word))
}

/// `Basic` and `user:password` in base64.
pub(super) fn basic(text: &str) -> bool {
    words_after(text, "basic ").any(|word| base64::decode(word).is_some_and(|it| is_login(&it)))
}

fn is_login(decoded: &str) -> bool {
    decoded
        .split_once(':')
        .is_some_and(|(user, password)| !user.is_empty() && is_literal_password(password.trim()))
}

/// `Bearer` and something random.
pub(super) fn bearer(text: &str) -> bool {
    words_after(text, "bearer ").any(is_random)
}

/// The words after a scheme of HTTP's `Authorization`, at the start or after a space, a colon or a
/// quote.
fn words_after<'t>(text: &'t str, scheme: &'static str) -> impl Iterator<Item = &'t str> {
    let starts = text.match_indices(['B', 'b']).filter(move |(at, _)| {
        let before = text[..*at].bytes().next_back();
        starts_with_ignoring_case(&text[*at..], scheme)
            && before.is_none_or(|b| matches!(b, b' ' | b':' | b'"' | b'\'' | b'='))
    });
    starts.filter_map(move |(at, _)| {
        let rest = text[at + scheme.len()..].trim_start();
        rest.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',')).next()
    })
}

/// The credentials of an image registry: `{"auths": {"host": {"auth": "…"}}}`.
pub(super) fn registry(text: &str) -> bool {
    let has_auth = strings_of(text, "\"auth\"")
        .any(|value| base64::decode(value).is_some_and(|it| is_login(&it)));
    has_auth
        || (text.contains("\"auths\"") && strings_of(text, "\"password\"").any(is_literal_password))
}

/// The strings that JSON has under a key.
fn strings_of<'t>(text: &'t str, key: &'static str) -> impl Iterator<Item = &'t str> {
    text.match_indices(key).filter_map(move |(at, _)| {
        let value = text[at + key.len()..].trim_start().strip_prefix(':')?.trim_start();
        value.strip_prefix('"')?.split('"').next()
    })
}

/// The hash of a password as `crypt` and its successors write it, after a user or alone.
pub(super) fn password_hash(text: &str) -> bool {
    const STARTS: &[&str] =
        &["$2a$", "$2b$", "$2y$", "$argon2", "$apr1$", "$6$", "$5$", "$y$", "{SHA}", "{SSHA}"];
    let hash = match text.split_once(':') {
        Some((user, rest)) if !user.contains(['$', ' ', '{']) => rest,
        _ => text,
    };
    hash.len() >= 28
        && STARTS.iter().any(|start| hash.starts_with(start))
        && hash.bytes().all(|b| b.is_ascii_graphic())
}
