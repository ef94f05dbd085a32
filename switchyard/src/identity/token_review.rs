//! Reads the pod from a TokenReview. Pure.
//!
//! A token for the API server, or of a service account without a pod, does not identify a pod: the
//! audience, namespace, service account, pod name and pod UID must all be present.

use contract::layout::TOKEN_AUDIENCE;
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

use crate::audit::Pod;

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Why a token does not identify a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenReviewError {
    /// It is unknown or expired.
    #[error("the token is not valid")]
    NotAuthenticated,
    /// It has another audience.
    #[error("the token is not for the audience {TOKEN_AUDIENCE}")]
    Audience,
    /// It does not belong to a service account.
    #[error("the token does not belong to a service account")]
    NotServiceAccount,
    /// It is not bound to a pod.
    #[error("the token is not bound to a pod")]
    NotBound,
}

/// The pod that a reviewed token belongs to.
///
/// # Errors
/// If the review lacks any part of the identity.
pub fn pod_of(status: &TokenReviewStatus) -> Result<Pod, TokenReviewError> {
    // An error beside `authenticated` contradicts it.
    let has_error = status.error.as_ref().is_some_and(|error| !error.is_empty());
    if status.authenticated != Some(true) || has_error {
        return Err(TokenReviewError::NotAuthenticated);
    }
    // A server that returns no audiences did not check them, so the token may be for the API
    // server.
    if !status.audiences.iter().flatten().any(|audience| audience == TOKEN_AUDIENCE) {
        return Err(TokenReviewError::Audience);
    }
    let user = status.user.as_ref().ok_or(TokenReviewError::NotServiceAccount)?;
    let name = user.username.as_deref().unwrap_or_default();
    let account =
        name.strip_prefix("system:serviceaccount:").ok_or(TokenReviewError::NotServiceAccount)?;
    let (namespace, service_account) =
        account.split_once(':').ok_or(TokenReviewError::NotServiceAccount)?;
    if namespace.is_empty() || service_account.is_empty() || service_account.contains(':') {
        return Err(TokenReviewError::NotServiceAccount);
    }
    let (pod, uid) = (extra(user, POD_NAME)?, extra(user, POD_UID)?);
    Ok(Pod {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        name: pod,
        uid,
    })
}

/// A claim that must be present exactly once.
fn extra(user: &UserInfo, key: &str) -> Result<String, TokenReviewError> {
    match user.extra.as_ref().and_then(|extra| extra.get(key)).map(Vec::as_slice) {
        Some([only]) if !only.is_empty() => Ok(only.clone()),
        _ => Err(TokenReviewError::NotBound),
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

    fn read(status: Value) -> Result<Pod, TokenReviewError> {
        pod_of(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn a_bound_token_with_the_right_audience_identifies_a_pod() {
        let pod = Pod {
            namespace: "shop-prod".into(),
            service_account: "api".into(),
            name: "api-1".into(),
            uid: "uid-1".into(),
        };
        assert_eq!(read(good()), Ok(pod));
    }

    #[test]
    fn a_missing_or_malformed_part_is_refused() {
        let cases: &[(&str, Value, TokenReviewError)] = &[
            ("/authenticated", json!(false), TokenReviewError::NotAuthenticated),
            ("/authenticated", Value::Null, TokenReviewError::NotAuthenticated),
            ("/error", json!("token expired"), TokenReviewError::NotAuthenticated),
            ("/audiences", json!([]), TokenReviewError::Audience),
            ("/audiences", Value::Null, TokenReviewError::Audience),
            ("/audiences", json!(["https://kubernetes.default.svc"]), TokenReviewError::Audience),
            ("/audiences", json!(["enclii.io.evil", "Enclii.io"]), TokenReviewError::Audience),
            ("/user", Value::Null, TokenReviewError::NotServiceAccount),
            ("/user/username", json!("alice"), TokenReviewError::NotServiceAccount),
            (
                "/user/username",
                json!("system:serviceaccount:shop-prod"),
                TokenReviewError::NotServiceAccount,
            ),
            (
                "/user/username",
                json!("system:serviceaccount::api"),
                TokenReviewError::NotServiceAccount,
            ),
            (
                "/user/username",
                json!("system:serviceaccount:shop-prod:"),
                TokenReviewError::NotServiceAccount,
            ),
            (
                "/user/username",
                json!("system:serviceaccount:shop-prod:api:x"),
                TokenReviewError::NotServiceAccount,
            ),
            ("/user/username", json!("system:node:one"), TokenReviewError::NotServiceAccount),
            ("/user/extra", Value::Null, TokenReviewError::NotBound),
            ("/user/extra", json!({}), TokenReviewError::NotBound),
            (
                "/user/extra/authentication.kubernetes.io~1pod-uid",
                json!([]),
                TokenReviewError::NotBound,
            ),
            (
                "/user/extra/authentication.kubernetes.io~1pod-uid",
                json!([""]),
                TokenReviewError::NotBound,
            ),
            (
                "/user/extra/authentication.kubernetes.io~1pod-name",
                json!([]),
                TokenReviewError::NotBound,
            ),
            (
                "/user/extra/authentication.kubernetes.io~1pod-name",
                json!(["a", "b"]),
                TokenReviewError::NotBound,
            ),
        ];
        for (pointer, value, expected) in cases {
            let mut status = good();
            match status.pointer_mut(pointer) {
                Some(part) => *part = value.clone(),
                None => status["error"] = value.clone(),
            }
            assert_eq!(read(status), Err(*expected), "{pointer} = {value}");
        }
        assert_eq!(read(json!({})), Err(TokenReviewError::NotAuthenticated));
    }
}
