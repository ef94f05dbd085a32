//! Who asks, with everything that counts for the answer.

use std::fmt;

use contract::api::{Access, PrincipalKind, Role};
use contract::{Scope, SecretName};

use super::{Reach, Target, Verb};

/// A person or a program that proved who it is, and its rights at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The kind.
    pub kind: PrincipalKind,
    /// The name among its kind.
    pub name: String,
    /// A person's groups, as the identity provider names them.
    pub groups: Vec<String>,
    /// Its roles.
    pub roles: Vec<Assigned>,
    /// Its grants that are no roles.
    pub permits: Vec<Permit>,
}

/// A role, and where it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The role.
    pub role: Role,
    /// Where.
    pub within: Reach,
    /// Where it comes from.
    pub source: Source,
}

/// Where a role comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The configuration gives it to this group.
    Group(String),
    /// The row of this number.
    Grant(u64),
    /// The token itself has it.
    Token,
}

/// A grant of one thing: reading, or writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// The row's number.
    pub grant: u64,
    /// Whether it may read or write. A role is no permit, and allows nothing here.
    pub access: Access,
    /// Where: this scope and all below it.
    pub scope: Scope,
    /// The one secret of exactly that scope; all where it is absent.
    pub secret: Option<SecretName>,
}

impl Permit {
    /// Whether it allows `verb` on `target`. Whoever may read or write a thing may also see that it
    /// is there; whoever may write may not read.
    pub(super) fn allows(&self, verb: Verb, target: Target<'_>) -> bool {
        let fits = match self.access {
            Access::Read => matches!(verb, Verb::Read | Verb::List),
            Access::Write => matches!(verb, Verb::Write | Verb::List),
            Access::Readonly | Access::Developer | Access::Admin | Access::Owner => false,
        };
        let reaches = match (&self.secret, target) {
            (None, Target::Scope(scope) | Target::Secret(scope, _)) => self.scope.contains(scope),
            (Some(secret), Target::Secret(scope, asked)) => self.scope == *scope && secret == asked,
            (_, Target::Everything) | (Some(_), Target::Scope(_)) => false,
        };
        fits && reaches
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl fmt::Display for Assigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, within, source } = self;
        match source {
            Source::Group(group) => write!(f, "role {role} {within}, of group {group}"),
            Source::Grant(grant) => write!(f, "role {role} {within}, by grant {grant}"),
            Source::Token => write!(f, "role {role} {within}, of the token"),
        }
    }
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grant, access, scope, secret } = self;
        match secret {
            Some(secret) => write!(f, "grant {grant}: {access} {scope}/{secret}"),
            None => write!(f, "grant {grant}: {access} {scope}"),
        }
    }
}
