//! What the commands on secrets ask of switchyard, by name.

use contract::api::{BundleKeys, Deleted, SecretList, SecretValue, VersionList, WriteRequest, Written};
use contract::{Scope, SecretName};
use reqwest::Method;

use super::{Client, Extras};
use crate::error::Error;

impl Client<'_> {
    pub(crate) async fn write(&self, scope: &Scope, request: &WriteRequest) -> Result<Written, Error> {
        let body = request.to_body().map_err(|error| Error::Start(error.to_string()))?;
        self.parsed(Method::POST, &format!("/v1/secrets/{scope}/"), Extras { body: Some(&body), ..Extras::default() }).await
    }

    pub(crate) async fn read(&self, scope: &Scope, name: &SecretName) -> Result<SecretValue, Error> {
        self.get(&format!("/v1/secrets/{scope}/{name}")).await
    }

    pub(crate) async fn list(&self, scope: &Scope) -> Result<SecretList, Error> {
        self.get(&format!("/v1/secrets/{scope}/")).await
    }

    pub(crate) async fn versions(&self, scope: &Scope, name: &SecretName) -> Result<VersionList, Error> {
        self.get(&format!("/v1/secrets/{scope}/{name}/versions")).await
    }

    pub(crate) async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<Deleted, Error> {
        self.call(Method::DELETE, &format!("/v1/secrets/{scope}/{name}")).await
    }

    /// The keys of a service's bundle.
    pub(crate) async fn bundle(&self, scope: &Scope) -> Result<BundleKeys, Error> {
        self.get(&format!("/v1/bundles/{scope}")).await
    }
}
