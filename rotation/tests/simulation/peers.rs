//! The rules of Argo Rollouts and Flagger, as their documentation has them, on what the canary
//! counted: the share of requests that succeeded in the last minute, once a minute.
//!
//! Argo Rollouts (docs/features/analysis.md): `successCondition: result >= 0.95`, `failureLimit`
//! 0 by default and 3 in the example; the run fails when more measurements failed than that.
//! Flagger (docs/gitbook/usage): `request-success-rate` at least 99 %, `interval` 1m; it rolls back
//! when as many checks failed as `threshold` says, 1 by default and 10 in the example. Without a
//! value the check fails.

/// A rule: at least this share succeeds, and how many measurements may miss it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) succeeds: f64,
    pub(crate) misses: u32,
}

/// The rules, in the order of the table: Argo Rollouts with 95 % and limits 0 and 3, with 99 % and
/// limit 0, Flagger with thresholds 1 and 10.
pub(crate) const RULES: [Rule; 5] = [
    Rule { succeeds: 0.95, misses: 0 },
    Rule { succeeds: 0.95, misses: 3 },
    Rule { succeeds: 0.99, misses: 0 },
    Rule { succeeds: 0.99, misses: 0 },
    Rule { succeeds: 0.99, misses: 9 },
];

/// A rule at work.
pub(crate) struct Watch {
    rule: Rule,
    minute: (u64, u64),
    missed: u32,
}

impl Watch {
    pub(crate) fn new(rule: Rule) -> Self {
        Self { rule, minute: (0, 0), missed: 0 }
    }

    /// Takes in the canary's second, counted from 1. Whether the rule rolls back now.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(crate) fn rolls_back(&mut self, second: u32, requests: u64, errors: u64) -> bool {
        self.minute.0 += requests;
        self.minute.1 += errors;
        if !second.is_multiple_of(60) {
            return false;
        }
        let (requests, errors) = std::mem::take(&mut self.minute);
        let succeeded = (requests - errors) as f64 / requests as f64;
        // No requests make no number, which is never enough.
        let is_missed = succeeded.is_nan() || succeeded < self.rule.succeeds;
        self.missed += u32::from(is_missed);
        self.missed > self.rule.misses
    }
}

#[test]
fn a_rule_looks_once_a_minute() {
    let mut watch = Watch::new(RULES[3]);
    assert!(!(1..60).any(|second| watch.rolls_back(second, 10, 10)));
    assert!(watch.rolls_back(60, 10, 10));
    let mut watch = Watch::new(RULES[1]);
    let back = (1..=600).find(|second| watch.rolls_back(*second, 0, 0));
    assert_eq!(back, Some(240), "four measurements without a value");
}
