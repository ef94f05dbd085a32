//! `/v1/grants`: who may do what besides the rules.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::object::object;
use super::word::words;
use crate::name::SecretName;
use crate::scope::Scope;

words! { "role",
    /// What somebody may do in a scope and below. Each may do what the one before it may, and more.
    Role {
        /// Lists names and versions, and never sees a value.
        Readonly = "readonly",
        /// Reads and writes the secrets of services.
        Developer = "developer",
        /// Reads and writes everywhere, destroys, grants, and sees the audit log.
        Admin = "admin",
        /// Everything.
        Owner = "owner",
    }
}

words! { "access",
    /// What a grant lets its subject do: one thing, or all that a role may.
    Access {
        /// Read values.
        Read = "read",
        /// Write, rotate, roll back, delete and undelete.
        Write = "write",
        /// The role `readonly`.
        Readonly = "readonly",
        /// The role `developer`.
        Developer = "developer",
        /// The role `admin`.
        Admin = "admin",
        /// The role `owner`.
        Owner = "owner",
    }
}

impl Access {
    /// The role, where it is one.
    #[must_use]
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Read | Self::Write => None,
            Self::Readonly => Some(Role::Readonly),
            Self::Developer => Some(Role::Developer),
            Self::Admin => Some(Role::Admin),
            Self::Owner => Some(Role::Owner),
        }
    }
}

impl From<Role> for Access {
    fn from(role: Role) -> Self {
        match role {
            Role::Readonly => Self::Readonly,
            Role::Developer => Self::Developer,
            Role::Admin => Self::Admin,
            Role::Owner => Self::Owner,
        }
    }
}

words! { "kind of subject",
    /// What kind of subject a grant is for.
    SubjectKind {
        /// A person, by the name that the identity provider has.
        User = "user",
        /// A group of persons, by the name that the identity provider has.
        Group = "group",
        /// A Kubernetes service account, as `namespace/name`.
        ServiceAccount = "service_account",
    }
}

/// Whom a grant is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The kind.
    pub kind: SubjectKind,
    /// The name among its kind.
    #[cfg_attr(
        feature = "schema",
        schema(min_length = 1, max_length = 320, example = "ada@example.com")
    )]
    pub name: String,
}

/// A new grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// Whom it is for.
    #[serde(deserialize_with = "object")]
    pub subject: Subject,
    /// Where it holds: this scope and all below it.
    pub scope: Scope,
    /// The one secret it holds for; all of the scope where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// What it allows.
    pub access: Access,
    /// When it ends; as late as its maker's own authority where it is absent, which is never for
    /// most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Grant {
    /// Its number.
    #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 9_007_199_254_740_991_u64))]
    pub id: u64,
    /// Whom it is for.
    pub subject: Subject,
    /// Where it holds: this scope and all below it.
    pub scope: Scope,
    /// Of a service account: the widest scope whose secrets its pods get, because whoever made the
    /// grant could grant no wider one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Scope>,
    /// The one secret it holds for; all of the scope where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretName>,
    /// What it allows.
    pub access: Access,
    /// When it was made.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
}

/// The grants that the caller may see, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GrantList {
    /// The grants.
    pub grants: Vec<Grant>,
    /// The cursor of the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_an_order_and_are_words_of_access() {
        assert!(
            Role::Owner > Role::Admin
                && Role::Admin > Role::Developer
                && Role::Developer > Role::Readonly
        );
        for &role in Role::ALL {
            assert_eq!(
                (Access::from(role).role(), Access::from(role).as_str()),
                (Some(role), role.as_str())
            );
        }
        assert_eq!(Access::ALL.iter().filter(|access| access.role().is_none()).count(), 2);
    }

    #[test]
    fn a_grant_round_trips() {
        let grant = concat!(
            r#"{"id":3,"subject":{"kind":"service_account","name":"shop-prod/jobs"},"#,
            r#""scope":"shop.prod.api","reach":"shop.prod","secret":"A","access":"read","#,
            r#""created_at":"2026-01-01T00:00:00Z","created_by":"user:ada"}"#,
        );
        let read: Grant = serde_json::from_str(grant).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), grant);
        let request =
            r#"{"subject":{"kind":"group","name":"sre"},"scope":"shop","access":"admin"}"#;
        let read: GrantRequest = serde_json::from_str(request).unwrap();
        assert_eq!((read.secret.as_ref(), read.access.role()), (None, Some(Role::Admin)));
        assert_eq!(serde_json::to_string(&read).unwrap(), request);
        assert!(serde_json::from_str::<GrantRequest>(&request.replace("scope", "scopes")).is_err());
    }
}
