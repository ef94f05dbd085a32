//! Connection strings and other texts of `key=value` pairs.

use super::rule::Alphabet;
use super::value::{is_literal_password, is_one_of, is_varied};

/// `Server=…;Password=…`, `host=… password=…`, `user:password@tcp(host)/database`.
pub(super) fn connection_string(text: &str) -> bool {
    is_connection(text.split(';')) || is_connection(text.split_whitespace()) || mysql(text)
}

fn is_connection<'t>(pairs: impl Iterator<Item = &'t str>) -> bool {
    const BESIDE: &[&str] = &[
        "server",
        "data source",
        "datasource",
        "host",
        "hostname",
        "address",
        "addr",
        "endpoint",
        "user",
        "uid",
        "user id",
        "userid",
        "username",
        "database",
        "initial catalog",
        "dbname",
        "port",
        "driver",
        "provider",
        "network address",
    ];
    let (mut has_password, mut has_other) = (false, false);
    for (key, value) in pairs.filter_map(|pair| pair.split_once('=')) {
        let (key, value) = (key.trim(), value.trim_end_matches(';').trim_matches(['"', '\'']));
        has_password |= is_one_of(key, &["password", "pwd"]) && is_literal_password(value.trim());
        has_other |= is_one_of(key, BESIDE) && !value.is_empty();
    }
    has_password && has_other
}

/// The address of Go's driver for MySQL.
fn mysql(text: &str) -> bool {
    ["@tcp(", "@unix(", "@tcp6(", "@("].iter().any(|mark| {
        text.split_once(mark).is_some_and(|(before, _)| {
            let word = before.rsplit(|c: char| c.is_whitespace() || "\"'=".contains(c)).next();
            word.and_then(|word| word.split_once(':'))
                .is_some_and(|(user, password)| !user.is_empty() && is_literal_password(password))
        })
    })
}

/// The key of a storage account, a service bus, or the like.
pub(super) fn azure_key(text: &str) -> bool {
    ["AccountKey=", "SharedAccessKey="].iter().any(|mark| {
        text.split_once(mark).is_some_and(|(_, rest)| {
            let key = &rest[..run(rest, Alphabet::Base64)];
            key.len() >= 40 && is_varied(key, true)
        })
    })
}

/// `aws_secret_access_key = …` in a file.
pub(super) fn aws_secret(text: &str) -> bool {
    ["aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"].iter().any(|mark| {
        text.split_once(mark).is_some_and(|(_, rest)| {
            let rest = rest.trim_start_matches([' ', '=', ':', '"', '\'', '\t']);
            is_aws_secret(&rest[..run(rest, Alphabet::Base64)])
        })
    })
}

/// Forty characters of base64.
pub(super) fn is_aws_secret(value: &str) -> bool {
    value.len() == 40
        && run(value, Alphabet::Base64) == 40
        && !value.contains("EXAMPLE")
        && value.bytes().any(|b| b.is_ascii_uppercase())
        && is_varied(value, true)
}

/// The bot's number, `:AA`, and 33 more characters.
pub(super) fn telegram(text: &str) -> bool {
    text.match_indices(":AA").any(|(at, _)| {
        let before = &text.as_bytes()[..at];
        let digits = before.iter().rev().take(12).take_while(|b| b.is_ascii_digit()).count();
        let secret = &text[at + 1..];
        let length = run(&secret[..floor(secret, 40)], Alphabet::Word);
        (8..=11).contains(&digits) && length == 35 && is_varied(&secret[..length], true)
    })
}

/// The length of the run of the alphabet's characters at the start.
fn run(text: &str, alphabet: Alphabet) -> usize {
    text.bytes().take_while(|byte| alphabet.has(*byte)).count()
}

/// At most `most` bytes, and whole characters.
pub(super) fn floor(text: &str, most: usize) -> usize {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}
