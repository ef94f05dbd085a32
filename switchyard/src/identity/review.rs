//! What a TokenReview proves. Pure.
//!
//! A token that is good for the API server, or for a whole service account, proves no pod:
//! audience, namespace, service account, pod name and pod UID must all be there.

use contract::layout::TOKEN_AUDIENCE;
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

use crate::audit::Pod;

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Why a token proves no pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The cluster does not know it, or it has expired.
    #[error("the token is not valid")]
    NotAuthenticated,
    /// It was made for somebody else.
    #[error("the token is not for the audience {TOKEN_AUDIENCE}")]
    Audience,
    /// It is no service account's.
    #[error("the token is not a service account's")]
    NotServiceAccount,
    /// It is not bound to a pod.
    #[error("the token is not bound to a pod")]
    NotBound,
}

/// The pod that a reviewed token belongs to.
///
/// # Errors
/// Where the answer leaves any part of it open.
pub fn pod_of(status: &TokenReviewStatus) -> Result<Pod, Unproven> {
    // An error beside `authenticated` is an answer that contradicts itself.
    let has_error = status.error.as_ref().is_some_and(|error| !error.is_empty());
    if status.authenticated != Some(true) || has_error {
        return Err(Unproven::NotAuthenticated);
    }
    // Without audiences in the answer the server did not look at them, and the token is good for
    // the API server instead.
    if !status.audiences.iter().flatten().any(|audience| audience == TOKEN_AUDIENCE) {
        return Err(Unproven::Audience);
    }
    let user = status.user.as_ref().ok_or(Unproven::NotServiceAccount)?;
    let name = user.username.as_deref().unwrap_or_default();
    let account = name.strip_prefix("system:serviceaccount:").ok_or(Unproven::NotServiceAccount)?;
    let (namespace, service_account) =
        account.split_once(':').ok_or(Unproven::NotServiceAccount)?;
    if namespace.is_empty() || service_account.is_empty() || service_account.contains(':') {
        return Err(Unproven::NotServiceAccount);
    }
    let (pod, uid) = (extra(user, POD_NAME)?, extra(user, POD_UID)?);
    Ok(Pod {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        name: pod,
        uid,
    })
}

/// A claim that must be there exactly once.
fn extra(user: &UserInfo, key: &str) -> Result<String, Unproven> {
    match user.extra.as_ref().and_then(|extra| extra.get(key)).map(Vec::as_slice) {
        Some([only]) if !only.is_empty() => Ok(only.clone()),
        _ => Err(Unproven::NotBound),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "authenticated": true,
            "audiences": ["enclii.io"],
            "user": {
                "username": "system:serviceaccount:shop-prod:api",
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["api-1"],
                    "authentication.kubernetes.io/pod-uid": ["uid-1"],
                },
            },
        })
    }

    fn read(status: Value) -> Result<Pod, Unproven> {
        pod_of(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn a_bound_token_of_our_audience_is_a_pod() {
        let pod = Pod {
            namespace: "shop-prod".into(),
            service_account: "api".into(),
            name: "api-1".into(),
            uid: "uid-1".into(),
        };
        assert_eq!(read(good()), Ok(pod));
    }

    #[test]
    fn whatever_is_missing_or_odd_proves_nothing() {
        let cases: &[(&str, Value, Unproven)] = &[
            ("/authenticated", json!(false), Unproven::NotAuthenticated),
            ("/authenticated", Value::Null, Unproven::NotAuthenticated),
            ("/error", json!("token expired"), Unproven::NotAuthenticated),
            ("/audiences", json!([]), Unproven::Audience),
            ("/audiences", Value::Null, Unproven::Audience),
            ("/audiences", json!(["https://kubernetes.default.svc"]), Unproven::Audience),
            ("/audiences", json!(["enclii.io.evil", "Enclii.io"]), Unproven::Audience),
            ("/user", Value::Null, Unproven::NotServiceAccount),
            ("/user/username", json!("alice"), Unproven::NotServiceAccount),
            (
                "/user/username",
                json!("system:serviceaccount:shop-prod"),
                Unproven::NotServiceAccount,
            ),
            ("/user/username", json!("system:serviceaccount::api"), Unproven::NotServiceAccount),
            (
                "/user/username",
                json!("system:serviceaccount:shop-prod:"),
                Unproven::NotServiceAccount,
            ),
            (
                "/user/username",
                json!("system:serviceaccount:shop-prod:api:x"),
                Unproven::NotServiceAccount,
            ),
            ("/user/username", json!("system:node:one"), Unproven::NotServiceAccount),
            ("/user/extra", Value::Null, Unproven::NotBound),
            ("/user/extra", json!({}), Unproven::NotBound),
            ("/user/extra/authentication.kubernetes.io~1pod-uid", json!([]), Unproven::NotBound),
            ("/user/extra/authentication.kubernetes.io~1pod-uid", json!([""]), Unproven::NotBound),
            ("/user/extra/authentication.kubernetes.io~1pod-name", json!([]), Unproven::NotBound),
            (
                "/user/extra/authentication.kubernetes.io~1pod-name",
                json!(["a", "b"]),
                Unproven::NotBound,
            ),
        ];
        for (pointer, value, expected) in cases {
            let mut status = good();
            match status.pointer_mut(pointer) {
                Some(place) => *place = value.clone(),
                None => status["error"] = value.clone(),
            }
            assert_eq!(read(status), Err(*expected), "{pointer} = {value}");
        }
        assert_eq!(read(json!({})), Err(Unproven::NotAuthenticated));
    }
}
