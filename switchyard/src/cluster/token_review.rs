//! Asking the API server whose token this is.

use contract::Redacted;
use contract::layout::TOKEN_AUDIENCE;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Api;
use kube::api::PostParams;

use super::{Cluster, ClusterError};

const STEP: &str = "review token";

impl Cluster {
    /// What the API server says about a token.
    ///
    /// # Errors
    /// Where it says nothing.
    pub async fn review(&self, token: &Redacted) -> Result<TokenReviewStatus, ClusterError> {
        // What is no text is no token; an empty one would be reviewed as anonymous.
        let Some(text) = std::str::from_utf8(token.expose()).ok().filter(|text| !text.is_empty())
        else {
            return Ok(TokenReviewStatus::default());
        };
        let spec = TokenReviewSpec {
            audiences: Some(vec![TOKEN_AUDIENCE.to_owned()]),
            token: Some(text.to_owned()),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = self
            .call(STEP, Api::all(self.client.clone()).create(&PostParams::default(), &review))
            .await?;
        answer.status.ok_or(ClusterError::Form { step: STEP })
    }
}
