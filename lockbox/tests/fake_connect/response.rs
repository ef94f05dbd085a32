//! The answer to a request, with Connect's status codes and messages.

use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::state::{ConnectState, VaultGrant};
use super::{item_json, take};

const VERSION: &str = "1.7.3";

type HandlerResult = Result<Response, (u16, String)>;

/// Processes a request.
pub(super) fn respond(
    state: &mut ConnectState,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Option<&Value>,
) -> Response {
    state.log.push(format!("{method} {}", uri.path()));
    let answer = match (method.as_str(), uri.path()) {
        ("GET", "/heartbeat") => Ok(response(200, "text/plain", ".".to_owned())),
        ("GET", "/health") => Ok(health(state)),
        _ => admitted(state, method, uri, headers, body),
    };
    answer.unwrap_or_else(|(status, message)| {
        json_response(status, &json!({ "status": status, "message": message }))
    })
}

fn response(status: u16, kind: &str, body: String) -> Response {
    let builder = Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("1Password-Connect-Version", VERSION);
    builder.header("content-type", kind).body(Body::from(body)).unwrap()
}

fn json_response(status: u16, body: &Value) -> Response {
    response(status, "application/json", body.to_string())
}

/// Always answers 200.
fn health(state: &ConnectState) -> Response {
    let mut parts = vec![json!({
        "service": "sqlite", "status": "ACTIVE",
        "message": "Connected to ~/1password.sqlite",
    })];
    if state.used {
        parts.extend(
            ["account_data", "sync", "1Password"]
                .map(|service| json!({"service": service, "status": "ACTIVE", "message": ""})),
        );
    } else {
        parts.push(json!({"service": "account_data", "status": "NOT_SYNCED", "message": ""}));
        parts.push(
            json!({"service": "1Password", "status": "UNINITIALIZED", "message": "Make a request \
                 with a valid bearer token to initialize"}),
        );
    }
    parts.retain(|part| state.ill.iter().all(|ill| part["service"] != ill.service));
    parts.extend(
        state.ill.iter().map(
            |ill| json!({"service": ill.service, "status": ill.status, "message": ill.message}),
        ),
    );
    json_response(
        200,
        &json!({"name": "1Password Connect API", "version": VERSION, "dependencies": parts}),
    )
}

fn admitted(
    state: &mut ConnectState,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Option<&Value>,
) -> HandlerResult {
    let refused = |status: u16, message: String| Err((status, message));
    let bearer = headers
        .get("authorization")
        .and_then(|it| it.to_str().ok())
        .and_then(|it| it.strip_prefix("Bearer "));
    let Some(bearer) = bearer else { return refused(401, "Invalid bearer token".to_owned()) };
    let Some(grants) = state.tokens.get(bearer).cloned() else {
        return refused(401, "Invalid token signature".to_owned());
    };
    state.used = true;
    if take(&mut state.unsynced) {
        return refused(500, "Something went wrong".to_owned());
    }
    let parts: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
    let filter = query(uri, "filter");
    let Some(["v1", "vaults"]) = parts.get(..2) else {
        return refused(404, "page not found".to_owned());
    };
    let Some(vault) = parts.get(2) else { return vaults(state, &grants, filter.as_deref()) };
    if state.is_refused_by_mistake(method, uri) {
        return refused(403, "Authorization: token does not have access to vault".to_owned());
    }
    let grant = grants.iter().find(|grant| grant.vault == *vault);
    match grant {
        None => refused(403, format!("vault {vault} is not in scope")),
        Some(grant) if *method != Method::GET && !grant.write => {
            refused(403, format!("vault {vault} is not in scope"))
        }
        Some(_) if state.vault(vault).is_none() => refused(404, format!("vault {vault} not found")),
        Some(_) => in_vault(state, method, vault, &parts[3..], filter.as_deref(), body),
    }
}

fn vaults(state: &ConnectState, grants: &[VaultGrant], filter: Option<&str>) -> HandlerResult {
    let wanted = filter
        .map(|filter| item_json::filter(filter).ok_or_else(|| (400, "Invalid filter".to_owned())))
        .transpose()?;
    let reached =
        state.vaults.iter().filter(|vault| grants.iter().any(|grant| grant.vault == vault.id));
    let found: Vec<Value> = reached
        .filter(|vault| wanted.is_none_or(|(_, name)| vault.name == name))
        .map(super::state::FakeVault::json)
        .collect();
    Ok(json_response(200, &Value::from(found)))
}

fn in_vault(
    state: &mut ConnectState,
    method: &Method,
    vault: &str,
    rest: &[&str],
    filter: Option<&str>,
    body: Option<&Value>,
) -> HandlerResult {
    let shown = state.vault(vault).ok_or_else(|| (404, String::new()))?;
    let missing = |id: &str| (404, format!("item {id} not found"));
    match (method.as_str(), rest) {
        ("GET", []) => Ok(json_response(200, &shown.json())),
        ("GET", ["items"]) => {
            let wanted = filter
                .map(|filter| {
                    item_json::filter(filter).ok_or_else(|| (400, "Invalid filter".to_owned()))
                })
                .transpose()?;
            // As loose as a server may be: it ignores case.
            let fits = |item: &&Value| match wanted {
                None => true,
                Some(("tag", tag)) => {
                    item["tags"].as_array().is_some_and(|tags| tags.iter().any(|it| it == tag))
                }
                Some((_, title)) => {
                    item["title"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(title))
                }
            };
            Ok(json_response(
                200,
                &Value::from(
                    shown.all_shown().filter(fits).map(item_json::summary).collect::<Vec<_>>(),
                ),
            ))
        }
        ("GET", ["items", id]) => {
            shown.shown(id).map(|item| json_response(200, item)).ok_or_else(|| missing(id))
        }
        ("POST", ["items"]) => {
            let item = writable(body, vault)?;
            if take(&mut state.double_posts) {
                state.create(vault, item);
            }
            let made = state.create(vault, item);
            if take(&mut state.lost_posts) {
                return Ok(response(502, "text/html", "<html>bad gateway</html>".to_owned()));
            }
            Ok(json_response(200, &made))
        }
        ("PUT", ["items", id]) => {
            let item = writable(body, vault)?;
            state
                .replace(vault, id, item)
                .map(|item| json_response(200, &item))
                .ok_or_else(|| missing(id))
        }
        ("DELETE", ["items", id]) => {
            if state.delete(vault, id) {
                Ok(response(204, "application/json", String::new()))
            } else {
                Err(missing(id))
            }
        }
        _ => Err((404, "page not found".to_owned())),
    }
}

fn writable<'a>(body: Option<&'a Value>, vault: &str) -> Result<&'a Value, (u16, String)> {
    let item = body.ok_or_else(|| (400, "Invalid request body".to_owned()))?;
    item_json::refuse(item, vault).map_or(Ok(item), |refusal| Err((400, refusal.to_owned())))
}

fn query(uri: &Uri, key: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.into_iter().find(|(it, _)| it == key).map(|(_, value)| value.into_owned())
}
