//! Where a principal may find anything: the scopes that a query over many scopes reads.

use std::cmp::Ordering;

use contract::Scope;

use crate::policy::Principal;

/// The scopes, none below another one, in the order of a tree. Whether the principal may really
/// list what is there is decided for each secret. `[None]` is everywhere.
pub(super) fn roots(principal: &Principal, within: Option<&Scope>) -> Vec<Option<Scope>> {
    let roles = principal.roles.iter().map(|it| it.within.scope().cloned());
    let grants = principal.grants.iter().map(|it| Some(it.scope.clone()));
    // What is asked for, as far as there may be something.
    let narrowed = |root: Option<Scope>| match (root, within) {
        (root, None) => Some(root),
        (None, Some(within)) => Some(Some(within.clone())),
        (Some(root), Some(within)) if within.contains(&root) => Some(Some(root)),
        (Some(root), Some(within)) if root.contains(within) => Some(Some(within.clone())),
        (Some(_), Some(_)) => None,
    };
    let mut all: Vec<Option<Scope>> = roles.chain(grants).filter_map(narrowed).collect();
    all.sort_by(|a, b| match (a, b) {
        (Some(a), Some(b)) => tree_order(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    let mut roots: Vec<Option<Scope>> = Vec::new();
    for scope in all {
        let is_covered = match (roots.last(), &scope) {
            (None, _) => false,
            (Some(None), _) => true,
            (Some(Some(root)), Some(scope)) => root.contains(scope),
            (Some(Some(_)), None) => false,
        };
        if !is_covered {
            roots.push(scope);
        }
    }
    roots
}

/// Whether a root has anything after `after`.
pub(super) fn goes_beyond(root: Option<&Scope>, after: Option<&Scope>) -> bool {
    let (Some(root), Some(after)) = (root, after) else { return true };
    root.contains(after) || tree_order(root, after) == Ordering::Greater
}

/// A project, then its environments, each before its services.
fn tree_order(a: &Scope, b: &Scope) -> Ordering {
    let key = |scope: &Scope| {
        let part = |label: Option<&contract::Label>| label.map(|it| it.as_str().to_owned());
        (scope.project().as_str().to_owned(), part(scope.environment()), part(scope.service()))
    };
    key(a).cmp(&key(b))
}

#[cfg(test)]
mod tests {
    use contract::api::{Access, PrincipalKind, Role};

    use super::*;
    use crate::policy::{AccessGrant, RoleAssignment, RoleScope, RoleSource};

    fn principal(roles: &[&str], grants: &[&str]) -> Principal {
        let role = |scope: &&str| RoleAssignment {
            role: Role::Readonly,
            within: match *scope {
                "" => RoleScope::Everything,
                scope => RoleScope::Scope(scope.parse().unwrap()),
            },
            source: RoleSource::Token,
            until: None,
        };
        let grant = |scope: &&str| AccessGrant {
            grant: 1,
            access: Access::Read,
            scope: scope.parse().unwrap(),
            secret: Some("A".parse().unwrap()),
        };
        Principal {
            kind: PrincipalKind::User,
            name: "ada".into(),
            groups: vec![],
            roles: roles.iter().map(role).collect(),
            grants: grants.iter().map(grant).collect(),
        }
    }

    #[test]
    fn roots_cover_every_right_once() {
        for (roles, grants, within, expected) in [
            (&[][..], &[][..], None, ""),
            (&[""], &["shop"], None, "*"),
            (&[""], &[], Some("shop.prod"), "shop.prod"),
            (
                &["shop.prod", "shop.dev.api"],
                &["shop.dev", "a.b.c"],
                None,
                "a.b.c shop.dev shop.prod",
            ),
            (&["shop-x", "shop.prod"], &["shop"], None, "shop shop-x"),
            (&["shop"], &["shop.prod.api"], Some("shop.prod"), "shop.prod"),
            (&["shop.prod.api", "shop.dev"], &[], Some("shop.prod"), "shop.prod.api"),
            (&["other"], &[], Some("shop"), ""),
        ] {
            let within: Option<Scope> = within.map(|it: &str| it.parse().unwrap());
            let found = roots(&principal(roles, grants), within.as_ref());
            let found: Vec<_> = found
                .iter()
                .map(|it| it.as_ref().map_or_else(|| "*".to_owned(), Scope::to_string))
                .collect();
            assert_eq!(found.join(" "), expected, "{roles:?} {grants:?} {within:?}");
        }
    }

    #[test]
    fn a_root_before_the_cursor_is_left_out() {
        let scope = |text: &str| Some(text.parse::<Scope>().unwrap());
        for (root, after, expected) in [
            ("shop.prod", "shop.dev.api", true),
            ("shop.prod", "shop.prod.api", true),
            ("shop.dev", "shop.prod", false),
            ("shop", "shop.prod", true),
        ] {
            let (root, after) = (scope(root), scope(after));
            assert_eq!(goes_beyond(root.as_ref(), after.as_ref()), expected, "{root:?} {after:?}");
        }
        assert!(goes_beyond(None, scope("shop").as_ref()));
    }
}
