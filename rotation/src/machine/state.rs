//! A rotation's row: its state, and what of it was begun outside.

use std::fmt;
use std::time::Duration;

use contract::Generation;
use serde::{Deserialize, Serialize};

use crate::policy::{Policy, Urgency, Validity};
use crate::waves::{Place, Waves};

/// Where a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "wave")]
pub enum State {
    /// Another rollout of its bundle comes first.
    Pending,
    /// The new credential is made, and set at its target.
    Creating,
    /// Somebody logs in with it.
    Testing,
    /// The pods of this wave, from 0, are told to hold the target generation.
    Canary(usize),
    /// All of them hold it, and are watched.
    Baking(usize),
    /// A person stopped it at this wave. Its pods keep what they hold; a failure still rolls back.
    Paused(usize),
    /// The target generation is everybody's, also that of new pods.
    Active,
    /// The old credential is still valid, until nobody uses it.
    Draining,
    /// The old credential is revoked. The end.
    Revoked,
    /// Its pods are told to hold the stable generation again, and the new credential is taken back.
    RollingBack,
    /// Pods had the new credential, and have the old one again. The end.
    RolledBack,
    /// No pod ever had the new credential. The end.
    Failed,
    /// A newer write came first. The end.
    Superseded,
}

impl State {
    /// Whether nothing more happens.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Revoked | Self::RolledBack | Self::Failed | Self::Superseded)
    }
}

/// Which pods hold the target generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// None.
    Nobody,
    /// Those up to this place that were there when the rotation began.
    UpTo(Place),
    /// All.
    Everybody,
}

/// A rotation as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The rotation's number. With a step it names an external effect for good.
    pub id: u64,
    /// The generation to go back to.
    pub from: Generation,
    /// The generation to go to.
    pub to: Generation,
    /// Its policy.
    pub policy: Policy,
    /// What its provider can do.
    pub validity: Validity,
    /// Why it runs.
    pub urgency: Urgency,
    /// Where it is.
    pub state: State,
    /// Since when, in lived time.
    pub since: Duration,
    /// When it left [`State::Pending`]. Pods that came later stay with the stable generation.
    pub started: Option<Duration>,
    /// Who holds the target generation.
    pub reach: Reach,
    /// Whether any pod was ever told of it.
    pub was_told: bool,
    /// Whether anything was done at the target.
    pub is_set: bool,
    /// The external effect that was begun and whose outcome is not known.
    pub open: Option<Open>,
    /// How many attempts were begun, at all steps.
    pub attempts: u32,
    /// Why it goes back, or went.
    pub reason: Option<Reason>,
    /// Whether people were told that both credentials stay valid.
    pub is_overdue: bool,
    /// Whether a person asked for the sessions of the old credential to be ended.
    pub ends_sessions: bool,
    /// The newest fence that changed it. A replica with an older one lost the lease.
    pub fence: u64,
}

/// Something that is done outside, at the target.
///
/// Each may be repeated under the same rotation, and has its effect once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Make the new value, and keep it in the store.
    Create,
    /// Make it valid at the target.
    Set,
    /// Log in with it.
    Test,
    /// Tell the target that the new credential is the current one.
    Finish,
    /// End the old credential.
    Revoke,
    /// End the old credential and the sessions that use it.
    RevokeWithSessions,
    /// Take the new credential back; where only one is valid, make the old one valid again.
    Discard,
}

/// An external effect that was begun. It is written before the effect, and closed with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// What.
    pub step: Step,
    /// Which attempt of the rotation, from 1. No two have the same number.
    pub attempt: u32,
    /// How often this step came to nothing so far.
    pub tries: u32,
    /// How far it is.
    pub progress: Progress,
}

/// How far an external effect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "progress", content = "at")]
pub enum Progress {
    /// Somebody does it.
    Running,
    /// Somebody asks the target whether it was done.
    Asking,
    /// It was not done. It is tried again at this time.
    RunAt(Duration),
    /// Nobody could say. The target is asked again at this time.
    AskAt(Duration),
}

/// Why a rotation goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reason", content = "detail")]
pub enum Reason {
    /// The provider said no.
    Provider(String),
    /// A state took too long; what was missing.
    Timeout(String),
    /// A pod cannot use the new credential.
    Pod(String),
    /// The requests of the canary are worse.
    Requests(String),
    /// Every pod of the canary vanished.
    CanaryVanished,
    /// A newer write.
    Superseded,
    /// A person.
    Person(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provider(detail) => write!(f, "provider: {detail}"),
            Self::Timeout(missing) => write!(f, "no evidence in time: {missing}"),
            Self::Pod(detail) => write!(f, "pod: {detail}"),
            Self::Requests(detail) => f.write_str(detail),
            Self::CanaryVanished => f.write_str("every pod of the canary is gone"),
            Self::Superseded => f.write_str("superseded by a newer write"),
            Self::Person(name) => write!(f, "asked for by {name}"),
        }
    }
}

/// What is known of a rotation before it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its number.
    pub id: u64,
    /// The bundle's stable generation.
    pub from: Generation,
    /// The generation to go to.
    pub to: Generation,
    /// Its policy.
    pub policy: Policy,
    /// What its provider can do.
    pub validity: Validity,
    /// Why it runs.
    pub urgency: Urgency,
}

impl Row {
    /// A rotation that has not begun. Where only one credential is valid it has one wave.
    #[must_use]
    pub fn new(request: Request, now: Duration) -> Self {
        let Request { id, from, to, mut policy, validity, urgency } = request;
        if validity == Validity::One {
            let last = policy.waves.count().saturating_sub(1);
            let bake = policy.waves.wave(last).map(|it| it.bake).unwrap_or_default();
            policy.waves = Waves::all_at_once(bake);
        }
        Self {
            id,
            from,
            to,
            policy,
            validity,
            urgency,
            state: State::Pending,
            since: now,
            started: None,
            reach: Reach::Nobody,
            was_told: false,
            is_set: false,
            open: None,
            attempts: 0,
            reason: None,
            is_overdue: false,
            ends_sessions: false,
            fence: 0,
        }
    }

    /// The generation that a pod is to hold, by its UID and the time when it was first seen.
    #[must_use]
    pub fn generation_for(&self, uid: &str, first_seen: Duration) -> Generation {
        let was_there = self.was_there(first_seen);
        let is_reached = match self.reach {
            Reach::Nobody => false,
            Reach::UpTo(place) => was_there && Place::of(uid) <= place,
            Reach::Everybody => true,
        };
        if is_reached { self.to } else { self.from }
    }

    /// Whether a pod that was first seen then was there when the rotation began, so that a wave
    /// may reach it.
    pub(super) fn was_there(&self, first_seen: Duration) -> bool {
        self.started.is_some_and(|started| first_seen <= started)
    }

    /// The generation of new pods.
    #[must_use]
    pub fn stable(&self) -> Generation {
        if self.reach == Reach::Everybody { self.to } else { self.from }
    }
}
