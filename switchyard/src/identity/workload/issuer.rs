//! Decides which job a token identifies, and which rules it fulfils. Pure.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::job;
use super::owner::CiPlatform;
use super::rule::{Rule, WorkloadRole};
use crate::identity::oidc::{ClaimError, check_time};

/// An issuer whose tokens identify jobs, and the rules that give them roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    pub(super) name: String,
    pub(super) platform: CiPlatform,
    /// The issuer, exactly as its tokens name it.
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) rules: Vec<Rule>,
}

/// A rule as its events describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSummary {
    /// Its name, as `ISSUER/RULE`.
    pub name: String,
    /// The roles that it gives.
    pub roles: Vec<WorkloadRole>,
    /// What a job must fulfil.
    pub conditions: String,
}

/// A job that fulfils a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The name in the audit log, for example `github:shop/api@refs/heads/main`.
    pub name: String,
    /// The rules, as `ISSUER/RULE`.
    pub rules: Vec<String>,
    /// How long a session lasts: as long as the shortest of the rules says.
    pub lifetime: SignedDuration,
    /// The claims that find the run again, for the audit log.
    pub run: String,
}

/// Why the claims of a signed token give nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The token is not for switchyard, or not valid now.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// No rule is fulfilled.
    #[error("no rule is fulfilled by {job}{closest}")]
    NoRule {
        /// The name of the job.
        job: String,
        /// The rule with the fewest differences.
        closest: String,
    },
}

impl TrustedIssuer {
    /// The rules, and what they give.
    pub fn rules(&self) -> impl Iterator<Item = RuleSummary> {
        self.rules.iter().map(|rule| {
            let claims = rule.conditions.iter().map(|it| format!("{}: {}", it.claim, it.pattern));
            RuleSummary {
                name: self.full_name(rule),
                roles: rule.roles.clone(),
                conditions: format!(
                    "{}; issuer {} for {}",
                    claims.collect::<Vec<_>>().join(", "),
                    self.issuer,
                    self.audience
                ),
            }
        })
    }

    fn full_name(&self, rule: &Rule) -> String {
        format!("{}/{}", self.name, rule.name)
    }

    /// The job that the claims identify.
    ///
    /// # Errors
    /// If a claim is not acceptable, or no rule is fulfilled.
    pub(super) fn job(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Job, JobError> {
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(ClaimError::Issuer.into());
        }
        // A token for several audiences could be another one's that passes it on.
        let is_ours = match claims.get("aud") {
            Some(Value::String(only)) => *only == self.audience,
            Some(Value::Array(all)) => {
                all.len() == 1 && all.iter().all(|it| it.as_str() == Some(&self.audience))
            }
            _ => false,
        };
        if !is_ours {
            return Err(ClaimError::Audience.into());
        }
        check_time(claims, now)?;
        let name = job::name(&self.name, &self.platform, claims);
        let (mut fulfilled, mut closest): (Vec<&Rule>, Option<(usize, &Rule, &str)>) =
            (Vec::new(), None);
        for rule in &self.rules {
            let unfulfilled = rule.unfulfilled(claims);
            match unfulfilled.first() {
                None => fulfilled.push(rule),
                Some(first) if closest.is_none_or(|(count, ..)| unfulfilled.len() < count) => {
                    closest = Some((unfulfilled.len(), rule, first));
                }
                Some(_) => {}
            }
        }
        let Some(lifetime) = fulfilled.iter().map(|it| it.lifetime).min() else {
            let closest = closest.map(|(_, rule, claim)| {
                format!("; rule {} needs another {claim}", self.full_name(rule))
            });
            return Err(JobError::NoRule { job: name, closest: closest.unwrap_or_default() });
        };
        Ok(Job {
            name,
            rules: fulfilled.into_iter().map(|rule| self.full_name(rule)).collect(),
            lifetime,
            run: job::run(&self.platform, claims),
        })
    }
}
