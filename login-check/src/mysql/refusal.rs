//! What MySQL's errors mean. Their text names users and databases, so only the number is said.

use contract::login_check::{Refusal, Unreachable};

use crate::failure::Failure;
use crate::target::Endpoint;

/// The failure that an error's number is.
pub(super) fn of_code(endpoint: &Endpoint, code: u16) -> Failure {
    let detail = |text: &str| format!("{endpoint}: {text} (error {code})");
    let refused = |refusal, text: &str| Failure::refused(refusal, detail(text));
    let not_ready = |text: &str| Failure::unreachable(Unreachable::NotReady, detail(text));
    match code {
        // Also what REQUIRE SSL says of a connection without TLS.
        1045 | 1698 => refused(Refusal::Credential, "it refuses the user or the password")
            .for_this_encryption(),
        1820 | 1862 => refused(Refusal::Credential, "the password has expired"),
        3118 | 4151 => refused(Refusal::Credential, "the account is locked"),
        1044 => refused(Refusal::Permission, "the user lacks the right to the database"),
        1130 => refused(Refusal::Permission, "it lets nobody log in from this address"),
        1142 | 1227 => refused(Refusal::Permission, "the user lacks the right"),
        1049 => refused(Refusal::Database, "the database does not exist"),
        1040 | 1203 | 1226 => not_ready("it has too many connections"),
        1129 => not_ready("it blocks this address after too many broken connections"),
        1053 => not_ready("it is stopping"),
        3159 => Failure::unreachable(Unreachable::Tls, detail("it requires TLS")),
        _ => Failure::unreachable(Unreachable::Protocol, detail("it answers with an error")),
    }
}

#[cfg(test)]
mod tests {
    use contract::login_check::{LoginCheckAnswer, LoginOutcome};

    use super::*;

    #[test]
    fn what_a_number_means() {
        let endpoint = Endpoint { host: "db".to_owned(), port: 3306 };
        for (code, outcome) in [
            (1045, LoginOutcome::Refused(Refusal::Credential)),
            (1044, LoginOutcome::Refused(Refusal::Permission)),
            (1049, LoginOutcome::Refused(Refusal::Database)),
            (1040, LoginOutcome::Unreachable(Unreachable::NotReady)),
            (3159, LoginOutcome::Unreachable(Unreachable::Tls)),
            (1, LoginOutcome::Unreachable(Unreachable::Protocol)),
        ] {
            let answer = LoginCheckAnswer::from(of_code(&endpoint, code));
            assert_eq!(answer.outcome, outcome, "{code}");
            assert!(answer.detail.contains(&code.to_string()), "{answer:?}");
        }
    }
}
