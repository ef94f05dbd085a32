//! `/v1/secrets/{scope}/{name}/…`: new versions of one secret, older ones again, and older ones
//! gone.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{
    DestroyRequest, Destroyed, Page, RollbackRequest, RotateRequest, VersionList, Written,
};
use contract::{Scope, SecretName, Version};
use http::Uri;

use super::App;
use super::answer::{change, json};
use super::body;
use super::page::{after, cut, limit, query};
use super::path::OneSecret;
use super::problem::Refusal;
use super::request::Asked;
use super::secrets::{if_version, unmet};
use super::sent::Sent;
use crate::generate::generate;
use crate::metrics::Operation;
use crate::policy::Verb;
use crate::repository::Condition;
use crate::secrets::SecretsError;

/// List the versions of a secret
///
/// Newest first, without values.
#[utoipa::path(get, path = "/v1/secrets/{scope}/{name}/versions", operation_id = "listVersions", tag = "versions",
    params(("scope" = Scope, Path), ("name" = SecretName, Path), Page),
    responses((status = 200, description = "The versions", body = VersionList)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<OneSecret, Refusal>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let (_, OneSecret { scope, name }, _) = asked.about(&app, path, Verb::List).await?;
    let asked: Page = query(&uri, "limit=<1 to 1000> and cursor=<next of the page before>")?;
    let most = limit(asked.limit)?;
    let before = after::<u64>("versions", asked.cursor.as_deref())?.map(Version);
    let mut rows = app
        .repository
        .versions(&scope, &name, before, most + 1)
        .await
        .map_err(SecretsError::from)?;
    if rows.is_empty() && before.is_none() {
        return Err(SecretsError::NotFound { scope, name }.into());
    }
    let next = cut(&mut rows, most, "versions", |row| row.version.to_string());
    json(&VersionList { scope, name, versions: rows.into_iter().map(Into::into).collect(), next })
}

/// Rotate a secret
///
/// Writes a new value of a secret that exists: the one given, or one that the server makes up. The
/// value is not in the answer.
#[utoipa::path(post, path = "/v1/secrets/{scope}/{name}/rotate", operation_id = "rotateSecret", tag = "versions",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path),
        ("If-Match" = Option<String>, Header, description = "Rotate only if one of these is the active version, as `\"3\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a request that is sent again be done once, for 24 hours"),
    ),
    request_body(content = Option<RotateRequest>, example = json!({"generate": {"length": 40, "alphabet": "base64url"}})),
    responses((status = 200, description = "The new version is active", body = Written)))]
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<OneSecret, Refusal>,
    sent: Sent,
) -> Result<Response, Refusal> {
    let (asker, OneSecret { scope, name }, rule) = asked.about(&app, path, Verb::Write).await?;
    let whole = sent.read(body::MOST_OF_ONE).await?;
    let RotateRequest { value, generate: how, if_version: number } =
        body::rotate_request(&whole.body)?;
    let mut terms = whole.terms(&app, &asker, rule, (&scope, &name)).await?;
    if let Some(number) = number {
        if terms.condition != Condition::None {
            return Err(Refusal::malformed(
                "the request has if_version and If-Match; one of them is enough",
            ));
        }
        terms.condition = if_version(number);
    }
    let value = match value {
        Some(value) => value,
        None => generate(how.unwrap_or_default())
            .map_err(|_| Refusal::unavailable("the system has no random numbers"))?,
    };
    let (secrets, caller) = (app.secrets.clone(), asker.caller);
    change(&app, Operation::Rotate, async move {
        let written = secrets.rotate(&caller, &scope, &name, &value, &terms).await;
        written.map_err(|error| unmet(error, terms.condition))
    })
    .await
}

/// Roll a secret back
///
/// Makes an older version the active one again, as a new generation of every bundle that holds it.
#[utoipa::path(post, path = "/v1/secrets/{scope}/{name}/rollback", operation_id = "rollbackSecret", tag = "versions",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path),
        ("If-Match" = Option<String>, Header, description = "Roll back only if one of these is the active version, as `\"3\"`"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a request that is sent again be done once, for 24 hours"),
    ),
    request_body(content = RollbackRequest, example = json!({"version": 2})),
    responses((status = 200, description = "The version is active again", body = Written)))]
pub(super) async fn rollback(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<OneSecret, Refusal>,
    sent: Sent,
) -> Result<Response, Refusal> {
    let (asker, OneSecret { scope, name }, rule) = asked.about(&app, path, Verb::Write).await?;
    let whole = sent.read(body::SMALL).await?;
    let RollbackRequest { version } = body::parse(&whole.body, r#"{"version": <number>}"#)?;
    let terms = whole.terms(&app, &asker, rule, (&scope, &name)).await?;
    let (secrets, caller) = (app.secrets.clone(), asker.caller);
    change(&app, Operation::Rollback, async move {
        let written = secrets.rollback(&caller, &scope, &name, version, &terms).await;
        written.map_err(|error| unmet(error, terms.condition))
    })
    .await
}

/// Bring a deleted secret back
///
/// With the version that was active when it was deleted.
#[utoipa::path(post, path = "/v1/secrets/{scope}/{name}/undelete", operation_id = "undeleteSecret", tag = "versions",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a request that is sent again be done once, for 24 hours"),
    ),
    responses((status = 200, description = "The secret is there again", body = Written)))]
pub(super) async fn undelete(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<OneSecret, Refusal>,
    sent: Sent,
) -> Result<Response, Refusal> {
    let (asker, OneSecret { scope, name }, rule) = asked.about(&app, path, Verb::Write).await?;
    let terms = sent.without_body().terms_without_condition(&asker, rule)?;
    let (secrets, caller) = (app.secrets.clone(), asker.caller);
    change(&app, Operation::Undelete, async move {
        secrets.undelete(&caller, &scope, &name, &terms).await
    })
    .await
}

/// Destroy versions of a secret
///
/// Their values are gone for good: nobody reads them any more, and no rollback goes back to them.
/// The active version cannot be destroyed.
#[utoipa::path(post, path = "/v1/secrets/{scope}/{name}/destroy", operation_id = "destroyVersions", tag = "versions",
    params(
        ("scope" = Scope, Path), ("name" = SecretName, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a request that is sent again be done once, for 24 hours"),
    ),
    request_body(content = DestroyRequest, example = json!({"versions": [1, 2]})),
    responses((status = 200, description = "The values are gone", body = Destroyed)))]
pub(super) async fn destroy(
    State(app): State<Arc<App>>,
    asked: Asked,
    path: Result<OneSecret, Refusal>,
    sent: Sent,
) -> Result<Response, Refusal> {
    let (asker, OneSecret { scope, name }, rule) = asked.about(&app, path, Verb::Destroy).await?;
    let whole = sent.read(body::SMALL).await?;
    let versions = body::destroy_request(&whole.body)?;
    let terms = whole.terms_without_condition(&asker, rule)?;
    let (secrets, caller) = (app.secrets.clone(), asker.caller);
    change(&app, Operation::Destroy, async move {
        let numbers: Vec<Version> = versions.iter().copied().collect();
        let done = secrets.destroy(&caller, &scope, &name, &numbers, &terms).await?;
        if done.destroyed.len() < numbers.len() {
            tracing::info!(%scope, %name, "some values are still to be let go of by the store; nobody reads them any more");
        }
        Ok(Destroyed { scope, name, versions })
    })
    .await
}
