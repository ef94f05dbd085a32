//! The Secret with the first administrator's token.

use contract::Redacted;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};

use super::{Cluster, ClusterError};

const NAME: &str = "enclii-bootstrap";
const KEY: &str = "token";

impl Cluster {
    /// Describes where the token is stored, for messages.
    #[must_use]
    pub fn bootstrap_location(&self) -> String {
        format!("secret {}/{NAME} key {KEY}", self.namespace)
    }

    /// Reads the token, if there is one.
    ///
    /// # Errors
    /// The Secret cannot be read.
    pub async fn bootstrap_token(&self) -> Result<Option<Redacted>, ClusterError> {
        // An operator may remove it once the token is revoked.
        let secret =
            self.call("read secret enclii-bootstrap", self.own_secrets().get_opt(NAME)).await?;
        Ok(secret
            .and_then(|secret| secret.data)
            .and_then(|mut data| data.remove(KEY))
            .map(|ByteString(bytes)| Redacted::new(bytes)))
    }

    /// Stores the token.
    ///
    /// # Errors
    /// The Secret cannot be written.
    pub async fn put_bootstrap_token(&self, token: &Redacted) -> Result<(), ClusterError> {
        let data = [(KEY.to_owned(), ByteString(token.expose().to_vec()))].into();
        let patch = Patch::Merge(Secret { data: Some(data), ..Secret::default() });
        self.call(
            "write secret enclii-bootstrap",
            self.own_secrets().patch(NAME, &PatchParams::default(), &patch),
        )
        .await?;
        Ok(())
    }

    fn own_secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}
