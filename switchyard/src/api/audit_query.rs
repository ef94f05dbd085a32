//! The query of `/v1/audit`: which events, and in which order.

use contract::{Scope, SecretName};
use jiff::Timestamp;
use serde::Deserialize;

use super::page;
use crate::app::ApiError;
use crate::audit::Actor;
use crate::policy::AuditReach;
use crate::repository::AuditQuery;

/// Events in one response.
const MAX_EVENTS: u32 = 100_000;

/// Scopes in one statement: far below what a database takes.
const MAX_SCOPES: usize = 200;

/// The largest number of an event: the largest integer that every JSON parser reads exactly.
pub(super) const MAX_SEQUENCE: u64 = (1 << 53) - 1;

/// The query of a list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListAuditQuery {
    /// Only events with a greater number.
    #[serde(default)]
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64, default = 0)]
    pub(super) after: u64,
    /// Only events with a smaller number.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    before: Option<u64>,
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(asc|desc)$")]
    order: ListOrder,
    #[param(minimum = 1, maximum = 100_000, default = 100)]
    limit: Option<u32>,
    action: Option<String>,
    /// The name of an actor, or with its kind in front: `user:ada`, `token:ci`,
    /// `pod:shop-prod/api`.
    #[param(min_length = 1)]
    actor: Option<String>,
    /// Only events in this scope and below it.
    #[param(value_type = Option<String>)]
    pub(super) scope: Option<Scope>,
    /// Only events about this secret: its name, or with its scope in front,
    /// `shop.prod.api/DATABASE_URL`.
    #[param(min_length = 1)]
    secret: Option<String>,
    outcome: Option<String>,
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// The order of a list: the oldest event first, or the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ListOrder {
    #[default]
    Asc,
    Desc,
}

impl ListAuditQuery {
    /// The query of the ledger, within what the caller may read.
    ///
    /// # Errors
    /// If a parameter is malformed.
    pub(super) fn into_query(self, reach: AuditReach) -> Result<AuditQuery, ApiError> {
        let Self {
            after,
            before,
            order,
            limit,
            action,
            actor,
            scope: _,
            secret,
            outcome,
            since,
            until,
        } = self;
        if after.max(before.unwrap_or_default()) > MAX_SEQUENCE {
            return Err(ApiError::malformed(
                "after or before is greater than the number of any event",
            ));
        }
        if actor.as_ref().is_some_and(String::is_empty) {
            return Err(ApiError::malformed("actor is empty; write user:ada, or only ada"));
        }
        let within = match reach {
            AuditReach::Everything => None,
            AuditReach::Scopes(scopes) if scopes.len() > MAX_SCOPES => {
                return Err(ApiError::malformed(format!(
                    "the caller is an admin of more than {MAX_SCOPES} scopes; name one with scope="
                )));
            }
            AuditReach::Scopes(scopes) => Some(scopes),
        };
        let (kind, name) = match actor.as_deref().map(Actor::split_printed) {
            None => (None, None),
            Some((kind, name)) => (kind.map(str::to_owned), Some(name.to_owned())),
        };
        Ok(AuditQuery {
            after,
            before,
            newest_first: order == ListOrder::Desc,
            action,
            actor_type: kind,
            actor: name,
            within,
            secret: secret.as_deref().map(parse_secret).transpose()?,
            outcome,
            since,
            until,
            limit: page::limit_within(limit, MAX_EVENTS)?,
        })
    }
}

/// A secret by its name, or with its scope in front.
fn parse_secret(text: &str) -> Result<(Option<Scope>, SecretName), ApiError> {
    let malformed =
        || ApiError::malformed("secret must be a name, or a scope and a name: shop.prod.api/NAME");
    match text.split_once('/') {
        None => Ok((None, text.parse().map_err(|_| malformed())?)),
        Some((scope, name)) => Ok((
            Some(scope.parse().map_err(|_| malformed())?),
            name.parse().map_err(|_| malformed())?,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_alone_or_with_its_scope() {
        let (scope, name) = parse_secret("shop.prod.api/DATABASE_URL").unwrap();
        assert_eq!(
            (scope.unwrap().to_string(), name.as_str()),
            ("shop.prod.api".into(), "DATABASE_URL")
        );
        assert_eq!(parse_secret("A").unwrap(), (None, "A".parse().unwrap()));
        for text in ["", "/", "shop/", "/A", "a/b/C", "Shop/A", "shop.prod.api/A B", "A\u{2060}"] {
            assert!(parse_secret(text).is_err(), "{text:?} was accepted");
        }
    }
}
