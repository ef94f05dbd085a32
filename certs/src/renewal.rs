//! Decides which certificate to renew next. Pure: it sees the certificates' status, the time and a
//! policy, and neither a clock nor a key.
//!
//! A CA is replaced in stages, so that a client with an older bundle never meets a certificate that
//! it does not trust: the new CA is published first, signs only after the overlap, and the old one
//! stays in the bundle until it has expired. The wall clock decides and not a timer: timers stop
//! while a machine sleeps.

use std::time::{Duration, SystemTime};

use crate::certificate::Validity;
use crate::issue::BACKDATE;

#[cfg(test)]
mod tests;

/// Lifetimes of the certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewalPolicy {
    ca_lifetime: Duration,
    leaf_lifetime: Duration,
    overlap: Duration,
}

/// Why a policy was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The last third of a CA's lifetime must hold the overlap and leave room.
    #[error("read certificate policy: the overlap is longer than a sixth of the ca's life")]
    Overlap,
    /// Below a second, backdating and rounding would use up the lifetime.
    #[error("read certificate policy: the leaf lives for less than a second")]
    ShortLeaf,
    /// The leaf would be valid for longer than its CA.
    #[error("read certificate policy: the leaf lives for longer than half of the ca's life")]
    LongLeaf,
}

impl RenewalPolicy {
    /// A policy with these lifetimes.
    ///
    /// # Errors
    /// When the overlap is longer than a sixth of the CA's life, or the leaf lives for less than a
    /// second or more than half of the CA's life.
    pub fn new(
        ca_lifetime: Duration,
        leaf_lifetime: Duration,
        overlap: Duration,
    ) -> Result<Self, PolicyError> {
        if overlap > ca_lifetime / 6 {
            return Err(PolicyError::Overlap);
        }
        if leaf_lifetime < Duration::from_secs(1) {
            return Err(PolicyError::ShortLeaf);
        }
        if leaf_lifetime > ca_lifetime / 2 {
            return Err(PolicyError::LongLeaf);
        }
        Ok(Self { ca_lifetime, leaf_lifetime, overlap })
    }

    /// The lifetime of a new CA.
    pub fn ca_lifetime(&self) -> Duration {
        self.ca_lifetime
    }

    /// The lifetime of a new leaf.
    pub fn leaf_lifetime(&self) -> Duration {
        self.leaf_lifetime
    }

    /// How long a CA is published before it signs.
    pub fn overlap(&self) -> Duration {
        self.overlap
    }
}

impl Default for RenewalPolicy {
    /// CA 365 days, leaf 7 days, overlap 24 hours.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self { ca_lifetime: 365 * DAY, leaf_lifetime: 7 * DAY, overlap: DAY }
    }
}

/// The certificates as the decision sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertStatus {
    /// The CA that signs; `None` when it or its key is missing or unreadable.
    pub current: Option<Validity>,
    /// The CA that is in the bundle and will sign next.
    pub next: Option<Validity>,
    /// CAs that signed before and are still in the bundle.
    pub previous: Vec<Validity>,
    /// The serving certificate.
    pub leaf: Option<LeafStatus>,
}

/// The serving certificate as the decision sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafStatus {
    /// When it is valid.
    pub validity: Validity,
    /// It is signed by [`CertStatus::current`].
    pub signed_by_current: bool,
    /// Its names are the configured ones.
    pub names_match: bool,
}

/// One thing to do. After each step the decision is made again, until it is
/// [`RenewalStep::Nothing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalStep {
    /// Drop the previous CAs that have expired.
    DropExpiredCas,
    /// Nothing is due.
    Nothing,
    /// Sign with the next CA from now on; the current one becomes a previous one.
    PromoteNextCa,
    /// Create a next CA and publish it. An existing next CA is discarded.
    PublishNextCa,
    /// Sign a new leaf with the current CA.
    RenewLeaf,
    /// Create a new current CA, because none can sign.
    CreateCa,
}

/// The step that is due at `now`.
pub fn next_step(view: &CertStatus, now: SystemTime, policy: &RenewalPolicy) -> RenewalStep {
    let next = view.next.filter(|next| next.contains(now));
    let Some(current) = view.current.filter(|current| current.contains(now)) else {
        return next.map_or(RenewalStep::CreateCa, |_| RenewalStep::PromoteNextCa);
    };
    match (next, view.next) {
        (Some(next), _) if now >= promotion(current, next, policy) => {
            return RenewalStep::PromoteNextCa;
        }
        (Some(_), _) => {}
        // A next CA that is not valid (the clock was changed) could not sign when its time comes.
        (None, Some(_)) => return RenewalStep::PublishNextCa,
        (None, None) if now >= two_thirds(current) => return RenewalStep::PublishNextCa,
        (None, None) => {}
    }
    if view.leaf.is_none_or(|leaf| is_due(leaf, current, now, policy)) {
        return RenewalStep::RenewLeaf;
    }
    if view.previous.iter().any(|previous| now >= previous.not_after) {
        return RenewalStep::DropExpiredCas;
    }
    RenewalStep::Nothing
}

/// When two thirds of a certificate's lifetime have passed.
pub fn two_thirds(validity: Validity) -> SystemTime {
    let made = issued(validity);
    let life = validity.not_after.duration_since(made).unwrap_or_default();
    plus(made, life * 2 / 3)
}

/// The next CA signs after the overlap, or earlier when the current one expires before that.
fn promotion(current: Validity, next: Validity, policy: &RenewalPolicy) -> SystemTime {
    let margin = (policy.overlap / 4).min(Duration::from_secs(3600));
    let last_moment = current.not_after.checked_sub(margin).unwrap_or(current.not_after);
    plus(issued(next), policy.overlap).min(last_moment)
}

fn is_due(leaf: LeafStatus, current: Validity, now: SystemTime, policy: &RenewalPolicy) -> bool {
    if !leaf.signed_by_current || !leaf.names_match || !leaf.validity.contains(now) {
        return true;
    }
    // Near the end of its CA, a new leaf would not be valid for longer than the one it replaces.
    let would_end = plus(now, policy.leaf_lifetime).min(current.not_after);
    now >= two_thirds(leaf.validity) && would_end > leaf.validity.not_after
}

fn issued(validity: Validity) -> SystemTime {
    plus(validity.not_before, BACKDATE).min(validity.not_after)
}

fn plus(moment: SystemTime, duration: Duration) -> SystemTime {
    moment.checked_add(duration).unwrap_or(moment)
}
