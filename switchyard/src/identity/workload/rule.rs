//! Rules: which jobs get which roles. Pure.

use contract::Scope;
use contract::api::Role;
use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::pattern::Pattern;

/// A rule gives roles to the jobs whose claims fulfil each of its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) conditions: Vec<ClaimCondition>,
    pub(super) roles: Vec<WorkloadRole>,
    /// How long a session lasts.
    pub(super) lifetime: SignedDuration,
}

/// A role that a rule gives, and the scope in which it applies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadRole {
    /// The role.
    pub role: Role,
    /// The scope.
    pub scope: Scope,
}

/// What one claim must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimCondition {
    pub(super) claim: String,
    pub(super) pattern: Pattern,
}

impl ClaimCondition {
    fn holds(&self, claims: &Map<String, Value>) -> bool {
        match claims.get(&self.claim) {
            Some(Value::String(text)) => self.pattern.matches(text),
            // Issuers differ in whether `true` and numbers are texts.
            Some(Value::Bool(value)) => self.pattern.matches(if *value { "true" } else { "false" }),
            Some(Value::Number(number)) => self.pattern.matches(&number.to_string()),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
        }
    }
}

impl Rule {
    /// The claims whose condition is not fulfilled. The rule matches if there are none.
    pub(super) fn unfulfilled(&self, claims: &Map<String, Value>) -> Vec<&str> {
        let failed = self.conditions.iter().filter(|it| !it.holds(claims));
        failed.map(|it| it.claim.as_str()).collect()
    }
}
