//! Decides which generation of a bundle a pod should hold. Pure.
//!
//! This is the only place that decides it: a rollout, its canary and its rollback are different
//! results of [`generation_for`] and nothing else.

use contract::Generation;

/// How far a bundle's rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutState {
    /// The generation of every pod that no rollout has reached.
    pub stable: Generation,
    /// The generation that a rollout moves to.
    pub target: Option<Generation>,
}

/// The generation that the pod with this UID should hold.
///
/// No rollout selects pods yet, so every pod holds the stable generation. A rollout will select
/// pods by a hash of `pod_uid`, so that the result stays the same for the life of the pod.
#[must_use]
pub fn generation_for(rollout: &RolloutState, _pod_uid: &str) -> Generation {
    rollout.stable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_alone_reaches_no_pod() {
        let rollout = RolloutState { stable: Generation(3), target: Some(Generation(4)) };
        for uid in ["", "a", "b"] {
            assert_eq!(generation_for(&rollout, uid), Generation(3));
        }
    }
}
