//! Switchyard's REST API: the only file that speaks HTTP.

use std::time::Duration;

use contract::api::{BundleKeys, Deleted, SecretList, SecretValue, VersionList, WriteRequest, Written};
use contract::{Problem, Redacted, Scope, SecretName};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use runtime::logs::Chain;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::de::DeserializeOwned;

use crate::common::Connection;
use crate::error::Error;

pub(crate) struct Client {
    http: reqwest::Client,
    address: String,
    authorization: HeaderValue,
}

impl Client {
    pub(crate) fn new(connection: &Connection) -> Result<Self, Error> {
        let address = connection.addr.trim_end_matches('/').to_owned();
        if !address.starts_with("https://") {
            return Err(Error::Usage(format!("address {address}: must start with https://, since values travel over it")));
        }
        let builder = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(connection.timeout))
            .user_agent(concat!("enclii/", env!("CARGO_PKG_VERSION")));
        let builder = match &connection.cacert {
            Some(path) => builder.tls_backend_preconfigured(trusting(path)?),
            None => builder,
        };
        let http = builder.build().map_err(|error| Error::Start(Chain(&error).to_string()))?;
        Ok(Self { http, address, authorization: authorization(connection)? })
    }

    pub(crate) async fn write(&self, scope: &Scope, request: &WriteRequest) -> Result<Written, Error> {
        let body = request.to_body().map_err(|error| Error::Start(error.to_string()))?;
        self.call(Method::POST, &format!("/v1/secrets/{scope}/"), Some(&body)).await
    }

    pub(crate) async fn read(&self, scope: &Scope, name: &SecretName) -> Result<SecretValue, Error> {
        self.call(Method::GET, &format!("/v1/secrets/{scope}/{name}"), None).await
    }

    pub(crate) async fn list(&self, scope: &Scope) -> Result<SecretList, Error> {
        self.call(Method::GET, &format!("/v1/secrets/{scope}/"), None).await
    }

    pub(crate) async fn versions(&self, scope: &Scope, name: &SecretName) -> Result<VersionList, Error> {
        self.call(Method::GET, &format!("/v1/secrets/{scope}/{name}/versions"), None).await
    }

    pub(crate) async fn delete(&self, scope: &Scope, name: &SecretName) -> Result<Deleted, Error> {
        self.call(Method::DELETE, &format!("/v1/secrets/{scope}/{name}"), None).await
    }

    /// The keys of a service's bundle.
    pub(crate) async fn bundle(&self, scope: &Scope) -> Result<BundleKeys, Error> {
        self.call(Method::GET, &format!("/v1/bundles/{scope}"), None).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&Redacted>) -> Result<T, Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.address)).header(AUTHORIZATION, self.authorization.clone());
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.expose().to_vec());
        }
        let unreachable = |error: &reqwest::Error| Error::Unreachable { address: self.address.clone(), reason: Chain(error).to_string() };
        let answer = request.send().await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        let body = Redacted::new(answer.bytes().await.map_err(|error| unreachable(&error))?.into());
        if status.is_success() {
            // A parser's message may quote what it read, so only its place is told.
            return serde_json::from_slice(body.expose()).map_err(|error| Error::Answer {
                address: self.address.clone(),
                reason: format!("line {} column {} is not what this version expects", error.line(), error.column()),
            });
        }
        Err(Error::Refused(problem(status, &body)))
    }
}

fn problem(status: StatusCode, body: &Redacted) -> Problem {
    serde_json::from_slice(body.expose()).unwrap_or_else(|_| Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("the answer is no problem document").to_owned(),
        status: status.as_u16(),
        detail: String::new(),
        instance: None,
    })
}

fn authorization(connection: &Connection) -> Result<HeaderValue, Error> {
    let token = match (&connection.token, &connection.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(path)) => std::fs::read(path).map(Redacted::new).map_err(|source| Error::Read { path: path.clone(), source })?,
        (None, None) => return Err(Error::NoToken),
    };
    let token = token.expose().trim_ascii();
    if token.is_empty() {
        return Err(Error::NoToken);
    }
    let mut header = HeaderValue::from_bytes(&[b"Bearer ", token].concat())
        .map_err(|_| Error::Usage("the API token has a character that no token has".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

fn trusting(path: &std::path::Path) -> Result<rustls::ClientConfig, Error> {
    let refuse = |reason: String| Error::Manifest { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refuse("there is no certificate in it".to_owned()));
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
