//! What Redis's errors mean. Their text can name users, so only the first word, the code, is said.

use contract::login_check::{Refusal, Unreachable};
use redis::RedisError;

use crate::failure::Failure;
use crate::target::Endpoint;

/// The code of an error without one of its own.
const GENERAL: &str = "ERR";

/// Whether the user lacks a right.
pub(super) fn is_of_rights(error: &RedisError) -> bool {
    error.code() == Some("NOPERM")
}

/// Whether a server takes one setting at a time, as before Redis 7.
pub(super) fn is_of_many_settings(error: &RedisError) -> bool {
    let text = error.detail().unwrap_or_default();
    error.code() == Some(GENERAL) && text.to_ascii_lowercase().contains("number of arguments")
}

/// The failure that an error of a login is.
pub(super) fn failure(endpoint: &Endpoint, error: &RedisError) -> Failure {
    match error.code() {
        Some(code) => of_code(endpoint, code, error.detail().unwrap_or_default()),
        None if error.is_io_error() => {
            let detail = format!("log in at {endpoint}: it closed the connection");
            Failure::unreachable(Unreachable::Protocol, detail)
        }
        None => {
            let detail = format!("log in at {endpoint}: it does not answer like Redis");
            Failure::unreachable(Unreachable::Protocol, detail)
        }
    }
}

/// The failure that a code is. The text only tells apart what has no code of its own.
fn of_code(endpoint: &Endpoint, code: &str, text: &str) -> Failure {
    let detail = |said: &str| format!("{endpoint}: {said} ({code})");
    let refused = |refusal, said: &str| Failure::refused(refusal, detail(said));
    let not_ready = |said: &str| Failure::unreachable(Unreachable::NotReady, detail(said));
    match code {
        "WRONGPASS" => refused(Refusal::Credential, "it refuses the user or the password"),
        "NOAUTH" => refused(Refusal::Credential, "it wants a password, and the URL has none"),
        "NOPERM" => refused(Refusal::Permission, "the user lacks the right"),
        "DENIED" => refused(Refusal::Permission, "its protected mode refuses this address"),
        "LOADING" => not_ready("it is loading its data"),
        "MASTERDOWN" | "BUSY" => not_ready("it is busy"),
        GENERAL if text.contains("invalid password") => {
            refused(Refusal::Credential, "it refuses the password")
        }
        GENERAL if text.contains("without any password configured") => {
            refused(Refusal::Credential, "it has no password, and the URL has one")
        }
        GENERAL if text.contains("DB index") => {
            refused(Refusal::Database, "the database does not exist")
        }
        GENERAL if text.contains("max number of clients") => {
            not_ready("it has too many connections")
        }
        _ => {
            let detail = format!("{endpoint}: it answers with an error");
            Failure::unreachable(Unreachable::Protocol, detail)
        }
    }
}

/// The failure of a `CONFIG SET` that the server answered.
pub(super) fn of_config_set(endpoint: &Endpoint, error: &RedisError) -> Failure {
    match error.code() {
        Some("NOPERM") => failure(endpoint, error),
        Some(_) => Failure::refused(
            Refusal::Configuration,
            format!("{endpoint}: it did not take the certificate; its log says why"),
        ),
        None => failure(endpoint, error),
    }
}

#[cfg(test)]
mod tests {
    use contract::login_check::{LoginCheckAnswer, LoginOutcome};

    use super::*;

    #[test]
    fn what_a_code_means() {
        let endpoint = Endpoint { host: "cache".to_owned(), port: 6379 };
        let credential = LoginOutcome::Refused(Refusal::Credential);
        for (code, text, outcome) in [
            ("WRONGPASS", "invalid username-password pair or user is disabled.", credential),
            ("NOAUTH", "Authentication required.", credential),
            ("ERR", "invalid password", credential),
            ("ERR", "DB index is out of range", LoginOutcome::Refused(Refusal::Database)),
            (
                "ERR",
                "max number of clients reached",
                LoginOutcome::Unreachable(Unreachable::NotReady),
            ),
            ("LOADING", "", LoginOutcome::Unreachable(Unreachable::NotReady)),
            ("ERR", "canary", LoginOutcome::Unreachable(Unreachable::Protocol)),
            ("CANARY", "canary", LoginOutcome::Unreachable(Unreachable::Protocol)),
        ] {
            let answer = LoginCheckAnswer::from(of_code(&endpoint, code, text));
            assert_eq!(answer.outcome, outcome, "{code} {text}");
            assert!(answer.detail.starts_with("cache:6379: "), "{answer:?}");
            assert!(!answer.detail.to_lowercase().contains("canary"), "{answer:?}");
        }
    }
}
