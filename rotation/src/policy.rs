//! What a rotation is run by: waves, what a wave must show, and how long each state may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::judge::Budget;
use crate::waves::Waves;

/// How a bundle's rotations run. A rotation keeps the policy that it began with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The waves.
    pub waves: Waves,
    /// The share of requests that may fail on a canary.
    pub budget: Budget,
    /// Whether a wave passes by requests alone. Without it the checks of every pod are enough, and
    /// requests can only fail the wave.
    pub requires_traffic: bool,
    /// How long each state may take.
    pub timeouts: Timeouts,
}

/// How long each state may take, in lived time: that in which switchyard runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Making the credential and setting it at its target.
    pub create: Duration,
    /// Logging in with it.
    pub test: Duration,
    /// Until every pod of a wave holds the target generation.
    pub apply: Duration,
    /// After a wave's bake time, until there is evidence that it works.
    pub evidence: Duration,
    /// Until no pod holds the target generation any more, and the new credential is taken back.
    pub roll_back: Duration,
    /// Until nobody uses the old credential. Then people are told that both stay valid.
    pub drain: Duration,
    /// How long the old credential stays valid at a target that cannot tell who uses it.
    pub overlap: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        Self {
            create: minutes(5),
            test: minutes(2),
            apply: minutes(2),
            evidence: minutes(10),
            roll_back: minutes(10),
            drain: minutes(60),
            overlap: minutes(60),
        }
    }
}

/// Whether the old credential and the new one are valid at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validity {
    /// Both, so pods can change one after the other.
    Both,
    /// One at a time. As soon as the new one is set every pod is broken until it holds it, so all
    /// of them are told at once after the test, and going back makes the old one valid again.
    One,
}

/// Why a rotation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// A schedule, a change or a person.
    Usual,
    /// The credential in use is compromised, or dead. There is nothing to compare with.
    Emergency,
}
