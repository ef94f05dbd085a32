//! Why a call to Vault did not do what it should, and what may be done about it. Pure, but for the
//! causes that the HTTP client hands over.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// Why a call failed. No variant holds a value or a token.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection.
    #[error("{step}: connect to Vault")]
    Unreached {
        /// What was being done.
        step: &'static str,
        /// The client's words.
        source: reqwest::Error,
    },
    /// The connection ended before the answer did.
    #[error("{step}: read Vault's answer")]
    Torn {
        /// What was being done.
        step: &'static str,
        /// The client's words.
        source: reqwest::Error,
    },
    /// There was no answer in time.
    #[error("{step}: Vault did not answer within {timeout:?}")]
    Late {
        /// What was being done.
        step: &'static str,
        /// How long was waited.
        timeout: Duration,
    },
    /// It is sealed, a standby, overloaded, or failed inside.
    #[error("{step}: Vault cannot answer now (status {status}): {said}")]
    Unavailable {
        /// What was being done.
        step: &'static str,
        /// The status.
        status: u16,
        /// Its words.
        said: String,
    },
    /// Somebody else wrote in between.
    #[error("{step}: somebody else wrote in between")]
    Conflict {
        /// What was being done.
        step: &'static str,
    },
    /// The token may not do this, or is no longer one.
    #[error("{step}: Vault denies it: {said}")]
    Denied {
        /// What was being done.
        step: &'static str,
        /// Its words.
        said: String,
    },
    /// It does not take the request, and would not take it a second time.
    #[error("{step}: Vault refuses it (status {status}): {said}")]
    Refused {
        /// What was being done.
        step: &'static str,
        /// The status.
        status: u16,
        /// Its words.
        said: String,
    },
    /// It says something that it should not.
    #[error("{step}: understand Vault's answer: {what}")]
    Nonsense {
        /// What was being done.
        step: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file of a token or a secret id cannot be used.
    #[error("read login file {path}: {why}")]
    Credential {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// An entry in Vault is not as this program leaves it.
    #[error("{step}: {what}")]
    Entry {
        /// What was being done.
        step: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl CallError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreached { .. }
                | Self::Torn { .. }
                | Self::Late { .. }
                | Self::Unavailable { .. }
                | Self::Nonsense { .. }
        )
    }

    /// Whether Vault may have done what it was asked all the same.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        self.is_transient() && !matches!(self, Self::Unreached { .. })
    }
}

/// What Vault answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// Makes an answer of a status and a body, or says what is wrong. A 404 is an answer: that of an
/// entry that is not there, or with a body, of a KV version that is deleted.
pub(super) fn judge(step: &'static str, status: u16, body: &[u8]) -> Result<Answer, CallError> {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let said = parsed.as_ref().map(said).unwrap_or_default();
    match status {
        200..=299 if body.is_empty() => Ok(Answer { status, body: Value::Null }),
        200..=299 => parsed
            .map(|body| Answer { status, body })
            .ok_or(CallError::Nonsense { step, what: "it is no JSON" }),
        // A load balancer's 404 has no JSON, and that of an engine that is not mounted has words.
        404 => match parsed {
            None => Err(CallError::Unavailable {
                step,
                status,
                said: "the answer is not Vault's".to_owned(),
            }),
            Some(_) if !said.is_empty() => Err(CallError::Refused { step, status, said }),
            Some(body) => Ok(Answer { status, body }),
        },
        400 if said.contains("check-and-set parameter did not match") => {
            Err(CallError::Conflict { step })
        }
        // An engine that was just mounted or unsealed.
        400 if said.contains("Upgrading from non-versioned") => {
            Err(CallError::Unavailable { step, status, said })
        }
        403 => Err(CallError::Denied { step, said }),
        // 472 and 473 are replication's standbys; a redirect is a standby that does not forward,
        // and following it would take the token to whoever it names.
        300..=399 | 408 | 412 | 429 | 472 | 473 | 500.. => {
            Err(CallError::Unavailable { step, status, said })
        }
        _ => Err(CallError::Refused { step, status, said }),
    }
}

