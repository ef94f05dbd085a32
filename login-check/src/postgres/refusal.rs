//! What PostgreSQL's errors mean. Their text names users and databases, so only the code is said
//! (PostgreSQL's manual, appendix A).

use std::error::Error as _;
use std::io;

use contract::login_check::{LoginOutcome, Refusal, Unreachable};
use tokio_postgres::Error;

use crate::failure::Failure;
use crate::target::Endpoint;

/// The failure that an error of the library is.
pub(super) fn failure(endpoint: &Endpoint, error: &Error) -> Failure {
    if let Some(code) = error.code() {
        return of_code(endpoint, code.code());
    }
    let step = format!("log in at {endpoint}");
    if let Some(source) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        return Failure::broken(&step, source);
    }
    // The library has no way to ask for the kind; its own texts are fixed.
    let (outcome, text) = match error.to_string().as_str() {
        "authentication error" => (
            LoginOutcome::Unsupported,
            "its way to log in is unknown to this program, or it does not know the password itself",
        ),
        "connection closed" => {
            (LoginOutcome::Unreachable(Unreachable::Protocol), "it closed the connection")
        }
        _ => {
            (LoginOutcome::Unreachable(Unreachable::Protocol), "it does not answer like PostgreSQL")
        }
    };
    Failure::new(outcome, format!("{step}: {text}"))
}

/// The failure that a code (SQLSTATE) is.
fn of_code(endpoint: &Endpoint, code: &str) -> Failure {
    let detail = |text: &str| format!("{endpoint}: {text} (SQLSTATE {code})");
    let refused = |refusal, text: &str| Failure::refused(refusal, detail(text));
    let not_ready = |text: &str| Failure::unreachable(Unreachable::NotReady, detail(text));
    match code {
        "28P01" => refused(Refusal::Credential, "it refuses the user or the password"),
        // Also what pg_hba.conf says of a connection with TLS, or without.
        "28000" => refused(
            Refusal::Credential,
            "it does not let this user log in from here this way: no such role, NOLOGIN, or \
             pg_hba.conf",
        )
        .for_this_encryption(),
        "3D000" => refused(Refusal::Database, "the database does not exist"),
        "42501" => refused(Refusal::Permission, "the user lacks the right"),
        "53300" => not_ready("it has too many connections"),
        "57P03" => not_ready("it is starting or recovering"),
        "57P01" | "57P02" => not_ready("it is stopping"),
        _ if code.starts_with("53") => not_ready("it lacks resources"),
        _ => Failure::unreachable(Unreachable::Protocol, detail("it answers with an error")),
    }
}

#[cfg(test)]
mod tests {
    use contract::login_check::LoginCheckAnswer;

    use super::*;

    #[test]
    fn what_a_code_means() {
        let endpoint = Endpoint { host: "db".to_owned(), port: 5432 };
        for (code, outcome) in [
            ("28P01", LoginOutcome::Refused(Refusal::Credential)),
            ("28000", LoginOutcome::Refused(Refusal::Credential)),
            ("3D000", LoginOutcome::Refused(Refusal::Database)),
            ("42501", LoginOutcome::Refused(Refusal::Permission)),
            ("53300", LoginOutcome::Unreachable(Unreachable::NotReady)),
            ("53400", LoginOutcome::Unreachable(Unreachable::NotReady)),
            ("57P03", LoginOutcome::Unreachable(Unreachable::NotReady)),
            ("XX000", LoginOutcome::Unreachable(Unreachable::Protocol)),
        ] {
            let answer = LoginCheckAnswer::from(of_code(&endpoint, code));
            assert_eq!(answer.outcome, outcome, "{code}");
            assert!(answer.detail.contains(code) && answer.detail.contains("db:5432"));
        }
    }
}
