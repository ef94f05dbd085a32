//! Reads what a handler left of a request's body. A response is lost if the connection is closed
//! while the client still writes, so the rest of the body is read and discarded first.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

/// The most that is discarded: more than any body that is accepted.
const MAX_BYTES: usize = 32 << 20;

/// How long a client may take to send the rest. A slower client does not see the error.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A body that the handler reads first and [`SharedBody::drain`] reads to its end.
#[derive(Clone)]
pub(super) struct SharedBody(Arc<Mutex<Body>>);

impl SharedBody {
    /// The body for the handler, and a handle to what it leaves unread.
    pub(super) fn split(body: Body) -> (Body, Self) {
        let shared = Self(Arc::new(Mutex::new(body)));
        (Body::new(shared.clone()), shared)
    }

    /// Reads the body to its end and discards it.
    pub(super) async fn drain(mut self) {
        let all = async {
            let mut discarded = 0;
            while let Some(Ok(frame)) = self.frame().await {
                discarded += frame.data_ref().map_or(0, Bytes::len);
                if discarded > MAX_BYTES {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, all).await;
    }
}

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn drain_reads_what_the_handler_left() {
        let chunks = ["one", "two", "three"].map(|text| Ok::<_, std::io::Error>(Bytes::from(text)));
        let (mut body, unread) = SharedBody::split(Body::from_stream(stream::iter(chunks)));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        let mut left = unread.clone();
        unread.drain().await;
        assert!(left.frame().await.is_none());
    }
}
