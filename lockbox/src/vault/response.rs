//! The answer to a call to Vault, or the error, and whether a retry may help. Pure, but for the
//! HTTP client's errors.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// Why a call to Vault failed. No variant holds a value or a token.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// No connection could be made.
    #[error("{step}: connect to Vault")]
    Connect {
        /// What was being done.
        step: &'static str,
        /// The HTTP client's error.
        source: reqwest::Error,
    },
    /// The connection ended before the answer was complete.
    #[error("{step}: read Vault's answer")]
    Interrupted {
        /// What was being done.
        step: &'static str,
        /// The HTTP client's error.
        source: reqwest::Error,
    },
    /// No answer came in time.
    #[error("{step}: Vault did not answer within {timeout:?}")]
    Timeout {
        /// What was being done.
        step: &'static str,
        /// The timeout.
        timeout: Duration,
    },
    /// Vault is sealed, a standby, overloaded, or failed internally.
    #[error("{step}: Vault cannot answer now (status {status}): {message}")]
    Unavailable {
        /// What was being done.
        step: &'static str,
        /// The status.
        status: u16,
        /// Vault's message.
        message: String,
    },
    /// Another writer was faster.
    #[error("{step}: another writer was faster")]
    Conflict {
        /// What was being done.
        step: &'static str,
    },
    /// The token does not permit this, or is no longer valid.
    #[error("{step}: Vault denies it: {message}")]
    Denied {
        /// What was being done.
        step: &'static str,
        /// Vault's message.
        message: String,
    },
    /// Vault rejects the request, and would reject it again.
    #[error("{step}: Vault refuses it (status {status}): {message}")]
    Refused {
        /// What was being done.
        step: &'static str,
        /// The status.
        status: u16,
        /// Vault's message.
        message: String,
    },
    /// The answer is not as expected.
    #[error("{step}: unexpected answer from Vault: {what}")]
    UnexpectedAnswer {
        /// What was being done.
        step: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file of a token or a secret id is unusable.
    #[error("read login file {path}: {why}")]
    Credential {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An entry in Vault is not as this program writes it.
    #[error("{step}: {what}")]
    Entry {
        /// What was being done.
        step: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl VaultError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Interrupted { .. }
                | Self::Timeout { .. }
                | Self::Unavailable { .. }
                | Self::UnexpectedAnswer { .. }
        )
    }

    /// Whether the call may have taken effect anyway.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        self.is_transient() && !matches!(self, Self::Connect { .. })
    }
}

/// Vault's answer.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// Turns a status and a body into an answer or an error. A 404 is an answer: the entry does not
/// exist, or, with a body, the KV version is deleted.
pub(super) fn classify(
    step: &'static str,
    status: u16,
    body: &[u8],
) -> Result<Response, VaultError> {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let message = parsed.as_ref().map(message).unwrap_or_default();
    match status {
        200..=299 if body.is_empty() => Ok(Response { status, body: Value::Null }),
        200..=299 => parsed
            .map(|body| Response { status, body })
            .ok_or(VaultError::UnexpectedAnswer { step, what: "it is not JSON" }),
        // A load balancer's 404 is not JSON, and that of an unmounted engine has an error message.
        404 => match parsed {
            None => Err(VaultError::Unavailable {
                step,
                status,
                message: "the answer is not Vault's".to_owned(),
            }),
            Some(_) if !message.is_empty() => Err(VaultError::Refused { step, status, message }),
            Some(body) => Ok(Response { status, body }),
        },
        400 if message.contains("check-and-set parameter did not match") => {
            Err(VaultError::Conflict { step })
        }
        // The engine was just mounted or unsealed.
        400 if message.contains("Upgrading from non-versioned") => {
            Err(VaultError::Unavailable { step, status, message })
        }
        403 => Err(VaultError::Denied { step, message }),
        // 472 and 473 are replication standbys. A redirect comes from a standby that does not
        // forward, and following it would send the token to the host that it names.
        300..=399 | 408 | 412 | 429 | 472 | 473 | 500.. => {
            Err(VaultError::Unavailable { step, status, message })
        }
        _ => Err(VaultError::Refused { step, status, message }),
    }
}

