//! What Vault's answers mean: statuses, and the JSON of each. Pure.
//!
//! The text of a JSON error is never shown: it quotes what it read, which may be a value.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use contract::Redacted;
use contract::text::escape;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::kv::{KvMetadata, KvVersion};

/// The longest part of Vault's own message that is shown, in characters.
const MAX_MESSAGE: usize = 300;

/// What was asked, for errors and logs: `read secret/data/shop/api`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The verb.
    pub(super) verb: &'static str,
    /// The path, without parameters.
    pub(super) path: String,
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.path)
    }
}

/// An answer of Vault.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) question: Question,
    pub(super) status: u16,
    pub(super) body: Redacted,
}

/// Why Vault gave no answer, or not the one that was asked for. No variant holds a value.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The pod's token is unreadable.
    #[error("read token {path}", path = path.display())]
    TokenFile {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server is unreachable.
    #[error("connect to Vault")]
    Connect(#[source] io::Error),
    /// The server did not accept a connection in time.
    #[error("connect to Vault: no answer within {0:?}")]
    ConnectTimeout(Duration),
    /// The request cannot be built.
    #[error("build request")]
    Request(#[from] http::Error),
    /// The connection broke, or the answer is not HTTP.
    #[error("{question}")]
    Http {
        /// What was asked.
        question: Question,
        /// Why.
        source: hyper::Error,
    },
    /// The answer broke off, or is longer than any that is expected.
    #[error("{question}: read the answer")]
    Body {
        /// What was asked.
        question: Question,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There was no answer in time.
    #[error("{question}: no answer within {limit:?}")]
    Timeout {
        /// What was asked.
        question: Question,
        /// The time.
        limit: Duration,
    },
    /// Another status than success.
    #[error("{question}: Vault answers {status}: {message}")]
    Status {
        /// What was asked.
        question: Question,
        /// The status.
        status: u16,
        /// Vault's message, shortened.
        message: String,
    },
    /// The secret is not there to be read, or not as the configuration says.
    #[error("{question}: {why}")]
    Absent {
        /// What was asked.
        question: Question,
        /// Why.
        why: String,
    },
    /// What Vault made is of no use, and it would make the same again.
    #[error("{question}: {why}")]
    Unusable {
        /// What was asked.
        question: Question,
        /// Why.
        why: String,
    },
    /// The answer is not what Vault sends.
    #[error("{0}: the answer is not that of Vault")]
    Form(Question),
}

/// What kind of trouble an error is, which decides what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No answer, or a sealed server or a standby: nothing else will work either.
    Unreachable,
    /// This cannot be answered now.
    Unavailable,
    /// The token is invalid, or its policies do not allow this.
    Forbidden,
    /// It does not exist, or no longer.
    Missing,
    /// Vault refuses it, and would again.
    Refused,
}

impl VaultError {
    /// The kind of trouble.
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            Self::Connect(_) | Self::ConnectTimeout(_) | Self::Http { .. } => Trouble::Unreachable,
            // The pod's token file may come, and another question may be answered.
            Self::TokenFile { .. } | Self::Body { .. } | Self::Timeout { .. } | Self::Form(_) => {
                Trouble::Unavailable
            }
            Self::Request(_) | Self::Unusable { .. } => Trouble::Refused,
            Self::Absent { .. } => Trouble::Missing,
            Self::Status { status, .. } => meaning(*status).unwrap_or(Trouble::Unavailable),
        }
    }
}

/// What a status means; `None` for success.
pub(super) fn meaning(status: u16) -> Option<Trouble> {
    match status {
        200..=299 => None,
        403 => Some(Trouble::Forbidden),
        404 => Some(Trouble::Missing),
        // Sealed, in maintenance, or no leader; and standbys that do not forward.
        503 | 472 | 473 => Some(Trouble::Unreachable),
        // Too early for a performance standby, a quota, a timeout.
        408 | 412 | 429 => Some(Trouble::Unavailable),
        400..=499 => Some(Trouble::Refused),
        // A redirect is not followed: it would carry the token to another host.
        _ => Some(Trouble::Unavailable),
    }
}

impl Answer {
    /// The JSON of a successful answer.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, VaultError> {
        if meaning(self.status).is_some() {
            return Err(self.into_error());
        }
        serde_json::from_slice(self.body.expose()).map_err(|_| VaultError::Form(self.question))
    }

    /// Whatever a successful answer holds.
    pub(super) fn succeed(self) -> Result<(), VaultError> {
        if meaning(self.status).is_some() { Err(self.into_error()) } else { Ok(()) }
    }

    fn into_error(self) -> VaultError {
        #[derive(Default, Deserialize)]
        struct Errors {
            #[serde(default)]
            errors: Vec<String>,
        }
        let errors: Errors = serde_json::from_slice(self.body.expose()).unwrap_or_default();
        let message = match (self.status, errors.errors.join("; ")) {
            (404, text) if text.is_empty() => "nothing is there".to_owned(),
            (300..=399, _) => "a redirect, which is not followed; give the address of the active \
                               node, or of standbys that forward requests"
                .to_owned(),
            (_, text) if text.is_empty() => "no message".to_owned(),
            (_, text) => escape(&text).replace("\\u{a}", " ").replace("\\u{9}", " "),
        };
        let message = message.chars().take(MAX_MESSAGE).collect();
        VaultError::Status { question: self.question, status: self.status, message }
    }
}

