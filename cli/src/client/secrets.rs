//! The API of secrets and bundles. Lists include every page.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use contract::api::{
    BundleKeys, BundleList, BundleState, BundleValues, Deleted, DestroyRequest, Destroyed,
    FoundSecrets, FoundValue, MetadataRequest, ReadAnswer, ReadRequest, RollbackRequest,
    RotateManyRequest, RotateRequest, ScopeList, ScopeSummary, SecretList, SecretSummary,
    SecretValue, VersionList, VersionSummary, WriteRequest, Written,
};
use contract::layout::MAX_BUNDLE_SECRETS;
use contract::metadata::Message;
use contract::{Redacted, Scope, SecretName, Version};
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue, IF_MATCH};
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::{Client, RequestOptions};
use crate::error::Error;

/// Which value of a secret to read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct VersionChoice {
    /// `None` is the active version.
    pub(crate) version: Option<Version>,
    /// Whether references stay unresolved.
    pub(crate) raw: bool,
}

/// What [`Client::read_many`] found.
#[derive(Debug, Default)]
pub(crate) struct ManyValues {
    pub(crate) found: BTreeMap<SecretName, FoundValue>,
    /// The scopes that have what may not be read.
    pub(crate) denied: BTreeMap<SecretName, Scope>,
}

