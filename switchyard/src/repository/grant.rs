//! A grant to add, and what becomes of an equal one.

use contract::api::GrantRequest;
use jiff::Timestamp;

use super::Idempotency;
use crate::policy::Reach;

/// How far a grant goes, in time and in scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantExtent {
    /// When it ends, if it does: as asked for, or with its maker's authority.
    pub expires_at: Option<Timestamp>,
    /// The widest scope whose secrets it delivers. Only grants to service accounts deliver any.
    pub reach: Reach,
}

/// A grant to add.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// What is asked for.
    pub request: GrantRequest,
    /// How far it goes.
    pub extent: GrantExtent,
    /// Who adds it.
    pub by: String,
    /// Set for an idempotent request.
    pub idempotency: Option<Idempotency>,
}

impl NewGrant {
    /// The extent of an equal grant after this one is added, or `None` if that would last longer or
    /// reach further than both. An end that was not asked for shortens nothing.
    pub(super) fn combined_with(&self, existing: GrantExtent) -> Option<GrantExtent> {
        let last = |of: GrantExtent| of.expires_at.unwrap_or(Timestamp::MAX);
        let new = self.extent;
        let lasts = last(new).cmp(&last(existing));
        if self.request.expires_at.is_some() && lasts.is_lt() {
            return Some(GrantExtent { reach: new.reach.max(existing.reach), ..new });
        }
        if lasts.is_le() && new.reach <= existing.reach {
            return Some(existing);
        }
        (lasts.is_ge() && new.reach >= existing.reach).then_some(new)
    }
}

#[cfg(test)]
mod tests {
    use contract::api::{Access, Subject, SubjectKind};

    use super::*;

    #[test]
    fn an_equal_grant_gets_no_further_than_its_makers_could_grant() {
        let extent = |end: Option<i64>, reach| GrantExtent {
            expires_at: end.map(|at| Timestamp::from_second(at).unwrap()),
            reach,
        };
        let combine = |existing, new: GrantExtent, asked: bool| {
            let subject = Subject { kind: SubjectKind::ServiceAccount, name: "shop/api".into() };
            let request = GrantRequest {
                subject,
                scope: "shop.prod.api".parse().unwrap(),
                secret: None,
                access: Access::Read,
                expires_at: new.expires_at.filter(|_| asked),
            };
            let by = "user:a".to_owned();
            NewGrant { request, extent: new, by, idempotency: None }.combined_with(existing)
        };
        let (narrow, wide) = (Reach::Service, Reach::Project);
        for (existing, new, asked, expected) in [
            // The same, or less: nothing changes.
            ((Some(9), wide), (Some(9), wide), false, Some((Some(9), wide))),
            ((None, wide), (Some(9), narrow), false, Some((None, wide))),
            // More of one or both.
            ((Some(9), narrow), (None, narrow), false, Some((None, narrow))),
            ((Some(9), narrow), (Some(9), wide), true, Some((Some(9), wide))),
            ((Some(9), narrow), (None, wide), false, Some((None, wide))),
            // An earlier end that was asked for.
            ((None, wide), (Some(9), narrow), true, Some((Some(9), wide))),
            ((None, narrow), (Some(9), wide), true, Some((Some(9), wide))),
            // Longer but narrower, and wider but shorter: nobody may grant the combination.
            ((Some(9), wide), (None, narrow), false, None),
            ((Some(9), wide), (Some(20), narrow), true, None),
            ((None, narrow), (Some(9), wide), false, None),
        ] {
            let combined = combine(extent(existing.0, existing.1), extent(new.0, new.1), asked);
            let expected = expected.map(|(end, reach)| extent(end, reach));
            assert_eq!(combined, expected, "{existing:?} {new:?} {asked}");
        }
    }
}
