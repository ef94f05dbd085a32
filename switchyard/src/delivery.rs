//! Which generation a pod should hold. Pure, and the one place that decides it: a rollout, its
//! canary and its rollback are different answers of this function and nothing else.

use contract::Generation;

/// Where a bundle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What every pod holds that no rollout has reached.
    pub stable: Generation,
    /// Where a rollout moves to.
    pub target: Option<Generation>,
}

/// The generation that the pod with this UID should hold.
///
/// No rollout picks pods yet, so it is the stable one for all of them; who is reached by a rollout
/// will be decided from `pod_uid`, so that the answer stays the same for the life of the pod.
#[must_use]
pub fn generation_for(standing: &Standing, _pod_uid: &str) -> Generation {
    standing.stable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_reaches_nobody_by_itself() {
        let standing = Standing { stable: Generation(3), target: Some(Generation(4)) };
        for uid in ["", "a", "b"] {
            assert_eq!(generation_for(&standing, uid), Generation(3));
        }
    }
}
