//! The roles that the rules of `--workload-issuers` give to jobs of CI systems.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::identity::{RuleSummary, TrustedIssuer};
use crate::policy::{RoleAssignment, RoleScope, RoleSource};

/// The rules by their names, `ISSUER/RULE`.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkloadRules(BTreeMap<String, RuleSummary>);

impl WorkloadRules {
    pub(crate) fn new(issuers: &[TrustedIssuer]) -> Self {
        let rules = issuers.iter().flat_map(TrustedIssuer::rules);
        Self(rules.map(|rule| (rule.name.clone(), rule)).collect())
    }

    /// The names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The rules in the order of their names.
    pub(super) fn summaries(&self) -> impl Iterator<Item = &RuleSummary> {
        self.0.values()
    }

    /// The roles that a rule gives until `until`: none, if it is gone from the configuration.
    pub(super) fn roles(
        &self,
        rule: &str,
        until: Option<Timestamp>,
    ) -> impl Iterator<Item = RoleAssignment> {
        self.0.get(rule).into_iter().flat_map(move |rule| {
            rule.roles.iter().map(move |it| RoleAssignment {
                role: it.role,
                within: RoleScope::Scope(it.scope.clone()),
                source: RoleSource::Rule(rule.name.clone()),
                until,
            })
        })
    }
}
