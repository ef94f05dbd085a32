//! The credential of an open stream. It is reviewed again from time to time, and the stream ends
//! with it: when its pod or service account is gone, or when it expires and no newer one came.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use contract::Redacted;
use jiff::Timestamp;
use runtime::backoff::random;
use tokio::time::Instant;

use crate::app::AppState;
use crate::audit::Pod;
use crate::identity::{PodAuthenticator, PodError};
use crate::token_bucket::TokenBucket;

/// How often a credential is reviewed, give or take a quarter: it costs the API server one call.
const REVIEW_INTERVAL: Duration = Duration::from_secs(300);

/// The same after a review that the API server did not answer.
const REVIEW_RETRY: Duration = Duration::from_secs(20);

/// How long a stream outlives its credential: a newer one may be on its way.
const GRACE: Duration = Duration::from_secs(30);

/// The least that an accepted credential counts for: this clock and the API server's may differ.
const MIN_LIFETIME: Duration = Duration::from_secs(60);

/// Newer tokens on one stream: this many at once and one more per minute. Kubelet makes one in
/// eight minutes.
const MAX_TOKENS: u32 = 4;
const TOKEN_INTERVAL: Duration = Duration::from_secs(60);

type Review = Pin<Box<dyn Future<Output = Result<Pod, PodError>> + Send>>;

/// The newest token of a pod, and when to look at it again.
pub(super) struct StreamCredential {
    token: Redacted,
    /// When it has ended, with the grace. `None` if it does not end.
    token_ends_at: Option<Instant>,
    /// The same of the last one that was accepted.
    ends_at: Option<Instant>,
    review_at: Instant,
    review: Option<Review>,
    newer_tokens: TokenBucket,
}

/// What happens to a credential while its stream is open.
pub(super) enum CredentialEvent {
    /// It has ended.
    Ended,
    /// A review is due.
    ReviewDue,
    /// A review is done.
    Reviewed(Result<Pod, PodError>),
}

impl StreamCredential {
    /// The credential of a login that was just reviewed.
    pub(super) fn new(pods: &PodAuthenticator, token: Redacted) -> Self {
        let now = Instant::now();
        let ends_at = end_of(pods, &token, now);
        Self {
            token,
            token_ends_at: ends_at,
            ends_at,
            review_at: now + jittered(REVIEW_INTERVAL),
            review: None,
            newer_tokens: TokenBucket::new(MAX_TOKENS, TOKEN_INTERVAL, now),
        }
    }

    /// The next event. Cancel safe.
    pub(super) async fn next(&mut self) -> CredentialEvent {
        let ends_at = self.ends_at;
        let review_at = self.review.is_none().then_some(self.review_at);
        tokio::select! {
            result = finished(&mut self.review) => {
                self.review = None;
                CredentialEvent::Reviewed(result)
            }
            () = reached(ends_at.into_iter().chain(review_at).min()) => {
                if ends_at.is_some_and(|it| it <= Instant::now()) {
                    return CredentialEvent::Ended;
                }
                CredentialEvent::ReviewDue
            }
        }
    }

    /// Takes a token that the agent sent, and starts its review. `false` if there were too many.
    #[must_use]
    pub(super) fn offer(&mut self, app: &Arc<AppState>, token: Redacted) -> bool {
        if token == self.token {
            return true;
        }
        let now = Instant::now();
        if !self.newer_tokens.take(now) {
            return false;
        }
        self.token_ends_at = end_of(&app.pods, &token, now);
        self.token = token;
        self.start_review(app);
        true
    }

    /// Starts a review of the newest token.
    pub(super) fn start_review(&mut self, app: &Arc<AppState>) {
        let (app, token) = (Arc::clone(app), self.token.clone());
        // It replaces the review of an older token.
        self.review = Some(Box::pin(async move { app.pods.identify(&token).await }));
    }

    /// The newest token was accepted.
    pub(super) fn accepted(&mut self) {
        self.ends_at = self.token_ends_at;
        self.review_at = Instant::now() + jittered(REVIEW_INTERVAL);
    }

    /// The API server did not answer.
    pub(super) fn retry(&mut self) {
        self.review_at = Instant::now() + jittered(REVIEW_RETRY);
    }
}

/// When a token ends that was just made or accepted, with the grace.
fn end_of(pods: &PodAuthenticator, token: &Redacted, now: Instant) -> Option<Instant> {
    let lifetime = pods.lifetime(token, Timestamp::now())?;
    Some(now + lifetime.max(MIN_LIFETIME) + GRACE)
}

/// Streams that opened together must not be reviewed together.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.75 + random() / 2.0)
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => pending().await,
    }
}

async fn finished(review: &mut Option<Review>) -> Result<Pod, PodError> {
    match review {
        Some(review) => review.await,
        None => pending().await,
    }
}
