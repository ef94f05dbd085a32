//! The API of access: logins, questions, grants and tokens. Lists include every page.

use contract::api::{
    AccessAnswer, AccessRequest, Grant, GrantList, GrantRequest, Login, LoginRequest, Principal,
    Session, TokenCreated, TokenList, TokenName, TokenRequest, WorkloadLoginRequest,
};
use reqwest::Method;

use super::{Client, RequestOptions};
use crate::error::Error;

impl Client<'_> {
    /// The identity provider that this switchyard trusts.
    pub(crate) async fn login_settings(&self) -> Result<Login, Error> {
        self.get("/v1/login").await
    }

    pub(crate) async fn login(&self, request: &LoginRequest) -> Result<Session, Error> {
        let body = request.to_body().map_err(|error| Error::Encode(error.to_string()))?;
        self.parsed(
            Method::POST,
            "/v1/login",
            RequestOptions { body: Some(&body), ..RequestOptions::default() },
        )
        .await
    }

    /// A session for a job of a CI system.
    pub(crate) async fn login_job(&self, request: &WorkloadLoginRequest) -> Result<Session, Error> {
        let body = request.to_body().map_err(|error| Error::Encode(error.to_string()))?;
        self.parsed(
            Method::POST,
            "/v1/login/workload",
            RequestOptions { body: Some(&body), ..RequestOptions::default() },
        )
        .await
    }

    pub(crate) async fn logout(&self) -> Result<(), Error> {
        self.call(Method::POST, "/v1/logout").await
    }

    pub(crate) async fn whoami(&self) -> Result<Principal, Error> {
        self.get("/v1/whoami").await
    }

    /// Whether a principal may do something.
    pub(crate) async fn check_access(
        &self,
        request: &AccessRequest,
    ) -> Result<AccessAnswer, Error> {
        self.send(Method::POST, "/v1/access/check", request).await
    }

    /// All grants that the caller may see.
    pub(crate) async fn grants(&self) -> Result<Vec<Grant>, Error> {
        self.pages("/v1/grants?limit=1000", |page: GrantList| (page.grants, page.next)).await
    }

    pub(crate) async fn grant(&self, request: &GrantRequest) -> Result<Grant, Error> {
        self.send(Method::POST, "/v1/grants", request).await
    }

    pub(crate) async fn remove_grant(&self, id: u64) -> Result<Grant, Error> {
        self.call(Method::DELETE, &format!("/v1/grants/{id}")).await
    }

    /// All tokens that the caller may see.
    pub(crate) async fn tokens(&self) -> Result<TokenList, Error> {
        let pages = self.pages("/v1/tokens?limit=1000", |page: TokenList| (page.tokens, page.next));
        Ok(TokenList { tokens: pages.await?, next: None })
    }

    pub(crate) async fn create_token(&self, request: &TokenRequest) -> Result<TokenCreated, Error> {
        self.send(Method::POST, "/v1/tokens", request).await
    }

    pub(crate) async fn revoke_token(&self, name: &TokenName) -> Result<(), Error> {
        self.call(Method::DELETE, &format!("/v1/tokens/{name}")).await
    }
}
