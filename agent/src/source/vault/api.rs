//! The calls of Vault's API that the agent makes.

use std::collections::BTreeMap;

use contract::Redacted;
use contract::vault_source::VaultPath;
use http::Method;
use serde::Serialize;

use super::answer::{
    Answer, Auth, AuthAnswer, KvData, KvDataAnswer, KvMetadataAnswer, LeaseAnswer, VaultError,
};
use super::client::{Call, VaultClient};
use super::kv::KvMetadata;

/// A request without parameters.
const EMPTY: &[u8] = b"{}";

/// Logs in with the pod's token.
pub(super) async fn log_in(
    client: &mut VaultClient,
    mount: &VaultPath,
    role: &str,
    jwt: &Redacted,
) -> Result<Auth, VaultError> {
    #[derive(Serialize)]
    struct LoginBody<'a> {
        role: &'a str,
        // Visible ASCII, as the file was checked for.
        jwt: std::borrow::Cow<'a, str>,
    }
    let body = json(&LoginBody { role, jwt: String::from_utf8_lossy(jwt.expose()) });
    let path = format!("auth/{mount}/login");
    let answer = client.send(write("log in at", path, None, body)).await?;
    answer.read::<AuthAnswer>().map(|answer| answer.auth)
}

/// Renews the token by what was granted first.
pub(super) async fn renew_token(
    client: &mut VaultClient,
    token: &Redacted,
) -> Result<Auth, VaultError> {
    let call =
        write("renew token at", "auth/token/renew-self".to_owned(), Some(token), EMPTY.to_vec());
    client.send(call).await?.read::<AuthAnswer>().map(|answer| answer.auth)
}

/// Whether the token is still valid. A policy that denies the question counts as an invalid token.
pub(super) async fn is_valid(
    client: &mut VaultClient,
    token: &Redacted,
) -> Result<bool, VaultError> {
    let path = "auth/token/lookup-self".to_owned();
    let answer = client.send(read("look up token at", path, token, false)).await?;
    match answer.status {
        403 => Ok(false),
        _ => answer.succeed().map(|()| true),
    }
}

/// Revokes the token, and every lease with it.
pub(super) async fn revoke(client: &mut VaultClient, token: &Redacted) -> Result<(), VaultError> {
    let path = "auth/token/revoke-self".to_owned();
    client.send(write("revoke token at", path, Some(token), EMPTY.to_vec())).await?.succeed()
}

/// Reads the metadata of an entry of a KV engine.
pub(super) async fn kv_metadata(
    client: &mut VaultClient,
    token: &Redacted,
    (mount, path): (&VaultPath, &VaultPath),
) -> Result<KvMetadata, VaultError> {
    let answer =
        client.send(read("read", format!("{mount}/metadata/{path}"), token, false)).await?;
    answer.read::<KvMetadataAnswer>().map(|answer| answer.data)
}

/// Reads a version of an entry of a KV engine. One without data was deleted.
pub(super) async fn kv_data(
    client: &mut VaultClient,
    token: &Redacted,
    (mount, path): (&VaultPath, &VaultPath),
    version: Option<contract::Version>,
) -> Result<KvData, VaultError> {
    let mut call = read("read", format!("{mount}/data/{path}"), token, true);
    call.query = version.map(|version| format!("version={version}"));
    let mut answer = client.send(call).await?;
    if answer.status == 404 && is_deleted_version(&answer) {
        answer.status = 200;
    }
    answer.read::<KvDataAnswer>().map(|answer| answer.data)
}

/// Whether a 404 describes a version without data. That of a path without an entry has no body.
fn is_deleted_version(answer: &Answer) -> bool {
    serde_json::from_slice::<KvDataAnswer>(answer.body.expose()).is_ok()
}

/// Has an engine make a secret.
pub(super) async fn make_secret(
    client: &mut VaultClient,
    token: &Redacted,
    path: &VaultPath,
    parameters: Option<&BTreeMap<String, String>>,
) -> Result<LeaseAnswer, VaultError> {
    let mut call = match parameters {
        None => read("read", path.to_string(), token, true),
        Some(parameters) => write("write", path.to_string(), Some(token), json(parameters)),
    };
    call.is_secret = true;
    client.send(call).await?.read()
}

/// Renews a lease by this many seconds.
pub(super) async fn renew_lease(
    client: &mut VaultClient,
    token: &Redacted,
    (lease_id, increment): (&str, u64),
) -> Result<LeaseAnswer, VaultError> {
    #[derive(Serialize)]
    struct Renewal<'a> {
        lease_id: &'a str,
        increment: u64,
    }
    let path = "sys/leases/renew".to_owned();
    let body = json(&Renewal { lease_id, increment });
    client.send(write("renew lease at", path, Some(token), body)).await?.read()
}

fn read<'a>(verb: &'static str, path: String, token: &'a Redacted, is_secret: bool) -> Call<'a> {
    let (method, token) = (Method::GET, Some(token));
    Call { verb, method, path, query: None, token, body: None, is_secret }
}

fn write<'a>(
    verb: &'static str,
    path: String,
    token: Option<&'a Redacted>,
    body: Vec<u8>,
) -> Call<'a> {
    let (method, body) = (Method::POST, Some(body));
    Call { verb, method, path, query: None, token, body, is_secret: false }
}

/// The JSON of a request. Names and texts always have one; without it Vault refuses the request.
fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::answer::Question;
    use super::*;

    #[test]
    fn a_deleted_version_is_told_from_a_path_without_an_entry() {
        for (body, is_deleted) in [
            (r#"{"errors":[]}"#, false),
            ("", false),
            (
                concat!(
                    r#"{"data":{"data":null,"metadata":{"created_time":"t","deletion_time":"d","#,
                    r#""destroyed":false,"version":1}}}"#
                ),
                true,
            ),
        ] {
            let question = Question { verb: "read", path: "a".into() };
            let answer = Answer { question, status: 404, body: Redacted::from(body.as_bytes()) };
            assert_eq!(is_deleted_version(&answer), is_deleted, "{body}");
        }
    }
}
