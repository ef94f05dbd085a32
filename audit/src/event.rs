//! What is written down, before it has a number: who did what to which thing, from where, and what
//! came of it. Names and numbers alone; no value, and no hash of one.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

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

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody that could be known.
    Anonymous,
    /// A pod, by its service account.
    Pod(Pod),
    /// Somebody who changed a value in the store itself, as a person may in 1Password.
    Store {
        /// The store's name for whoever it was, or the store's own.
        name: String,
    },
    /// Switchyard itself: what it does by the clock.
    System {
        /// Which part of it.
        part: &'static str,
    },
    /// A token of the API.
    Token {
        /// The token's name.
        name: String,
    },
    /// A person who logged in.
    User {
        /// The name by which the provider knows the person.
        name: String,
    },
}

/// A pod, as the cluster itself names it.
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
    /// The kind of actor.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Pod(_) => "pod",
            Self::Store { .. } => "store",
            Self::System { .. } => "system",
            Self::Token { .. } => "token",
            Self::User { .. } => "user",
        }
    }

    /// Who it is among its kind.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Anonymous => String::new(),
            Self::Pod(pod) => format!("{}/{}", pod.namespace, pod.service_account),
            Self::System { part } => (*part).to_owned(),
            Self::Store { name } | Self::Token { name } | Self::User { name } => name.clone(),
        }
    }

    /// The pod, if it is one.
    #[must_use]
    pub fn pod(&self) -> Option<&Pod> {
        match self {
            Self::Pod(pod) => Some(pod),
            Self::Anonymous
            | Self::Store { .. }
            | Self::System { .. }
            | Self::Token { .. }
            | Self::User { .. } => None,
        }
    }
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word, as the trail has it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The one that has this word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.as_str() == word)
            }
        }
    };
}

words! {
    /// What was done.
    Action {
        /// A pod put a generation into effect.
        Applied = "applied",
        /// Versions of a secret became unreadable for ever.
        Destroy = "destroy",
        /// A secret was deleted.
        Delete = "delete",
        /// Somebody asked for what the rules do not allow.
        Denied = "denied",
        /// Many things were handed out at once: the audit trail.
        Export = "export",
        /// A pod could not put a generation into effect.
        Failed = "failed",
        /// Somebody was given a right, or a token.
        Grant = "grant",
        /// Names were handed out, and no value.
        List = "list",
        /// Somebody logged in, a pod opened its stream, or a credential was refused.
        Login = "login",
        /// Somebody logged out.
        Logout = "logout",
        /// A value, or a bundle's values, were handed out.
        Read = "read",
        /// Values were sealed under another key.
        Rekey = "rekey",
        /// A right, or a token, was taken back.
        Revoke = "revoke",
        /// An old version is active again.
        Rollback = "rollback",
        /// A secret that exists was given a new value.
        Rotate = "rotate",
        /// A deleted secret is there again.
        Undelete = "undelete",
        /// A version was written.
        Write = "write",
    }
}

words! {
    /// What came of it.
    Outcome {
        /// It was done.
        Allowed = "allowed",
        /// It was refused.
        Denied = "denied",
        /// It was tried.
        Failed = "failed",
    }
}

words! {
    /// The kinds of thing that events are about.
    ResourceKind {
        /// The API itself: a credential that was refused.
        Api = "api",
        /// The audit trail.
        Audit = "audit",
        /// A bundle.
        Bundle = "bundle",
        /// A right of somebody.
        Grant = "grant",
        /// The key that values are sealed under.
        Key = "key",
        /// All secrets of a scope.
        Scope = "scope",
        /// A secret.
        Secret = "secret",
        /// A session of a person.
        Session = "session",
        /// A token of the API.
        Token = "token",
    }
}

/// What it was done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Which kind of thing.
    pub kind: ResourceKind,
    /// Its name.
    pub id: String,
    /// Its scope, where it has one.
    pub scope: Option<String>,
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The other end of the connection.
    pub address: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// The request's trace id.
    pub trace_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
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
}
