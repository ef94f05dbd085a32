//! A request with a body. The body is read only after the caller is authenticated and has a right
//! that the request may need, and its bytes come out of the caller's budget.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use contract::{Redacted, Scope, SecretName};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use runtime::byte_budget::ByteLease;
use serde::de::DeserializeOwned;
use zeroize::Zeroize as _;

use super::body;
use super::idempotency::idempotency;
use super::preconditions::{Preconditions, TaggedVersion};
use crate::app::{ApiError, AppState, Authenticated, FREE_BYTES, RequestBudget};
use crate::repository::{Condition, Idempotency};
use crate::secrets::{SecretsError, WriteOptions};

/// From the head of the request to the end of the body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A request whose body is unread.
pub(super) struct UnreadRequest {
    head: Parts,
    body: Body,
}

/// A request with its JSON body, or with none.
pub(super) struct JsonRequest {
    head: Parts,
    pub(super) body: Redacted,
    /// The bytes of the body, until what was parsed of it is gone.
    pub(super) lease: Option<ByteLease>,
}

impl<S: Sync> FromRequest<S> for UnreadRequest {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (head, body) = request.into_parts();
        Ok(Self { head, body })
    }
}

impl UnreadRequest {
    /// Reads a JSON body of at most `max_bytes`.
    pub(super) async fn read(self, max_bytes: usize) -> Result<JsonRequest, ApiError> {
        let Self { head, body } = self;
        check_type(&head)?;
        let mut lease = head.extensions.get().map(RequestBudget::body);
        let collected = collect(body, max_bytes, lease.as_mut());
        let read = tokio::time::timeout(BODY_TIMEOUT, collected).await;
        let body = read.unwrap_or_else(|_| {
            Err(ApiError::malformed(format!("the body did not arrive within {BODY_TIMEOUT:?}")))
        })?;
        Ok(JsonRequest { head, body, lease })
    }

    /// Reads and parses a small JSON body without values. An error gives a position and no quote: a
    /// token may stand there.
    pub(super) async fn parse<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        Ok(self.parse_small().await?.0)
    }

    /// The same, with the request that was read.
    pub(super) async fn parse_small<T: DeserializeOwned>(
        self,
    ) -> Result<(T, JsonRequest), ApiError> {
        let request = self.read(body::MAX_SMALL_BYTES).await?;
        let parsed = body::parse(&request.body, "as the OpenAPI document describes it")?;
        Ok((parsed, request))
    }

    /// For operations without a body. A body that is sent nevertheless is ignored.
    pub(super) fn without_body(self) -> JsonRequest {
        JsonRequest { head: self.head, body: Redacted::default(), lease: None }
    }
}

impl JsonRequest {
    /// The options of a change of one secret.
    pub(super) async fn write_options(
        &self,
        app: &AppState,
        auth: &Authenticated,
        rule: String,
        secret: (&Scope, &SecretName),
    ) -> Result<WriteOptions, ApiError> {
        let condition = self.condition(app, secret).await?;
        Ok(WriteOptions {
            condition,
            idempotency: self.idempotency(auth)?,
            rule: Some(rule),
            ..WriteOptions::default()
        })
    }

    /// The options of a change that takes no preconditions.
    pub(super) fn unconditional_options(
        &self,
        auth: &Authenticated,
        rule: String,
    ) -> Result<WriteOptions, ApiError> {
        if self.is_conditional()? {
            return Err(ApiError::malformed(
                "this operation takes neither If-Match nor If-None-Match",
            ));
        }
        Ok(WriteOptions {
            idempotency: self.idempotency(auth)?,
            rule: Some(rule),
            ..WriteOptions::default()
        })
    }

    /// The idempotency key of the request, if it has one.
    pub(super) fn idempotency(
        &self,
        auth: &Authenticated,
    ) -> Result<Option<Idempotency>, ApiError> {
        idempotency(&auth.idempotent_principal(), &self.head, &self.body)
    }

    /// Whether the request has preconditions.
    pub(super) fn is_conditional(&self) -> Result<bool, ApiError> {
        Ok(!Preconditions::parse(&self.head.headers)?.is_empty())
    }

    /// The precondition of a change to a secret. One that the ledger cannot check by itself is
    /// evaluated now, and the ledger then checks that the active version is still the same. One
    /// that is not met refuses the change only after a kept response was looked for.
    pub(super) async fn condition(
        &self,
        app: &AppState,
        (scope, name): (&Scope, &SecretName),
    ) -> Result<Condition, ApiError> {
        let preconditions = Preconditions::parse(&self.head.headers)?;
        if let Some(condition) = preconditions.as_condition() {
            return Ok(condition);
        }
        let active = app
            .repository
            .find(scope, name)
            .await
            .map_err(SecretsError::from)?
            .map(TaggedVersion::from);
        let allowed = preconditions.allow_change(active.as_ref());
        Ok(match active.map(|it| it.version) {
            _ if !allowed => Condition::Unmet,
            Some(version) => Condition::Active(version),
            None => Condition::Absent,
        })
    }
}

/// Accepts JSON without a content encoding.
fn check_type(head: &Parts) -> Result<(), ApiError> {
    for value in head.headers.get_all(CONTENT_TYPE) {
        let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        if !media.trim().eq_ignore_ascii_case("application/json") {
            return Err(ApiError::unsupported(
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
        return Err(ApiError::unsupported("the body must be JSON without a Content-Encoding"));
    }
    Ok(())
}

async fn collect(
    mut body: Body,
    max_bytes: usize,
    mut lease: Option<&mut ByteLease>,
) -> Result<Redacted, ApiError> {
    // A buffer of the announced size does not grow beyond it.
    let announced = body.size_hint().upper().and_then(|it| usize::try_from(it).ok());
    let most = announced.unwrap_or(max_bytes).min(max_bytes);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            bytes.zeroize();
            return Err(ApiError::malformed("the body ended before it was complete"));
        };
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > max_bytes {
            bytes.zeroize();
            return Err(ApiError::too_large(format!("the body is longer than {max_bytes} bytes")));
        }
        let capacity = capacity_for(&bytes, data.len(), most);
        if capacity > FREE_BYTES
            && let Some(lease) = &mut lease
            && let Err(error) = lease.resize(capacity)
        {
            bytes.zeroize();
            return Err(error.into());
        }
        append(&mut bytes, data, capacity);
    }
    Ok(Redacted::new(bytes))
}

/// The capacity that the buffer needs for `more` bytes: twice as much as before, but no more than
/// the body can have.
fn capacity_for(bytes: &Vec<u8>, more: usize, most: usize) -> usize {
    let needed = bytes.len() + more;
    if needed <= bytes.capacity() {
        return bytes.capacity();
    }
    needed.max((2 * bytes.capacity()).min(most))
}

/// Appends, and wipes the old buffer when it grows.
fn append(bytes: &mut Vec<u8>, data: &[u8], capacity: usize) {
    if capacity > bytes.capacity() {
        let mut larger = Vec::with_capacity(capacity);
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
        max_bytes: usize,
    ) -> Result<Vec<u8>, StatusCode> {
        let mut builder = http::Request::post("/");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let Ok(request) =
            UnreadRequest::from_request(builder.body(Body::from(body.to_owned())).unwrap(), &())
                .await;
        request
            .read(max_bytes)
            .await
            .map(|request| request.body.expose().to_vec())
            .map_err(|error| error.status())
    }

    #[tokio::test]
    async fn only_json_up_to_the_limit_is_read() {
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
