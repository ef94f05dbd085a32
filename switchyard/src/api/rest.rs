//! What nobody read of a request's body. An answer that is sent while the client still writes is
//! lost where the connection is closed then, so the rest is taken off the line first.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

/// The most that is thrown away for an answer's sake: more than any body that is taken.
const MOST: usize = 32 << 20;

/// How long a client may take to send it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A body that two can read, one after the other.
#[derive(Clone)]
pub(super) struct Rest(Arc<Mutex<Body>>);

impl Rest {
    /// The body for whoever answers, and what they leave of it.
    pub(super) fn of(body: Body) -> (Body, Self) {
        let shared = Self(Arc::new(Mutex::new(body)));
        (Body::new(shared.clone()), shared)
    }

    /// Reads it to its end and keeps nothing.
    pub(super) async fn drain(mut self) {
        let all = async {
            let mut taken = 0;
            while let Some(Ok(frame)) = self.frame().await {
                taken += frame.data_ref().map_or(0, Bytes::len);
                if taken > MOST {
                    return;
                }
            }
        };
        // Whoever is slower does not hear of the refusal.
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }
}

impl HttpBody for Rest {
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
    async fn what_one_leaves_the_other_takes() {
        let chunks = ["one", "two", "three"].map(|text| Ok::<_, std::io::Error>(Bytes::from(text)));
        let (mut body, rest) = Rest::of(Body::from_stream(stream::iter(chunks)));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        let mut left = rest.clone();
        rest.drain().await;
        assert!(left.frame().await.is_none());
    }
}
