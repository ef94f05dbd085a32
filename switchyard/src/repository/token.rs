//! API tokens and sessions, as the ledger has them.

use contract::Scope;
use contract::api::{Role, TokenKind};
use jiff::Timestamp;

use super::KeptResponse;

/// The resolution of `last_used_at` in seconds: a busy token costs one write per minute.
pub(super) const USE_RESOLUTION_SECONDS: i64 = 60;

/// A currently valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Who it authenticates.
    pub subject: TokenSubject,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: String,
    /// When it expires, if it does.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, with a resolution of one minute.
    pub last_used_at: Option<Timestamp>,
}

/// Who a token authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSubject {
    /// A program, with a role of its own.
    Program {
        /// Its role.
        role: Role,
        /// The scope of the role, or `None` for all scopes.
        scope: Option<Scope>,
    },
    /// A person's session.
    Person {
        /// The user name at the identity provider.
        name: String,
        /// The person's groups.
        groups: Vec<String>,
    },
    /// A session of a job of a CI system.
    Workload {
        /// The name of the job.
        name: String,
        /// The rules that its claims fulfil, as `ISSUER/RULE`.
        rules: Vec<String>,
    },
}

impl TokenSubject {
    /// The scope that the token ends at. `None` for one that has no end, and for a session.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        match self {
            Self::Program { scope, .. } => scope.as_ref(),
            Self::Person { .. } | Self::Workload { .. } => None,
        }
    }

    /// The kind of token.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        match self {
            Self::Program { .. } => TokenKind::Token,
            Self::Person { .. } | Self::Workload { .. } => TokenKind::Session,
        }
    }
}

/// A token to create.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its name.
    pub name: String,
    /// Who it authenticates.
    pub subject: TokenSubject,
    /// The token's hash.
    pub hash: Vec<u8>,
    /// When it expires, if it does.
    pub expires_at: Option<Timestamp>,
    /// Who creates it.
    pub by: String,
    /// The ID token that a session is made from.
    pub id_token: Option<IdTokenRef>,
    /// Set for an idempotent request. The response has the token sealed.
    pub kept: Option<KeptResponse>,
}

/// Tells one ID token from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdTokenRef {
    /// SHA-256 of what the provider signed.
    pub hash: Vec<u8>,
    /// From then on nobody accepts it.
    pub expires_at: Timestamp,
}

/// What became of a token to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAdded {
    /// It is valid.
    Added,
    /// A valid token has the name, or the same token existed before.
    NameTaken,
    /// A session of the same ID token was ended.
    IdTokenEnded,
}

impl TokenRow {
    /// Whether its use at `now` has to be recorded.
    #[must_use]
    pub fn needs_use_recorded(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|last| {
            now.as_second().saturating_sub(last.as_second()) >= USE_RESOLUTION_SECONDS
        })
    }
}
