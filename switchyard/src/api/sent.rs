//! A request that changes something: its head, and its body once somebody may send one.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use contract::{Redacted, Scope, SecretName};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::BodyExt as _;
use zeroize::Zeroize as _;

use super::App;
use super::conditions::Conditions;
use super::once::once;
use super::problem::Refusal;
use super::request::Asker;
use crate::repository::{Condition, Idempotency};
use crate::secrets::{SecretsError, WriteOptions, author};

/// From the header to the end of the body.
const PATIENCE: Duration = Duration::from_secs(30);

/// The request as it came, with its body unread.
pub(super) struct Sent {
    head: Parts,
    body: Body,
}

/// The request with its body.
pub(super) struct Whole {
    head: Parts,
    pub(super) body: Redacted,
}

impl<S: Sync> FromRequest<S> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (head, body) = request.into_parts();
        Ok(Self { head, body })
    }
}

impl Sent {
    /// Reads a body of JSON of so many bytes at most.
    pub(super) async fn read(self, most: usize) -> Result<Whole, Refusal> {
        let Self { head, body } = self;
        check_type(&head)?;
        let read = tokio::time::timeout(PATIENCE, collect(body, most)).await;
        let body = read.unwrap_or_else(|_| {
            Err(Refusal::malformed(format!("the body did not come within {PATIENCE:?}")))
        })?;
        Ok(Whole { head, body })
    }

    /// For what has no body. One that comes all the same is not looked at.
    pub(super) fn without_body(self) -> Whole {
        Whole { head: self.head, body: Redacted::default() }
    }
}

impl Whole {
    /// What the change of one secret is told besides what it changes.
    pub(super) async fn terms(
        &self,
        app: &App,
        asker: &Asker,
        rule: String,
        secret: (&Scope, &SecretName),
    ) -> Result<WriteOptions, Refusal> {
        let condition = self.condition(app, secret).await?;
        Ok(WriteOptions {
            condition,
            idempotency: self.once(asker)?,
            rule: Some(rule),
            ..WriteOptions::default()
        })
    }

    /// What a change is told that nothing can be made to depend on.
    pub(super) fn terms_without_condition(
        &self,
        asker: &Asker,
        rule: String,
    ) -> Result<WriteOptions, Refusal> {
        if self.is_conditional()? {
            return Err(Refusal::malformed(
                "If-Match and If-None-Match mean nothing to this request",
            ));
        }
        Ok(WriteOptions {
            idempotency: self.once(asker)?,
            rule: Some(rule),
            ..WriteOptions::default()
        })
    }

    /// What makes this request be done once, where it asks for that.
    pub(super) fn once(&self, asker: &Asker) -> Result<Option<Idempotency>, Refusal> {
        once(&author(&asker.caller.actor), &self.head, &self.body)
    }

    /// Whether its headers say what must hold.
    pub(super) fn is_conditional(&self) -> Result<bool, Refusal> {
        Ok(!Conditions::of(&self.head.headers)?.is_empty())
    }

    /// What must hold of a secret. What the ledger cannot check as it is is looked at now, and the
    /// ledger checks that nothing was changed since.
    pub(super) async fn condition(
        &self,
        app: &App,
        (scope, name): (&Scope, &SecretName),
    ) -> Result<Condition, Refusal> {
        let conditions = Conditions::of(&self.head.headers)?;
        if let Some(condition) = conditions.exact() {
            return Ok(condition);
        }
        let active = app
            .repository
            .find(scope, name)
            .await
            .map_err(SecretsError::from)?
            .map(|secret| secret.stored.version);
        if !conditions.holds(active) {
            return Err(Refusal::precondition(scope, name, active));
        }
        Ok(active.map_or(Condition::Absent, Condition::Active))
    }
}

/// JSON as it is, and nothing that only becomes JSON.
fn check_type(head: &Parts) -> Result<(), Refusal> {
    for value in head.headers.get_all(CONTENT_TYPE) {
        let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        if !media.trim().eq_ignore_ascii_case("application/json") {
            return Err(Refusal::unsupported(
                "the body must be JSON: send the header 'Content-Type: application/json'",
            ));
        }
    }
    if head
        .headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Refusal::unsupported(
            "the body must be JSON as it is, without a Content-Encoding",
        ));
    }
    Ok(())
}

async fn collect(mut body: Body, most: usize) -> Result<Redacted, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            bytes.zeroize();
            return Err(Refusal::malformed("the body ended before it was complete"));
        };
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > most {
            bytes.zeroize();
            return Err(Refusal::too_large(format!("the body is over {most} bytes")));
        }
        append(&mut bytes, data);
    }
    Ok(Redacted::new(bytes))
}

/// Appends without leaving a copy of what was there behind when the buffer grows.
fn append(bytes: &mut Vec<u8>, data: &[u8]) {
    let needed = bytes.len() + data.len();
    if needed > bytes.capacity() {
        let mut larger = Vec::with_capacity(needed.max(2 * bytes.capacity()));
        larger.extend_from_slice(bytes);
        bytes.zeroize();
        *bytes = larger;
    }
    bytes.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    async fn read(
        headers: &[(&str, &str)],
        body: &str,
        most: usize,
    ) -> Result<Vec<u8>, StatusCode> {
        let mut request = http::Request::post("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let Ok(sent) =
            Sent::from_request(request.body(Body::from(body.to_owned())).unwrap(), &()).await;
        sent.read(most)
            .await
            .map(|whole| whole.body.expose().to_vec())
            .map_err(|refusal| refusal.status())
    }

    #[tokio::test]
    async fn json_of_a_length_and_nothing_else() {
        assert_eq!(read(&[], "{}", 2).await, Ok(b"{}".to_vec()));
        assert_eq!(
            read(&[("content-type", "Application/JSON; charset=utf-8")], "{}", 2).await,
            Ok(b"{}".to_vec())
        );
        assert_eq!(read(&[("content-encoding", "identity")], "{}", 2).await, Ok(b"{}".to_vec()));
        assert_eq!(read(&[], "{ }", 2).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-type", ""),
            ("content-encoding", "gzip"),
        ] {
            assert_eq!(
                read(&[(name, value)], "{}", 2).await,
                Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
                "{name}: {value}"
            );
        }
    }
}
