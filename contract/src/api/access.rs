//! `/v1/access…`: what a principal may do, and by which rule.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::object::optional;
use super::word::words;
use crate::bundle::Version;
use crate::name::SecretName;
use crate::scope::Scope;
use crate::secret_ref::SecretRef;

words! { "operation",
    /// An operation that the access rules decide about.
    AccessVerb {
        /// List names and versions.
        List = "list",
        /// Read values.
        Read = "read",
        /// Write, rotate, roll back, delete and undelete.
        Write = "write",
        /// Destroy versions.
        Destroy = "destroy",
        /// Add and remove grants.
        Grant = "grant",
        /// Create and revoke tokens.
        Token = "token",
        /// Read the audit log.
        Audit = "audit",
        /// Reseal values under another key.
        Administer = "administer",
    }
}

words! { "kind of principal",
    /// Whom a question about access is about.
    AccessKind {
        /// A person, by the name that the identity provider has.
        User = "user",
        /// All members of a group, by the name that the identity provider has.
        Group = "group",
        /// A valid token, by its name.
        Token = "token",
        /// The pods of a Kubernetes service account, as `namespace/name`.
        ServiceAccount = "service_account",
        /// The jobs of a CI system that fulfil a rule, as `ISSUER/RULE`.
        Workload = "workload",
    }
}

words! { "source of groups",
    /// How the groups of a person are known.
    GroupSource {
        /// The question names them.
        Request = "request",
        /// They are those of the person's newest session.
        Session = "session",
        /// They are not known: the answer is about the person's own grants.
        Unknown = "unknown",
    }
}

/// A question: may somebody do something? Without a principal it is about who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AccessRequest {
    /// Whom it is about; who asks, where it is absent.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub principal: Option<AccessPrincipal>,
    /// The operation.
    pub verb: AccessVerb,
    /// The scope: all of it, unless a secret is named. Everything, where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// One secret of exactly that scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
}

/// Whom a question about access is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AccessPrincipal {
    /// The kind.
    pub kind: AccessKind,
    /// The name among its kind.
    #[cfg_attr(
        feature = "schema",
        schema(min_length = 1, max_length = 320, example = "ada@example.com")
    )]
    pub name: String,
    /// The groups of a person, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schema(max_items = 100))]
    pub groups: Vec<String>,
}

/// The answer: whether, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AccessAnswer {
    /// Whom it is about. A person's groups are those that counted.
    pub principal: AccessPrincipal,
    /// Of a person: how the groups are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_from: Option<GroupSource>,
    /// The operation.
    pub verb: AccessVerb,
    /// The scope; everything, where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// Whether it is allowed.
    pub allowed: bool,
    /// The rule that decided, as the audit log has it.
    pub rule: String,
    /// Of a pod that may: the service scope of the bundle that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Scope>,
    /// What would allow it, where it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// When the answer was true.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
}

/// Somebody who can read, by one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AccessReader {
    /// The kind.
    pub kind: AccessKind,
    /// The name among its kind.
    pub name: String,
    /// The rule, as the audit log has it.
    pub rule: String,
    /// The number of the grant that is the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<u64>,
    /// Of a service account: the service scope of the bundle that brings it to the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Scope>,
    /// When the rule ends; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub until: Option<Timestamp>,
    /// The pods of the development file that are of this service account, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub development_pods: Vec<String>,
    /// The secret that they read instead, whose value has this one in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<SecretRef>,
}

/// Who can read a secret, or all of a scope: once for each rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AccessReaderList {
    /// The scope.
    pub scope: Scope,
    /// The secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// Who can read.
    pub readers: Vec<AccessReader>,
    /// How many secrets refer to it of which the caller may not know who reads them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hidden_referrers: u64,
    /// When the list was true.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// The cursor of the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One read of a secret, or one delivery of a bundle with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SecretRead {
    /// The number of the event in the audit log.
    pub sequence: u64,
    /// When.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Who, as the audit log prints it: `user:ada`, `token:ci`, `pod:shop-prod/api`,
    /// `workload:github:shop/api@refs/heads/main`.
    pub reader: String,
    /// The name of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The UID of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    /// The version that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The service scope of the bundle that had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Scope>,
    /// The generation of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Whether the event is too short to tell that this secret was in the delivery.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncertain: bool,
    /// The rule that allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The address that it went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The client's `User-Agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The trace id of the request, or of the pod's login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// Who read a secret, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SecretReadList {
    /// The scope.
    pub scope: Scope,
    /// The secret.
    pub secret: SecretName,
    /// The reads.
    pub reads: Vec<SecretRead>,
    /// Deliveries before this time may be missing: what some generations held then was pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub known_since: Option<Timestamp>,
    /// The `before` of the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_round_trips() {
        for text in [
            r#"{"verb":"read","scope":"shop.prod.api","secret":"A"}"#,
            concat!(
                r#"{"principal":{"kind":"user","name":"ada","groups":["devs"]},"#,
                r#""verb":"administer"}"#
            ),
        ] {
            let read: AccessRequest = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        for text in [
            r#"{"verb":"see","scope":"shop"}"#,
            r#"{"verb":"read","scope":"shop","more":1}"#,
            r#"{"verb":"read","principal":{"kind":"pod","name":"x"}}"#,
        ] {
            assert!(serde_json::from_str::<AccessRequest>(text).is_err(), "{text}");
        }
    }
}
