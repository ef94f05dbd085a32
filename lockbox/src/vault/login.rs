//! The three login methods and token renewal: the requests and their answers.

use std::path::Path;

use contract::Redacted;
use serde_json::Value;
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::auth::kubernetes::requests::LoginWithKubernetesRequest;
use vaultrs::api::token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest};

use super::client::Client;
use super::config::VaultLogin;
use super::renewal::Lease;
use super::response::VaultError;

const LOGIN: &str = "log in to Vault";
const LOOKUP: &str = "look up the token";

/// A token and its lease. `Debug` does not print the token, since [`Redacted`] does not.
#[derive(Debug)]
pub(super) struct IssuedToken {
    pub(super) token: Redacted,
    pub(super) lease: Lease,
}

/// Obtains a token. Files are read each time, since kubelet and Vault Agent replace their content.
pub(super) async fn login(client: &Client, login: &VaultLogin) -> Result<IssuedToken, VaultError> {
    let request = match login {
        VaultLogin::Token(file) => {
            let token = credential(file)?;
            let lease = lookup(client, &token).await?;
            return Ok(IssuedToken { token, lease });
        }
        VaultLogin::Kubernetes { role, mount, token_file } => {
            let jwt = text(token_file, &credential(token_file)?)?;
            client.request(
                LOGIN,
                LoginWithKubernetesRequest { mount: mount.clone(), role: role.clone(), jwt },
            )?
        }
        VaultLogin::AppRole { role_id, secret_id_file, mount } => {
            let secret_id = text(secret_id_file, &credential(secret_id_file)?)?;
            client.request(
                LOGIN,
                LoginWithApproleRequest {
                    mount: mount.clone(),
                    role_id: role_id.clone(),
                    secret_id,
                },
            )?
        }
    };
    let mut body = client.send(&request, None).await?.body;
    let auth = body.get_mut("auth").map(Value::take).unwrap_or_default();
    let lease = lease(&auth, "lease_duration");
    let token = auth
        .get("client_token")
        .and_then(Value::as_str)
        .map(|token| Redacted::from(token.as_bytes()));
    let (Some((seconds, renewable)), Some(token)) = (lease, token) else {
        return Err(VaultError::UnexpectedAnswer { step: LOGIN, what: "it has no token" });
    };
    Ok(IssuedToken { token, lease: Lease::new(seconds, renewable) })
}

/// Looks up a token, and returns its lease from now on.
pub(super) async fn lookup(client: &Client, token: &Redacted) -> Result<Lease, VaultError> {
    let answer =
        client.send(&client.request(LOOKUP, LookupTokenSelfRequest {})?, Some(token)).await?;
    let data = answer
        .body
        .get("data")
        .ok_or(VaultError::UnexpectedAnswer { step: LOOKUP, what: "it has no data" })?;
    let (seconds, renewable) = lease(data, "ttl")
        .ok_or(VaultError::UnexpectedAnswer { step: LOOKUP, what: "it has no ttl" })?;
    Ok(Lease::new(seconds, renewable))
}

/// Renews a token.
pub(super) async fn renew(client: &Client, issued: &IssuedToken) -> Result<Lease, VaultError> {
    let step = "renew the token";
    let answer = client
        .send(
            &client.request(step, RenewTokenSelfRequest { increment: None })?,
            Some(&issued.token),
        )
        .await?;
    let renewed = answer.body.get("auth").and_then(|auth| lease(auth, "lease_duration"));
    let (seconds, renewable) =
        renewed.ok_or(VaultError::UnexpectedAnswer { step, what: "it has no lease" })?;
    Ok(issued.lease.renewed(seconds, renewable))
}

fn lease(value: &Value, field: &str) -> Option<(u64, bool)> {
    Some((
        value.get(field)?.as_u64()?,
        value.get("renewable").and_then(Value::as_bool).unwrap_or(false),
    ))
}

/// Reads a credential from a file, without the white space around it.
fn credential(path: &Path) -> Result<Redacted, VaultError> {
    let unusable = |why: String| VaultError::Credential { path: path.to_owned(), why };
    let bytes = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let bytes = Redacted::new(bytes);
    let trimmed = bytes.expose().trim_ascii();
    // It must be valid in an HTTP header.
    if trimmed.is_empty() || trimmed.len() > 16 << 10 || !trimmed.iter().all(u8::is_ascii_graphic) {
        return Err(unusable("it must be one word of visible ASCII characters".to_owned()));
    }
    Ok(Redacted::from(trimmed))
}

fn text(path: &Path, credential: &Redacted) -> Result<String, VaultError> {
    String::from_utf8(credential.expose().to_vec()).map_err(|_| VaultError::Credential {
        path: path.to_owned(),
        why: "it is not UTF-8".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_one_word() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        for (content, taken) in [
            ("s.abc\n", true),
            (" s.abc \r\n", true),
            ("", false),
            ("\n", false),
            ("a b", false),
            ("a\nb", false),
            ("ü", false),
        ] {
            std::io::Write::write_all(
                &mut std::fs::File::create(&path).unwrap(),
                content.as_bytes(),
            )
            .unwrap();
            assert_eq!(credential(&path).is_ok(), taken, "{content:?}");
        }
        let error = credential(&directory.path().join("absent")).unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }

    #[test]
    fn debug_does_not_print_the_token() {
        let issued = IssuedToken {
            token: Redacted::from(b"hvs.secret".as_slice()),
            lease: Lease::new(1, true),
        };
        assert!(!format!("{issued:?}").contains("secret"));
    }
}
