//! `/v1/login`, `/v1/logout` and `/v1/whoami`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::body::redacted;
use super::grants::Role;
use super::word::words;
use crate::credential::{Credential, Text};
use crate::redacted::Redacted;
use crate::scope::Scope;

/// How to log in: what a client needs to get an ID token from the identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Login {
    /// The OpenID Connect issuer.
    #[cfg_attr(feature = "schema", schema(example = "https://login.example.com"))]
    pub issuer: String,
    /// The client that people log in to.
    pub client_id: String,
    /// The scopes to ask for.
    pub scopes: Vec<String>,
}

/// An ID token, for a session.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The identity provider's ID token.
    pub id_token: Credential,
    /// What the client asked the provider to put into it, where it did; it must be there then.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 256))]
    pub nonce: Option<String>,
}

impl LoginRequest {
    /// The request's body. It holds a token, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        #[derive(Serialize)]
        struct LoginRequestBody<'a> {
            id_token: Text<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            nonce: Option<&'a str>,
        }
        let Self { id_token, nonce } = self;
        redacted(&LoginRequestBody { id_token: id_token.text(), nonce: nonce.as_deref() })
    }
}

/// An ID token of a job, for a session.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WorkloadLoginRequest {
    /// The ID token that the CI system gave to the job.
    pub id_token: Credential,
}

impl WorkloadLoginRequest {
    /// The request's body. It holds a token, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        #[derive(Serialize)]
        struct WorkloadLoginRequestBody<'a> {
            id_token: Text<'a>,
        }
        let Self { id_token } = self;
        redacted(&WorkloadLoginRequestBody { id_token: id_token.text() })
    }
}

/// The session of somebody who logged in. This is the only time that its token is shown.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Session {
    /// The token, for the header `Authorization: Bearer`.
    pub token: Credential,
    /// When it ends.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
    /// Who logged in, with the roles.
    pub principal: Principal,
}

impl Session {
    /// The answer's body. It holds a token, so it is [`Redacted`] as a whole.
    ///
    /// # Errors
    /// Never for a value of this type; the serialiser's signature has it.
    pub fn to_body(&self) -> Result<Redacted, serde_json::Error> {
        #[derive(Serialize)]
        struct SessionBody<'a> {
            token: Text<'a>,
            expires_at: Timestamp,
            principal: &'a Principal,
        }
        let Self { token, expires_at, principal } = self;
        redacted(&SessionBody { token: token.text(), expires_at: *expires_at, principal })
    }
}

words! { "kind of principal",
    /// What kind of principal asks.
    PrincipalKind {
        /// A token of the API, by its name.
        Token = "token",
        /// A person, by the name that the identity provider has.
        User = "user",
        /// A Kubernetes service account, as `namespace/name`.
        ServiceAccount = "service_account",
        /// A job of a CI system: the issuer's name, and the job's name there.
        Workload = "workload",
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Principal {
    /// The kind.
    pub kind: PrincipalKind,
    /// The name among its kind.
    pub name: String,
    /// The groups of a person, by the names that the identity provider has.
    pub groups: Vec<String>,
    /// The roles, from wherever they come.
    pub roles: Vec<RoleIn>,
    /// When the credential ends; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
}

/// A role and where it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RoleIn {
    /// The role.
    pub role: Role,
    /// In this scope and all below it; everywhere where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_round_trips_and_is_not_printed() {
        let roles = vec![
            RoleIn { role: Role::Owner, scope: None },
            RoleIn { role: Role::Developer, scope: Some("shop".parse().unwrap()) },
        ];
        let principal = Principal {
            kind: PrincipalKind::User,
            name: "ada".into(),
            groups: vec!["sre".into()],
            roles,
            expires_at: None,
        };
        let session = Session {
            token: "enclii_abc".parse().unwrap(),
            expires_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            principal,
        };
        let body = session.to_body().unwrap();
        assert_eq!(
            std::str::from_utf8(body.expose()).unwrap(),
            r#"{"token":"enclii_abc","expires_at":"2026-01-01T00:00:00Z","principal":{"kind":"user","name":"ada","groups":["sre"],"roles":[{"role":"owner"},{"role":"developer","scope":"shop"}]}}"#
        );
        let back: Session = serde_json::from_slice(body.expose()).unwrap();
        assert_eq!(
            (back.token, back.principal),
            (session.token.clone(), session.principal.clone())
        );
        assert!(!format!("{session:?}").contains("enclii_abc"));
    }

    #[test]
    fn a_login_round_trips_and_is_not_printed() {
        let request = LoginRequest { id_token: "a.b.c".parse().unwrap(), nonce: None };
        let body = request.to_body().unwrap();
        assert_eq!(body.expose(), br#"{"id_token":"a.b.c"}"#);
        let with_nonce =
            LoginRequest { id_token: "a.b.c".parse().unwrap(), nonce: Some("n".into()) };
        assert_eq!(with_nonce.to_body().unwrap().expose(), br#"{"id_token":"a.b.c","nonce":"n"}"#);
        assert_eq!(
            serde_json::from_slice::<LoginRequest>(body.expose()).unwrap().id_token,
            request.id_token
        );
        assert!(!format!("{request:?}").contains("a.b.c"));
        let job = WorkloadLoginRequest { id_token: "a.b.c".parse().unwrap() };
        assert_eq!(job.to_body().unwrap().expose(), br#"{"id_token":"a.b.c"}"#);
        assert!(!format!("{job:?}").contains("a.b.c"));
        let with_nonce = serde_json::from_str::<WorkloadLoginRequest>;
        assert!(with_nonce(r#"{"id_token":"a.b.c","nonce":"n"}"#).is_err());
    }
}
