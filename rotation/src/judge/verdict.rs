//! What the judge says, with the numbers that people are told.

use std::fmt;

use contract::requests::RequestCounts;
use serde::{Deserialize, Serialize};

use super::evidence::Metric;
use super::likelihood::FAILING_EVIDENCE;

/// What a canary is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// The other pods of the workload at the same time.
    Rest,
    /// The budget alone: there is no rest, or the stable credential does not work.
    Budget,
}

/// What the requests say of a canary.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is worse, beyond chance.
    Failing(Failure),
    /// It is not worse, and there was enough to see.
    Passing(Share),
    /// Neither. At a wave's deadline this is not enough.
    Undecided(Missing),
}

/// Why a canary fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What it has too many of.
    pub metric: Metric,
    /// What it was held against.
    pub baseline: Baseline,
    /// How many times as likely the numbers are with a canary that is worse than with one that is
    /// not; at least [`FAILING_EVIDENCE`].
    pub evidence: f64,
    /// All requests of the canary in this wave, and the bad ones.
    pub canary: RequestCounts,
    /// The same of the rest.
    pub rest: RequestCounts,
    /// After how many seconds with requests it was seen.
    pub seconds: u32,
}

/// How many requests of a canary failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The requests, and those that failed.
    pub counts: RequestCounts,
    /// The largest share of failed ones that the numbers do not rule out, with 95 %.
    pub bound: f64,
    /// The largest share that the policy allows.
    pub budget: f64,
}

/// What is missing for a verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Missing {
    /// The pods count no requests, or had none.
    Requests,
    /// So many requests are too few to tell. `needed` is `None` where no number would do.
    More {
        /// What there was.
        share: Share,
        /// How many requests it takes with so many bad ones.
        needed: Option<u64>,
    },
    /// More failed than the policy allows, though not more than on the rest.
    Budget(Share),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metric, canary, rest, seconds, .. } = self;
        write!(f, "{metric}: {} of {} on the canary, ", canary.bad, canary.requests)?;
        match self.baseline {
            Baseline::Rest => write!(f, "{} of {} on the rest, ", rest.bad, rest.requests)?,
            Baseline::Budget => f.write_str("held against the budget, ")?,
        }
        let evidence = self.evidence.min(1e9);
        write!(f, "in {seconds} s (evidence {evidence:.0}, {FAILING_EVIDENCE:.0} is enough)")
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RequestCounts { requests, bad } = self.counts;
        let (bound, budget) = (self.bound * 100.0, self.budget * 100.0);
        write!(f, "{bad} of {requests} requests failed: at most {bound:.2} %, {budget} % allowed")
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests => f.write_str("no requests were counted"),
            Self::More { share, needed: Some(needed) } => {
                write!(f, "{share}: too few to tell, {needed} are needed")
            }
            Self::More { share, needed: None } => write!(f, "{share}: too few to tell"),
            Self::Budget(share) => write!(f, "{share}: as on the rest, and over the budget"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failing(failure) => write!(f, "failing: {failure}"),
            Self::Passing(share) => write!(f, "passing: {share}"),
            Self::Undecided(missing) => write!(f, "undecided: {missing}"),
        }
    }
}
