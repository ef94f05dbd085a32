//! The share of requests that may fail on a canary that passes.

use serde::{Deserialize, Serialize};

/// The largest share of requests that may fail: above 0 and at most a half.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Budget(f64);

/// Why a number is no [`Budget`].
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("read budget of failed requests {0}: must be above 0 and at most 0.5")]
pub struct BudgetError(f64);

impl Budget {
    /// The share, from 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        self.0
    }
}

impl Default for Budget {
    /// One of a hundred, which takes 299 requests without a failed one.
    fn default() -> Self {
        Self(0.01)
    }
}

impl TryFrom<f64> for Budget {
    type Error = BudgetError;

    fn try_from(share: f64) -> Result<Self, BudgetError> {
        if share > 0.0 && share <= 0.5 { Ok(Self(share)) } else { Err(BudgetError(share)) }
    }
}

impl From<Budget> for f64 {
    fn from(budget: Budget) -> Self {
        budget.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_share() {
        for share in [0.0, -0.1, 0.51, f64::NAN, f64::INFINITY] {
            assert!(Budget::try_from(share).is_err(), "{share}");
        }
        assert_eq!(Budget::try_from(0.01), Ok(Budget::default()));
        assert_eq!(serde_json::from_str::<Budget>("0.5").unwrap().share(), 0.5);
        assert!(serde_json::from_str::<Budget>("0.7").is_err());
    }
}