impl Client<'_> {
    /// Writes secrets of one scope, all or none.
    pub(crate) async fn write(
        &self,
        scope: &Scope,
        request: &WriteRequest,
    ) -> Result<Written, Error> {
        let body = request.to_body().map_err(|error| Error::Encode(error.to_string()))?;
        self.parsed(
            Method::POST,
            &format!("/v1/secrets/{scope}/"),
            RequestOptions { body: Some(&body), ..RequestOptions::default() },
        )
        .await
    }

    pub(crate) async fn read(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<SecretValue, Error> {
        self.read_version(scope, name, VersionChoice::default()).await
    }

    /// Reads one version.
    pub(crate) async fn read_version(
        &self,
        scope: &Scope,
        name: &SecretName,
        options: VersionChoice,
    ) -> Result<SecretValue, Error> {
        let VersionChoice { version, raw } = options;
        let version = version.map(|version| format!("version={version}"));
        let raw = raw.then(|| "raw=true".to_owned());
        let query: Vec<String> = version.into_iter().chain(raw).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        self.get(&format!("/v1/secrets/{scope}/{name}{mark}{}", query.join("&"))).await
    }

    /// Reads many secrets, in as few requests as they fit into: those that are there, and the
    /// scopes of those that may not be read.
    pub(crate) async fn read_many(
        &self,
        scope: &Scope,
        names: impl IntoIterator<Item = SecretName>,
        inherited: bool,
    ) -> Result<ManyValues, Error> {
        let path = format!("/v1/read/{scope}?inherited={inherited}");
        let mut wanted: BTreeSet<SecretName> = names.into_iter().collect();
        let mut many = ManyValues::default();
        while !wanted.is_empty() {
            let later = match wanted.iter().nth(MAX_BUNDLE_SECRETS).cloned() {
                Some(first) => wanted.split_off(&first),
                None => BTreeSet::new(),
            };
            let request = ReadRequest { names: wanted };
            let answer: ReadAnswer = self.send(Method::POST, &path, &request).await?;
            // A server that leaves out everything must not cause an endless loop.
            let left_out =
                if answer.secrets.is_empty() { BTreeSet::new() } else { answer.left_out };
            many.found.extend(answer.secrets);
            many.denied.extend(answer.denied);
            wanted = left_out;
            wanted.extend(later);
        }
        Ok(many)
    }

    pub(crate) async fn list(&self, scope: &Scope) -> Result<Vec<SecretSummary>, Error> {
        self.pages(&format!("/v1/secrets/{scope}/?limit=1000"), |page: SecretList| {
            (page.secrets, page.next)
        })
        .await
    }

    /// The secrets of a scope and those that it inherits.
    pub(crate) async fn list_inherited(&self, scope: &Scope) -> Result<Vec<SecretSummary>, Error> {
        self.pages(
            &format!("/v1/secrets/{scope}/?inherited=true&limit=1000"),
            |page: SecretList| (page.secrets, page.next),
        )
        .await
    }

    pub(crate) async fn list_with_deleted(
        &self,
        scope: &Scope,
        inherited: bool,
    ) -> Result<Vec<SecretSummary>, Error> {
        self.pages(
            &format!("/v1/secrets/{scope}/?deleted=true&inherited={inherited}&limit=1000"),
            |page: SecretList| (page.secrets, page.next),
        )
        .await
    }

    /// The scope's own secrets whose credential ends before this time.
    pub(crate) async fn list_expiring(
        &self,
        scope: &Scope,
        before: Timestamp,
    ) -> Result<Vec<SecretSummary>, Error> {
        self.pages(
            &format!("/v1/secrets/{scope}/?expiring_before={before}&limit=1000"),
            |page: SecretList| (page.secrets, page.next),
        )
        .await
    }

    /// The scope's own secrets that nobody read since this time, and up to when reads are counted.
    pub(crate) async fn list_unused(
        &self,
        scope: &Scope,
        since: Timestamp,
    ) -> Result<(Vec<SecretSummary>, Option<Timestamp>), Error> {
        let until = Cell::new(None);
        let path = format!("/v1/secrets/{scope}/?unused_since={since}&limit=1000");
        let pages = self.pages(&path, |page: SecretList| {
            // The first page is the oldest.
            until.set(until.get().or(page.reads_until));
            (page.secrets, page.next)
        });
        Ok((pages.await?, until.get()))
    }

    /// A secret without its value.
    pub(crate) async fn metadata(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<SecretSummary, Error> {
        self.get(&format!("/v1/secrets/{scope}/{name}/metadata")).await
    }

    /// Changes notes, tags and the active version's expiry.
    pub(crate) async fn annotate(
        &self,
        scope: &Scope,
        name: &SecretName,
        if_version: Option<Version>,
        request: &MetadataRequest,
    ) -> Result<SecretSummary, Error> {
        let body = serde_json::to_vec(request)
            .map(Redacted::new)
            .map_err(|error| Error::Encode(error.to_string()))?;
        self.parsed(
            Method::PATCH,
            &format!("/v1/secrets/{scope}/{name}/metadata"),
            RequestOptions {
                body: Some(&body),
                headers: if_match(if_version)?,
                ..RequestOptions::default()
            },
        )
        .await
    }

    pub(crate) async fn versions(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Vec<VersionSummary>, Error> {
        self.pages(
            &format!("/v1/secrets/{scope}/{name}/versions?limit=1000"),
            |page: VersionList| (page.versions, page.next),
        )
        .await
    }

    pub(crate) async fn rotate(
        &self,
        scope: &Scope,
        name: &SecretName,
        request: &RotateRequest,
    ) -> Result<Written, Error> {
        let body = request.to_body().map_err(|error| Error::Encode(error.to_string()))?;
        self.parsed(
            Method::POST,
            &format!("/v1/secrets/{scope}/{name}/rotate"),
            RequestOptions { body: Some(&body), ..RequestOptions::default() },
        )
        .await
    }

    /// Rotates several secrets as one generation, all or none.
    pub(crate) async fn rotate_many(
        &self,
        scope: &Scope,
        request: &RotateManyRequest,
    ) -> Result<Written, Error> {
        let body = request.to_body().map_err(|error| Error::Encode(error.to_string()))?;
        self.parsed(
            Method::POST,
            &format!("/v1/rotate/{scope}"),
            RequestOptions { body: Some(&body), ..RequestOptions::default() },
        )
        .await
    }

    pub(crate) async fn rollback(
        &self,
        scope: &Scope,
        name: &SecretName,
        version: Version,
        message: Option<Message>,
    ) -> Result<Written, Error> {
        self.send(
            Method::POST,
            &format!("/v1/secrets/{scope}/{name}/rollback"),
            &RollbackRequest { version, message },
        )
        .await
    }

    pub(crate) async fn undelete(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Written, Error> {
        self.call(Method::POST, &format!("/v1/secrets/{scope}/{name}/undelete")).await
    }

    pub(crate) async fn destroy(
        &self,
        scope: &Scope,
        name: &SecretName,
        request: &DestroyRequest,
    ) -> Result<Destroyed, Error> {
        self.send(Method::POST, &format!("/v1/secrets/{scope}/{name}/destroy"), request).await
    }

    pub(crate) async fn delete(
        &self,
        scope: &Scope,
        name: &SecretName,
        if_version: Option<Version>,
    ) -> Result<Deleted, Error> {
        let headers = if_match(if_version)?;
        self.parsed(
            Method::DELETE,
            &format!("/v1/secrets/{scope}/{name}"),
            RequestOptions { headers, ..RequestOptions::default() },
        )
        .await
    }

    /// Every scope with secrets that the caller may list.
    pub(crate) async fn scopes(&self) -> Result<Vec<ScopeSummary>, Error> {
        self.pages("/v1/scopes?limit=1000", |page: ScopeList| (page.scopes, page.next)).await
    }

    /// The secrets of all scopes that fit these query parameters.
    pub(crate) async fn search(
        &self,
        filters: &[(&str, String)],
    ) -> Result<Vec<SecretSummary>, Error> {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("limit", "1000")
            .extend_pairs(filters)
            .finish();
        self.pages(&format!("/v1/search?{query}"), |page: FoundSecrets| (page.secrets, page.next))
            .await
    }

    pub(crate) async fn bundles(&self) -> Result<Vec<BundleState>, Error> {
        self.pages("/v1/bundles?limit=1000", |page: BundleList| (page.bundles, page.next)).await
    }

    /// The keys of a service's bundle.
    pub(crate) async fn bundle(&self, scope: &Scope) -> Result<BundleKeys, Error> {
        self.get(&format!("/v1/bundles/{scope}")).await
    }

    /// A service's bundle with its values.
    pub(crate) async fn bundle_values(&self, scope: &Scope) -> Result<BundleValues, Error> {
        self.get(&format!("/v1/bundles/{scope}/values")).await
    }

    /// All items of a list. `path` must have a query; `parts` takes a page apart into its items and
    /// the next cursor.
    pub(crate) async fn pages<P: DeserializeOwned, T>(
        &self,
        path: &str,
        parts: impl Fn(P) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = match &cursor {
                Some(cursor) => {
                    let cursor: String =
                        form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
                    self.get(&format!("{path}&cursor={cursor}")).await?
                }
                None => self.get(path).await?,
            };
            let (items, next) = parts(page);
            all.extend(items);
            match next {
                // A server that repeats a cursor must not cause an endless loop.
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => return Ok(all),
            }
        }
    }
}

/// The precondition that a version is the active one.
fn if_match(version: Option<Version>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    if let Some(version) = version {
        let tag = HeaderValue::from_str(&format!("\"{version}\""))
            .map_err(|error| Error::System(format!("build If-Match header: {error}")))?;
        headers.insert(IF_MATCH, tag);
    }
    Ok(headers)
}