/// Vault's own words, short and on one line.
fn said(body: &Value) -> String {
    let errors = body.get("errors").and_then(Value::as_array);
    let words: Vec<&str> = errors.into_iter().flatten().filter_map(Value::as_str).collect();
    words
        .join("; ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|it| !it.is_control())
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        type Expected = fn(&Result<Answer, CallError>) -> bool;
        let table: &[(u16, &str, Expected)] = &[
            (200, "{\"data\":{}}", |it| {
                it.as_ref().is_ok_and(|answer| answer.body["data"].is_object())
            }),
            (204, "", |it| it.as_ref().is_ok_and(|answer| answer.body.is_null())),
            (200, "<html>", |it| matches!(it, Err(CallError::Nonsense { .. }))),
            (200, "{\"data\":{\"da", |it| matches!(it, Err(CallError::Nonsense { .. }))),
            (404, "{\"errors\":[]}", |it| it.as_ref().is_ok_and(|answer| answer.status == 404)),
            (404, "{\"data\":{\"data\":null}}", |it| {
                it.as_ref().is_ok_and(|answer| answer.status == 404)
            }),
            (404, "{\"errors\":[\"no handler for route\"]}", |it| {
                matches!(it, Err(CallError::Refused { status: 404, .. }))
            }),
            (404, "page not found", |it| matches!(it, Err(CallError::Unavailable { .. }))),
            (
                400,
                "{\"errors\":[\"check-and-set parameter did not match the current version\"]}",
                |it| matches!(it, Err(CallError::Conflict { .. })),
            ),
            (400, "{\"errors\":[\"check-and-set parameter required for this call\"]}", |it| {
                matches!(it, Err(CallError::Refused { .. }))
            }),
            (400, "{\"errors\":[\"x\"]}", |it| {
                matches!(it, Err(CallError::Refused { status: 400, .. }))
            }),
            (
                403,
                "{\"errors\":[\"permission denied\"]}",
                |it| matches!(it, Err(CallError::Denied { said, .. }) if said == "permission denied"),
            ),
            (307, "", |it| matches!(it, Err(CallError::Unavailable { .. }))),
            (429, "", |it| matches!(it, Err(CallError::Unavailable { .. }))),
            (472, "", |it| matches!(it, Err(CallError::Unavailable { .. }))),
            (
                503,
                "{\"errors\":[\"Vault is sealed\"]}",
                |it| matches!(it, Err(CallError::Unavailable { said, .. }) if said == "Vault is sealed"),
            ),
            (413, "", |it| matches!(it, Err(CallError::Refused { .. }))),
        ];
        for (status, body, expected) in table {
            assert!(expected(&judge("ask", *status, body.as_bytes())), "{status} {body}");
        }
    }

    #[test]
    fn what_vault_says_is_cut_and_on_one_line() {
        let body =
            serde_json::json!({"errors": ["1 error occurred:\n\t* it\u{7}", "x".repeat(900)]});
        let text = said(&body);
        assert!(
            text.starts_with("1 error occurred: * it; xxx")
                && text.len() == 300
                && !text.contains('\n'),
            "{text}"
        );
    }

    #[test]
    fn only_what_cannot_have_arrived_is_said_not_to_have() {
        let unavailable =
            CallError::Unavailable { step: "write", status: 500, said: String::new() };
        assert!(unavailable.is_transient() && unavailable.may_have_arrived());
        let late = CallError::Late { step: "write", timeout: Duration::from_secs(1) };
        assert!(late.is_transient() && late.may_have_arrived());
        for error in [
            CallError::Conflict { step: "write" },
            CallError::Denied { step: "write", said: String::new() },
        ] {
            assert!(!error.is_transient() && !error.may_have_arrived());
        }
    }
}
