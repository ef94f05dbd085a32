//! Audit events before they are numbered: actor, action, resource, outcome and origin.
//!
//! An event contains names and numbers only, never a secret value or a hash of one.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// An audit event without a sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who acted.
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    /// What an event is about.
    pub resource: Resource,
    /// The version of a secret or the generation of a bundle.
    pub version: Option<u64>,
    /// Whether it succeeded.
    pub outcome: Outcome,
    /// Where the request came from.
    pub origin: Origin,
    /// The rule that decided, or the reason for a refusal.
    pub details: Option<String>,
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A client whose identity could not be established.
    Anonymous,
    /// A pod, authenticated by its service account.
    Pod(Pod),
    /// Someone who changed a value in the store directly, for example in 1Password.
    Store {
        /// The store's name for that person, or the store's own name.
        name: String,
    },
    /// Switchyard itself, in a background job.
    System {
        /// The job.
        part: &'static str,
    },
    /// An API token.
    Token {
        /// The token's name.
        name: String,
    },
    /// A logged-in person.
    User {
        /// The user name at the identity provider.
        name: String,
    },
    /// A job of a CI system that logged in.
    Workload {
        /// Its issuer, and its name there.
        name: String,
    },
}

/// A pod as Kubernetes identifies it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// The kinds of actors, as they appear in `actor_type`.
    pub const KINDS: [&'static str; 7] =
        ["anonymous", "pod", "store", "system", "token", "user", "workload"];

    /// Splits an actor as it is printed, `user:ada`, into its kind and its name. Without a kind in
    /// front, all of it is a name of any kind, except for `anonymous`, who has none.
    #[must_use]
    pub fn split_printed(text: &str) -> (Option<&'static str>, &str) {
        let kind = |word: &str| Self::KINDS.into_iter().find(|kind| *kind == word);
        match text.split_once(':') {
            None if text == "anonymous" => (kind(text), ""),
            None => (None, text),
            Some((word, name)) => kind(word).map_or((None, text), |kind| (Some(kind), name)),
        }
    }

    /// The kind of actor, as it appears in `actor_type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Pod(_) => "pod",
            Self::Store { .. } => "store",
            Self::System { .. } => "system",
            Self::Token { .. } => "token",
            Self::User { .. } => "user",
            Self::Workload { .. } => "workload",
        }
    }

    /// The actor's name within its kind, as it appears in `actor_id`.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Anonymous => String::new(),
            Self::Pod(pod) => format!("{}/{}", pod.namespace, pod.service_account),
            Self::System { part } => (*part).to_owned(),
            Self::Store { name }
            | Self::Token { name }
            | Self::User { name }
            | Self::Workload { name } => name.clone(),
        }
    }

    /// The pod, if the actor is one.
    #[must_use]
    pub fn into_pod(self) -> Option<Pod> {
        match self {
            Self::Pod(pod) => Some(pod),
            Self::Anonymous
            | Self::Store { .. }
            | Self::System { .. }
            | Self::Token { .. }
            | Self::User { .. }
            | Self::Workload { .. } => None,
        }
    }

    /// The pod, if the actor is one.
    #[must_use]
    pub fn pod(&self) -> Option<&Pod> {
        match self {
            Self::Pod(pod) => Some(pod),
            Self::Anonymous
            | Self::Store { .. }
            | Self::System { .. }
            | Self::Token { .. }
            | Self::User { .. }
            | Self::Workload { .. } => None,
        }
    }
}

/// The words of audit records. They are part of the canonical bytes and never change.
macro_rules! words {
    ($($name:ident),+) => {
        $(impl $name {
            /// All variants.
            pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

            /// The word used in audit records.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                self.into()
            }

            /// Parses the word used in audit records.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                word.parse().ok()
            }
        })+
    };
}

words!(Action, Outcome, ResourceKind);

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Action {
    /// What is written beside a secret's value was changed.
    Annotate,
    /// The ledger's rows were taken over as they are, under a new key.
    Accept,
    /// A pod applied a generation.
    Applied,
    /// A check of a generation failed in a pod.
    Checked,
    /// Versions of a secret were destroyed irrecoverably.
    Destroy,
    /// A secret was deleted.
    Delete,
    /// A request was refused by the access rules.
    Denied,
    /// The audit log was exported.
    Export,
    /// A pod failed to apply a generation.
    Failed,
    /// A grant or a token was created.
    Grant,
    /// Names were listed, without values.
    List,
    /// A person logged in, a pod opened its stream, or a credential was refused.
    Login,
    /// A person logged out.
    Logout,
    /// Old history was removed: generations of a bundle, or what pods that are gone held.
    Prune,
    /// A secret's value or a bundle's values were read.
    Read,
    /// Values were re-encrypted under another key.
    Rekey,
    /// The database is an older one than before, or another one: it was restored or replaced.
    Restore,
    /// A pod went back to the generation that it held before, because a later one failed a check.
    Reverted,
    /// A grant or a token was revoked.
    Revoke,
    /// An older version was made active again.
    Rollback,
    /// An existing secret got a new value.
    Rotate,
    /// Something in the ledger is not what switchyard wrote.
    Tampered,
    /// A deleted secret was restored.
    Undelete,
    /// A version was written.
    Write,
}

/// The result of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Outcome {
    /// It was allowed and done.
    Allowed,
    /// It was refused by the access rules.
    Denied,
    /// It was attempted and failed.
    Failed,
}

/// The kinds of resources that events refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum ResourceKind {
    /// The API itself, when a credential was refused.
    Api,
    /// The audit log.
    Audit,
    /// A bundle.
    Bundle,
    /// An access grant.
    Grant,
    /// The key that encrypts stored values.
    Key,
    /// The ledger as a whole.
    Ledger,
    /// All secrets in a scope.
    Scope,
    /// A secret.
    Secret,
    /// A person's login session.
    Session,
    /// An API token.
    Token,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The kind of resource.
    pub kind: ResourceKind,
    /// Its name.
    pub id: String,
    /// Its scope, if it has one.
    pub scope: Option<String>,
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The peer address of the connection.
    pub address: Option<IpAddr>,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
    /// The request's trace id.
    pub trace_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_round_trips() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(*action));
        }
        for kind in ResourceKind::ALL {
            assert_eq!(ResourceKind::parse(kind.as_str()), Some(*kind));
        }
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(*outcome));
        }
        assert_eq!(Action::parse("Read"), None);
    }

    #[test]
    fn an_actor_is_found_as_it_is_printed() {
        for (text, kind, name) in [
            ("user:ada", Some("user"), "ada"),
            ("token:ci", Some("token"), "ci"),
            ("pod:shop-prod/api", Some("pod"), "shop-prod/api"),
            ("workload:github:shop/api@x", Some("workload"), "github:shop/api@x"),
            ("system:retention", Some("system"), "retention"),
            ("anonymous", Some("anonymous"), ""),
            ("ada", None, "ada"),
            ("urn:people:ada", None, "urn:people:ada"),
            ("user:a:b", Some("user"), "a:b"),
            ("User:ada", None, "User:ada"),
        ] {
            assert_eq!(Actor::split_printed(text), (kind, name), "{text}");
        }
        let actors = [
            Actor::Anonymous,
            Actor::System { part: "x" },
            Actor::Store { name: "x".into() },
            Actor::Token { name: "x".into() },
            Actor::User { name: "x".into() },
            Actor::Workload { name: "x".into() },
        ];
        assert!(actors.iter().all(|actor| Actor::KINDS.contains(&actor.kind())));
    }
}