/// Vault's error messages, shortened and on one line.
fn message(body: &Value) -> String {
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
    fn answers_are_classified() {
        type Expected = fn(&Result<Response, VaultError>) -> bool;
        let table: &[(u16, &str, Expected)] = &[
            (200, "{\"data\":{}}", |it| {
                it.as_ref().is_ok_and(|answer| answer.body["data"].is_object())
            }),
            (204, "", |it| it.as_ref().is_ok_and(|answer| answer.body.is_null())),
            (200, "<html>", |it| matches!(it, Err(VaultError::UnexpectedAnswer { .. }))),
            (200, "{\"data\":{\"da", |it| matches!(it, Err(VaultError::UnexpectedAnswer { .. }))),
            (404, "{\"errors\":[]}", |it| it.as_ref().is_ok_and(|answer| answer.status == 404)),
            (404, "{\"data\":{\"data\":null}}", |it| {
                it.as_ref().is_ok_and(|answer| answer.status == 404)
            }),
            (404, "{\"errors\":[\"no handler for route\"]}", |it| {
                matches!(it, Err(VaultError::Refused { status: 404, .. }))
            }),
            (404, "page not found", |it| matches!(it, Err(VaultError::Unavailable { .. }))),
            (
                400,
                "{\"errors\":[\"check-and-set parameter did not match the current version\"]}",
                |it| matches!(it, Err(VaultError::Conflict { .. })),
            ),
            (400, "{\"errors\":[\"check-and-set parameter required for this call\"]}", |it| {
                matches!(it, Err(VaultError::Refused { .. }))
            }),
            (400, "{\"errors\":[\"x\"]}", |it| {
                matches!(it, Err(VaultError::Refused { status: 400, .. }))
            }),
            (403, "{\"errors\":[\"permission denied\"]}", |it| {
                let Err(VaultError::Denied { message, .. }) = it else { return false };
                message == "permission denied"
            }),
            (307, "", |it| matches!(it, Err(VaultError::Unavailable { .. }))),
            (429, "", |it| matches!(it, Err(VaultError::Unavailable { .. }))),
            (472, "", |it| matches!(it, Err(VaultError::Unavailable { .. }))),
            (503, "{\"errors\":[\"Vault is sealed\"]}", |it| {
                let Err(VaultError::Unavailable { message, .. }) = it else { return false };
                message == "Vault is sealed"
            }),
            (413, "", |it| matches!(it, Err(VaultError::Refused { .. }))),
        ];
        for (status, body, expected) in table {
            assert!(expected(&classify("ask", *status, body.as_bytes())), "{status} {body}");
        }
    }

    #[test]
    fn messages_are_shortened_to_one_line() {
        let body =
            serde_json::json!({"errors": ["1 error occurred:\n\t* it\u{7}", "x".repeat(900)]});
        let text = message(&body);
        assert!(
            text.starts_with("1 error occurred: * it; xxx")
                && text.len() == 300
                && !text.contains('\n'),
            "{text}"
        );
    }

    #[test]
    fn only_certain_failures_cannot_have_succeeded() {
        let unavailable =
            VaultError::Unavailable { step: "write", status: 500, message: String::new() };
        assert!(unavailable.is_transient() && unavailable.may_have_succeeded());
        let late = VaultError::Timeout { step: "write", timeout: Duration::from_secs(1) };
        assert!(late.is_transient() && late.may_have_succeeded());
        for error in [
            VaultError::Conflict { step: "write" },
            VaultError::Denied { step: "write", message: String::new() },
        ] {
            assert!(!error.is_transient() && !error.may_have_succeeded());
        }
    }
}
