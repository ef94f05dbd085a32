//! A principal, with everything that a decision needs.

use std::fmt;

use contract::api::{Access, PrincipalKind, Role};
use contract::{Scope, SecretName};
use jiff::Timestamp;

use super::{RoleScope, Target, Verb};

/// An authenticated person or program, and its current rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The kind.
    pub kind: PrincipalKind,
    /// The name among its kind.
    pub name: String,
    /// A person's groups, as the identity provider names them.
    pub groups: Vec<String>,
    /// Its roles.
    pub roles: Vec<RoleAssignment>,
    /// Its grants of single permissions.
    pub grants: Vec<AccessGrant>,
}

/// A role, and the scope in which it applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// The role.
    pub role: Role,
    /// The scope.
    pub within: RoleScope,
    /// Where it comes from.
    pub source: RoleSource,
    /// When it ends, if it does. What is given by it ends then as well.
    pub until: Option<Timestamp>,
}

/// Where a role comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleSource {
    /// The configuration assigns it to this group.
    Group(String),
    /// The grant with this number.
    Grant(u64),
    /// The token itself.
    Token,
    /// The configuration assigns it to the jobs that fulfil this rule, `ISSUER/RULE`.
    Rule(String),
}

/// A grant of a single permission: to read or to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessGrant {
    /// The number of the grant.
    pub grant: u64,
    /// Read or write. A role has no effect here.
    pub access: Access,
    /// This scope and everything below it.
    pub scope: Scope,
    /// The only secret that is granted, in exactly that scope. `None` grants all.
    pub secret: Option<SecretName>,
}

impl AccessGrant {
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

impl fmt::Display for RoleAssignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, within, source, until: _ } = self;
        match source {
            RoleSource::Group(group) => write!(f, "role {role} {within}, of group {group}"),
            RoleSource::Grant(grant) => write!(f, "role {role} {within}, by grant {grant}"),
            RoleSource::Token => write!(f, "role {role} {within}, of the token"),
            RoleSource::Rule(rule) => write!(f, "role {role} {within}, of rule {rule}"),
        }
    }
}

impl fmt::Display for AccessGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grant, access, scope, secret } = self;
        match secret {
            Some(secret) => write!(f, "grant {grant}: {access} {scope}/{secret}"),
            None => write!(f, "grant {grant}: {access} {scope}"),
        }
    }
}