/// The answer to a login or to the renewal of a token.
#[derive(Deserialize)]
pub(super) struct AuthAnswer {
    pub(super) auth: Auth,
}

/// A token and how long it lives.
#[derive(Deserialize)]
pub(super) struct Auth {
    pub(super) client_token: String,
    pub(super) lease_duration: u64,
    #[serde(default)]
    pub(super) renewable: bool,
}

/// The answer with a secret of any engine, or to the renewal of a lease.
#[derive(Deserialize)]
pub(super) struct LeaseAnswer {
    #[serde(default)]
    pub(super) lease_id: String,
    #[serde(default)]
    pub(super) lease_duration: u64,
    #[serde(default)]
    pub(super) renewable: bool,
    pub(super) data: Option<Fields>,
}

/// The answer with the metadata of an entry of a KV engine.
#[derive(Deserialize)]
pub(super) struct KvMetadataAnswer {
    pub(super) data: KvMetadata,
}

/// The answer with a version of an entry of a KV engine. A deleted one has no data, and comes with
/// status 404.
#[derive(Deserialize)]
pub(super) struct KvDataAnswer {
    pub(super) data: KvData,
}

/// A version of an entry of a KV engine.
#[derive(Deserialize)]
pub(super) struct KvData {
    pub(super) data: Option<Fields>,
    /// As Vault has it, for templates.
    pub(super) metadata: Box<RawValue>,
}

impl KvData {
    /// The version that it is; `None` if the metadata is not what Vault sends.
    pub(super) fn version(&self) -> Option<KvVersion> {
        serde_json::from_str(self.metadata.get()).ok()
    }
}

/// All of an answer, as a template sees it.
#[derive(Serialize)]
pub(super) struct WholeAnswer<'a, D> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) lease_id: &'a str,
    pub(super) lease_duration: u64,
    pub(super) renewable: bool,
    pub(super) data: D,
}

impl<D> WholeAnswer<'_, D> {
    /// One of what has no lease.
    pub(super) fn without_lease(data: D) -> Self {
        Self { lease_id: "", lease_duration: 0, renewable: false, data }
    }
}

/// What a KV engine has in the place of a secret's data.
#[derive(Serialize)]
pub(super) struct KvWhole<'a> {
    pub(super) data: &'a Fields,
    pub(super) metadata: &'a RawValue,
}

/// The fields of a secret, each as its JSON.
pub(super) type Fields = BTreeMap<String, Box<RawValue>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let question = Question { verb: "read", path: "secret/data/a".into() };
        Answer { question, status, body: Redacted::from(body.as_bytes()) }
    }

    #[test]
    fn statuses() {
        for (status, trouble) in [
            (200, None),
            (204, None),
            (307, Some(Trouble::Unavailable)),
            (400, Some(Trouble::Refused)),
            (403, Some(Trouble::Forbidden)),
            (404, Some(Trouble::Missing)),
            (405, Some(Trouble::Refused)),
            (412, Some(Trouble::Unavailable)),
            (429, Some(Trouble::Unavailable)),
            (473, Some(Trouble::Unreachable)),
            (500, Some(Trouble::Unavailable)),
            (502, Some(Trouble::Unavailable)),
            (503, Some(Trouble::Unreachable)),
        ] {
            assert_eq!(meaning(status), trouble, "{status}");
        }
    }

    #[test]
    fn an_error_says_what_was_asked_and_what_vault_says() {
        for (status, body, text) in [
            (403, r#"{"errors":["permission denied"]}"#, "403: permission denied"),
            (403, r#"{"errors":["2 errors occurred:\n\t* a\n"]}"#, "403: 2 errors occurred:  * a "),
            (404, r#"{"errors":[]}"#, "404: nothing is there"),
            (502, "<html>", "502: no message"),
        ] {
            let error = answer(status, body).succeed().unwrap_err();
            let expected = format!("read secret/data/a: Vault answers {text}");
            assert_eq!(error.to_string(), expected);
        }
        let redirect = answer(307, "").succeed().unwrap_err();
        assert!(redirect.to_string().contains("not followed"), "{redirect}");
    }

    #[test]
    fn an_answer_of_another_form_is_not_quoted() {
        for body in ["hunter2", r#"{"auth":"hunter2"}"#, r#"{"auth":{"client_token":["hunter2"]}}"#]
        {
            let Err(error) = answer(200, body).read::<AuthAnswer>() else { panic!("{body}") };
            assert_eq!(error.to_string(), "read secret/data/a: the answer is not that of Vault");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn answers_of_vault_are_read() {
        let body = concat!(
            r#"{"request_id":"x","lease_id":"database/creds/app/1","lease_duration":3600,"#,
            r#""renewable":true,"data":{"username":"u","n":12345678901234567890123},"auth":null}"#,
        );
        let lease: LeaseAnswer = answer(200, body).read().unwrap();
        assert_eq!((lease.lease_duration, lease.renewable), (3600, true));
        assert_eq!(lease.data.unwrap()["n"].get(), "12345678901234567890123");
        let body = concat!(
            r#"{"data":{"data":null,"metadata":{"created_time":"t","custom_metadata":null,"#,
            r#""deletion_time":"d","destroyed":false,"version":2}}}"#,
        );
        let kv: KvDataAnswer = answer(200, body).read().unwrap();
        assert!(kv.data.data.is_none() && kv.data.version().unwrap().version == 2);
    }
}
