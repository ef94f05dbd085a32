//! `POST /v1/read/{scope}`: many values in one answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use contract::api::{FoundValue, ReadAnswer, ReadRequest, SecretOrigin};
use contract::layout::MAX_POD_BYTES;
use contract::{Redacted, Scope, SecretName};
use http::{StatusCode, Uri};
use serde::Deserialize;

use super::body;
use super::json_request::UnreadRequest;
use super::page::query;
use super::path::ScopePath;
use super::response::{count, secret_json};
use crate::app::{ApiError, AppState, Authenticated, Unauthenticated};
use crate::metrics::Operation;
use crate::policy::{NameRight, Target, Verb, name_right};
use crate::secrets::{FoundSecret, ReadSecret, SecretsError};

/// What is around a value in an answer, at most, beside its metadata.
const BYTES_AROUND_VALUE: usize = 1 << 10;

/// The query of a read.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadManyQuery {
    /// Whether to look in the wider scopes as well, as the scope's pods do: a name is read from the
    /// narrowest scope that has it and that the caller may read.
    #[param(default = false)]
    inherited: Option<bool>,
}

/// Read several secrets
///
/// Each read is recorded in the audit log before any value is sent. An answer has at most 8 MiB of
/// values; `left_out` names the others. A name that the caller may not know of is `missing`,
/// like one that does not exist.
#[utoipa::path(post, path = "/v1/read/{scope}", operation_id = "readSecrets", tag = "secrets",
    params(("scope" = Scope, Path), ReadManyQuery),
    request_body(content = ReadRequest, example = json!({"names": ["DATABASE_URL", "API_KEY"]})),
    responses((status = 200, description = "What became of each name", body = ReadAnswer)))]
pub(super) async fn read(
    State(app): State<Arc<AppState>>,
    unauthenticated: Unauthenticated,
    path: Result<ScopePath, ApiError>,
    uri: Uri,
    request: UnreadRequest,
) -> Result<Response, ApiError> {
    let unauthenticated = Unauthenticated { is_write: false, ..unauthenticated };
    let auth = unauthenticated.authenticate(&app).await?;
    let ScopePath(scope) = path?;
    auth.authorize_some(&app, Verb::Read, &scope).await?;
    let inherited = query::<ReadManyQuery>(&uri, "inherited=<true or false>")?.inherited;
    let request = request.read(body::MAX_NAMES_BYTES).await?;
    let ReadRequest { names } = body::read_request(&request.body)?;
    let mut scopes = vec![scope.clone()];
    if inherited.unwrap_or(false) {
        scopes.extend(std::iter::successors(scope.parent(), Scope::parent));
    }
    let SortedNames { mut found, denied, missing } = find(&app, &auth, &scopes, names).await?;
    let left_out = leave_out(&mut found);
    let lease = auth.reserve(found.values().map(room).fold(0, usize::saturating_add)).await?;
    let values = app.secrets.read_many(&auth.caller, found.into_values().collect()).await;
    count(&app, Operation::Read, &values);
    let secrets = values?.into_iter().map(|it| answered(&scope, it)).collect();
    let answer = ReadAnswer { scope, secrets, missing, denied, left_out };
    // A struct of strings, numbers and base64 always serializes.
    let body: Redacted = answer.to_body().unwrap_or_default();
    let answer = secret_json(body);
    Ok(match lease {
        Some(lease) => lease.attach(answer).await,
        None => answer,
    })
}

/// The names of a request by what became of them.
#[derive(Default)]
struct SortedNames {
    found: BTreeMap<SecretName, FoundSecret>,
    denied: BTreeMap<SecretName, Scope>,
    missing: BTreeSet<SecretName>,
}

/// Finds the secrets of these names, each in the first scope that has it. Only what the caller may
/// know of is looked up. What it may not read is recorded like a refused read of it alone.
async fn find(
    app: &AppState,
    auth: &Authenticated,
    scopes: &[Scope],
    names: BTreeSet<SecretName>,
) -> Result<SortedNames, ApiError> {
    let mut all = SortedNames { missing: names, ..SortedNames::default() };
    let mut readable = BTreeSet::new();
    for scope in scopes {
        let mut rules = BTreeMap::new();
        for name in &all.missing {
            let rule = match name_right(&auth.principal, scope, name) {
                NameRight::Nothing => continue,
                NameRight::List => None,
                NameRight::Read(rule) => Some(rule.to_string()),
            };
            if rule.is_some() {
                readable.insert(name.clone());
            }
            rules.insert(name.clone(), rule);
        }
        let names: Vec<&SecretName> = rules.keys().collect();
        let secrets = app.repository.find_some(scope, &names).await.map_err(SecretsError::from)?;
        for secret in secrets {
            let (name, scope) = (secret.name.clone(), scope.clone());
            all.missing.remove(&name);
            match rules.remove(&name).flatten() {
                None => drop(all.denied.insert(name, scope)),
                rule => {
                    let resolved =
                        app.secrets.resolve((&scope, &name), secret.references.as_ref()).await?;
                    all.found.insert(name, FoundSecret { scope, secret, rule, resolved });
                }
            }
        }
    }
    let mut refused: Vec<(SecretName, Scope)> = all.denied.clone().into_iter().collect();
    for name in &all.missing {
        if !readable.contains(name) {
            refused.extend(scopes.first().map(|scope| (name.clone(), scope.clone())));
        }
    }
    for (name, scope) in refused {
        match auth.authorize(app, Verb::Read, Target::Secret(&scope, &name)).await {
            Err(error) if error.status() != StatusCode::FORBIDDEN => return Err(error),
            _ => {}
        }
    }
    Ok(all)
}

/// Takes out what one answer has no room for, and returns its names. The first one always fits.
fn leave_out(found: &mut BTreeMap<SecretName, FoundSecret>) -> BTreeSet<SecretName> {
    let mut bytes = 0_u64;
    let beyond = |it: &FoundSecret| {
        bytes = bytes.saturating_add(size(it));
        bytes > MAX_POD_BYTES as u64
    };
    let sizes: Vec<bool> = found.values().map(beyond).collect();
    let first = sizes.into_iter().position(|is_beyond| is_beyond);
    let Some(name) = first.and_then(|at| found.keys().nth(at.max(1)).cloned()) else {
        return BTreeSet::new();
    };
    found.split_off(&name).into_keys().collect()
}

/// The length of the value as it is sent.
fn size(found: &FoundSecret) -> u64 {
    found.resolved.as_ref().map_or(found.secret.size, |it| it.size)
}

/// The bytes of a secret in an answer, at most.
fn room(found: &FoundSecret) -> usize {
    let value = usize::try_from(size(found)).unwrap_or(usize::MAX);
    let metadata = serde_json::to_vec(&found.secret.metadata).map_or(0, |it| it.len());
    value.saturating_add(value / 3).saturating_add(metadata + BYTES_AROUND_VALUE)
}

fn answered(asked: &Scope, ReadSecret { value, tag }: ReadSecret) -> (SecretName, FoundValue) {
    let origin = if value.scope == *asked { SecretOrigin::Own } else { SecretOrigin::Inherited };
    let found = FoundValue {
        scope: value.scope,
        origin,
        version: value.version,
        tag,
        updated_at: value.updated_at,
        value: value.value,
        metadata: value.metadata,
    };
    (value.name, found)
}
