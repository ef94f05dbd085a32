//! TokenReview: asks the API server whose token this is.

use contract::Redacted;
use contract::layout::TOKEN_AUDIENCE;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Api;
use kube::api::PostParams;

use super::{Cluster, ClusterError};

const STEP: &str = "review token";

impl Cluster {
    /// Reviews a token for our audience.
    ///
    /// # Errors
    /// The API server cannot be reached or gives no status.
    pub async fn review(&self, token: &Redacted) -> Result<TokenReviewStatus, ClusterError> {
        // A token is text. An empty one would be reviewed as anonymous.
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
        answer.status.ok_or(ClusterError::MalformedResponse { operation: STEP })
    }
}
