//! The audit trail: who did what to which secret, when, from where, and what came of it.
//!
//! An event holds names and numbers, never a value and no hash of one. It is durable before any value
//! that it is about leaves the process; where it cannot be written, nothing leaves.

mod origin;
mod writer;

use serde::Serialize;

pub use origin::{Origin, plain};
pub use writer::{Audit, AuditError, Clerk};

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody that could be known.
    Anonymous,
    /// A pod, by its service account.
    Pod(Pod),
    /// Switchyard itself.
    System {
        /// Which part of it.
        part: &'static str,
    },
    /// A token of the API.
    Token {
        /// The token's name.
        name: String,
    },
}

/// A pod, as the cluster itself names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its service account in that namespace.
    pub service_account: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl Actor {
    /// The kind of actor.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Pod(_) => "pod",
            Self::System { .. } => "system",
            Self::Token { .. } => "token",
        }
    }

    /// Who it is among its kind.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Anonymous => String::new(),
            Self::Pod(pod) => format!("{}/{}", pod.namespace, pod.service_account),
            Self::System { part } => (*part).to_owned(),
            Self::Token { name } => name.clone(),
        }
    }

    /// The pod, if it is one.
    #[must_use]
    pub fn pod(&self) -> Option<&Pod> {
        match self {
            Self::Pod(pod) => Some(pod),
            Self::Anonymous | Self::System { .. } | Self::Token { .. } => None,
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A pod put a generation into effect.
    Applied,
    /// A secret was deleted.
    Delete,
    /// Somebody asked for what the rules do not allow.
    Denied,
    /// A version's value was destroyed.
    Destroy,
    /// A pod could not put a generation into effect.
    Failed,
    /// A pod opened its stream, or a credential was refused.
    Login,
    /// A value, or a bundle's values, were handed out.
    Read,
    /// An older version became the active one.
    Rollback,
    /// A secret that is there got a new value.
    Rotate,
    /// A deleted secret came back.
    Undelete,
    /// A version was written.
    Write,
}

impl Action {
    /// The word, as the trail has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Delete => "delete",
            Self::Denied => "denied",
            Self::Destroy => "destroy",
            Self::Failed => "failed",
            Self::Login => "login",
            Self::Read => "read",
            Self::Rollback => "rollback",
            Self::Rotate => "rotate",
            Self::Undelete => "undelete",
            Self::Write => "write",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Allowed,
    /// It was refused.
    Denied,
    /// It was tried.
    Failed,
}

impl Outcome {
    /// The word, as the trail has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// What it was done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `secret`, `bundle`, `audit` or `api`.
    pub kind: ResourceKind,
    /// Its name.
    pub id: String,
    /// Its scope, where it has one.
    pub scope: Option<String>,
}

/// The kinds of thing that events are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    /// The API itself: a credential that was refused.
    Api,
    /// The audit trail.
    Audit,
    /// A bundle.
    Bundle,
    /// A secret.
    Secret,
}

impl ResourceKind {
    /// The word, as the trail has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Audit => "audit",
            Self::Bundle => "bundle",
            Self::Secret => "secret",
        }
    }
}

/// One event, before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// To what.
    pub resource: Resource,
    /// Which version of a secret, or which generation of a bundle.
    pub version: Option<u64>,
    /// What came of it.
    pub outcome: Outcome,
    /// From where.
    pub origin: Origin,
    /// The rule that decided, or the reason of a refusal.
    pub details: Option<String>,
}
