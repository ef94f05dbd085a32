//! What a request may make switchyard hold: its body while it arrives, and its answer until the
//! client has read it. Both come out of one budget, with a share for each principal.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use runtime::byte_budget::{BudgetError, ByteBudget, ByteLease};

use super::ApiError;

/// What all requests together may hold, and those of one principal: twice the largest body.
const MAX_BYTES: usize = 96 << 20;
const MAX_BYTES_OF_PRINCIPAL: usize = 32 << 20;

/// What each request may hold besides: nearly every body and answer is smaller.
pub(crate) const FREE_BYTES: usize = 16 << 10;

/// What an answer counts whose length is not known: it is made and sent piece by piece.
const STREAM_BYTES: usize = 1 << 20;

/// How long a request may wait until others have released their bytes.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The budget of all requests.
pub(crate) fn byte_budget() -> ByteBudget {
    ByteBudget::new(MAX_BYTES, MAX_BYTES_OF_PRINCIPAL)
}

/// The budget as one request sees it. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct RequestBudget {
    bytes: ByteBudget,
    /// Who the bytes count for once the request is authenticated.
    principal: Arc<OnceLock<String>>,
    /// Who they count for before that.
    address: String,
}

/// Marks a response whose body holds its bytes of the budget already.
#[derive(Clone, Copy, Debug)]
struct IsLeased;

/// Bytes of the budget for an answer that is not made yet.
#[derive(Debug)]
pub(crate) struct AnswerLease(ByteLease);

impl RequestBudget {
    pub(crate) fn new(bytes: ByteBudget, address: String) -> Self {
        Self { bytes, principal: Arc::default(), address }
    }

    /// From now on the bytes count for `principal`.
    pub(crate) fn set_principal(&self, principal: String) {
        let _ = self.principal.set(principal);
    }

    /// A lease for the request's body, which grows with it.
    pub(crate) fn body(&self) -> ByteLease {
        self.bytes.lease(self.owner())
    }

    /// Waits for room for an answer of at most `max_bytes`, before it is made.
    ///
    /// # Errors
    /// If there is no room in time.
    pub(crate) async fn reserve(&self, max_bytes: usize) -> Result<AnswerLease, ApiError> {
        let mut lease = self.bytes.lease(self.owner());
        lease.wait_resize(max_bytes, WAIT_TIMEOUT).await?;
        Ok(AnswerLease(lease))
    }

    /// Gives the body of a response its bytes, which it holds until it is sent or its client is
    /// gone. Without room the response is an error, so that its memory is free again at once.
    pub(crate) async fn hold(&self, response: Response) -> Response {
        if response.extensions().get::<IsLeased>().is_some() {
            return response;
        }
        let bytes = match response.body().size_hint().exact() {
            Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            None => STREAM_BYTES,
        };
        if bytes <= FREE_BYTES {
            return response;
        }
        let mut lease = self.bytes.lease(self.owner());
        if let Err(error) = lease.resize(bytes) {
            return ApiError::from(error).into_response();
        }
        AnswerLease(lease).attach(response).await
    }

    fn owner(&self) -> &str {
        self.principal.get().unwrap_or(&self.address)
    }
}

impl AnswerLease {
    /// Holds what the answer needs in the end, until its body is sent.
    pub(crate) async fn attach(mut self, response: Response) -> Response {
        let (mut head, body) = response.into_parts();
        head.extensions.insert(IsLeased);
        let body = match body.size_hint().exact() {
            Some(bytes) => {
                // It is no larger than what was reserved.
                let _ = self.0.resize(usize::try_from(bytes).unwrap_or(usize::MAX));
                // A body with a length is one chunk in memory, which is not copied.
                let bytes = body.collect().await.map(http_body_util::Collected::to_bytes);
                let bytes = bytes.unwrap_or_default();
                Body::from(Bytes::from_owner(LeasedBytes { bytes, _lease: self.0 }))
            }
            None => {
                let lease = Arc::new(self.0);
                Body::new(body.map_frame(move |frame| {
                    let _held = &lease;
                    frame
                }))
            }
        };
        Response::from_parts(head, body)
    }
}

struct LeasedBytes {
    bytes: Bytes,
    _lease: ByteLease,
}

impl AsRef<[u8]> for LeasedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<BudgetError> for ApiError {
    fn from(error: BudgetError) -> Self {
        match error {
            BudgetError::Owner(max) => Self::too_much_at_once(format!(
                "the bodies and unread answers of this token or person hold {max} bytes, the most \
                 that they may; read the answers and send fewer large requests at a time"
            )),
            BudgetError::All(_) => Self::unavailable(
                "the bodies and unread answers of all clients hold the most memory that they may",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn answer(bytes: usize) -> Response {
        vec![0_u8; bytes].into_response()
    }

    #[tokio::test]
    async fn an_answer_holds_its_bytes_until_it_is_gone() {
        let bytes = byte_budget();
        let request = RequestBudget::new(bytes.clone(), "192.0.2.1".to_owned());
        let small = request.hold(answer(FREE_BYTES)).await;
        assert_eq!(bytes.used(), 0);
        let large = request.hold(answer(20 << 20)).await;
        assert_eq!(bytes.used(), 20 << 20);
        let refused = request.hold(answer(20 << 20)).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        // Another principal has its own share.
        request.set_principal("token:ci".to_owned());
        let other = request.hold(answer(20 << 20)).await;
        assert_eq!((other.status(), bytes.used()), (StatusCode::OK, 40 << 20));
        let sent = large.into_body().collect().await.unwrap().to_bytes();
        assert_eq!((sent.len(), bytes.used()), (20 << 20, 40 << 20));
        drop((small, sent, refused, other));
        assert_eq!(bytes.used(), 0);
    }

    #[tokio::test]
    async fn what_was_reserved_shrinks_to_what_is_needed() {
        let bytes = byte_budget();
        let request = RequestBudget::new(bytes.clone(), "192.0.2.1".to_owned());
        let lease = request.reserve(12 << 20).await.unwrap();
        assert_eq!(bytes.used(), 12 << 20);
        let held = lease.attach(answer(1 << 20)).await;
        assert_eq!(bytes.used(), 1 << 20);
        let held = request.hold(held).await;
        assert_eq!(bytes.used(), 1 << 20, "it counts once");
        drop(held);
        assert_eq!(bytes.used(), 0);
    }
}
