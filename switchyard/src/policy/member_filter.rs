//! Which members of a bundle a pod may read: by name, and by how wide the scope is that the secret
//! is from.
//!
//! The bundle of `shop.prod.api` holds secrets of `shop`, `shop.prod` and `shop.prod.api`. Whoever
//! grants it may be allowed to grant only the last of them.

use std::collections::BTreeMap;
use std::fmt;

use contract::api::Access;
use contract::{Scope, SecretName};
use jiff::Timestamp;

use super::{Principal, Target, Verb, decide_delegation};

/// The widest kind of scope whose secrets are read.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum Reach {
    /// The service's own secrets.
    Service,
    /// Those of the environment too.
    Environment,
    /// Those of the project too: all members.
    Project,
}

impl Reach {
    /// The reach that a secret of this scope needs.
    #[must_use]
    pub fn of(scope: &Scope) -> Self {
        match scope {
            Scope::Service(..) => Self::Service,
            Scope::Environment(..) => Self::Environment,
            Scope::Project(_) => Self::Project,
        }
    }

    /// The word in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The widest scope that is read, of a bundle's service scope.
    #[must_use]
    pub fn widest(self, bundle: &Scope) -> Option<Scope> {
        let environment = bundle.environment().filter(|_| self != Self::Project);
        let service = bundle.service().filter(|_| self == Self::Service);
        Scope::new(bundle.project().clone(), environment.cloned(), service.cloned())
    }
}

/// How far a grant of this bundle reaches that `principal` makes and that ends at `expires_at`: to
/// the widest scope in which the principal may grant until then. `None` if that is not even the
/// bundle's own.
#[must_use]
pub fn reach_of_grant(
    principal: &Principal,
    bundle: &Scope,
    expires_at: Option<Timestamp>,
) -> Option<Reach> {
    let end = |of: Option<Timestamp>| of.unwrap_or(Timestamp::MAX);
    let may = |reach: &Reach| {
        reach.widest(bundle).is_some_and(|scope| {
            let target = Target::Scope(&scope);
            decide_delegation(principal, Verb::Grant, Access::Read, target)
                .is_ok_and(|own| end(own.until) >= end(expires_at))
        })
    };
    [Reach::Project, Reach::Environment, Reach::Service].into_iter().find(may)
}

/// Selects members of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberFilter {
    /// How far every name reaches.
    all: Option<Reach>,
    /// Names that reach further than that.
    secrets: BTreeMap<SecretName, Reach>,
}

impl MemberFilter {
    /// Every member.
    #[must_use]
    pub fn everything() -> Self {
        Self { all: Some(Reach::Project), secrets: BTreeMap::new() }
    }

    /// Adds what a grant gives: one secret, or all.
    pub fn add(&mut self, secret: Option<&SecretName>, reach: Reach) {
        match secret {
            None => self.all = self.all.max(Some(reach)),
            Some(secret) => {
                let known = self.secrets.entry(secret.clone()).or_insert(reach);
                *known = reach.max(*known);
            }
        }
        // One form for each set of members.
        self.secrets.retain(|_, reach| Some(*reach) > self.all);
    }

    /// Whether it selects nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether every name is selected, if only of some scopes.
    #[must_use]
    pub fn has_all_names(&self) -> bool {
        self.all.is_some()
    }

    /// Whether it selects every secret of this scope.
    #[must_use]
    pub fn all_names_of(&self, scope: &Scope) -> bool {
        self.all >= Some(Reach::of(scope))
    }

    /// Whether it selects the secret of this scope.
    #[must_use]
    pub fn matches(&self, name: &SecretName, scope: &Scope) -> bool {
        self.all.max(self.secrets.get(name).copied()) >= Some(Reach::of(scope))
    }
}

/// What is left out, for the audit log: nothing for every member.
impl fmt::Display for MemberFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = |reach| match reach {
            Reach::Service => "of the service",
            Reach::Environment => "of environment and service",
            Reach::Project => "",
        };
        let one = |(name, reach): (&SecretName, &Reach)| {
            format!("{name} {}", limit(*reach)).trim_end().to_owned()
        };
        let all = self.all.map(|reach| limit(reach).to_owned()).filter(|it| !it.is_empty());
        let words = all.into_iter().chain(self.secrets.iter().map(one));
        f.write_str(&words.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_the_union_of_its_grants() {
        let (a, b): (SecretName, SecretName) = ("A".parse().unwrap(), "B".parse().unwrap());
        let scopes = ["shop.prod.api", "shop.prod", "shop"].map(|it| it.parse::<Scope>().unwrap());
        let read =
            |filter: &MemberFilter, name| scopes.each_ref().map(|it| filter.matches(name, it));
        let mut filter = MemberFilter::default();
        assert!(filter.is_empty() && !filter.has_all_names());
        assert_eq!(read(&filter, &a), [false, false, false]);
        filter.add(Some(&a), Reach::Environment);
        filter.add(Some(&a), Reach::Service);
        assert_eq!(filter.to_string(), "A of environment and service");
        assert_eq!((read(&filter, &a), read(&filter, &b)), ([true, true, false], [false; 3]));
        filter.add(None, Reach::Service);
        assert_eq!(filter.to_string(), "of the service,A of environment and service");
        assert_eq!(
            (read(&filter, &a), read(&filter, &b)),
            ([true, true, false], [true, false, false])
        );
        filter.add(None, Reach::Project);
        assert_eq!((&filter, filter.to_string()), (&MemberFilter::everything(), String::new()));
        assert_eq!(read(&filter, &b), [true; 3]);
    }

    #[test]
    fn the_widest_scope_is_one_of_the_bundles() {
        let bundle: Scope = "shop.prod.api".parse().unwrap();
        for (reach, scope) in [
            (Reach::Service, "shop.prod.api"),
            (Reach::Environment, "shop.prod"),
            (Reach::Project, "shop"),
        ] {
            let widest = reach.widest(&bundle).unwrap();
            assert_eq!((widest.to_string().as_str(), Reach::of(&widest)), (scope, reach));
            assert_eq!(reach.as_str().parse(), Ok(reach));
        }
    }
}
