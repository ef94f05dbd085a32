use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use rustls_pki_types::ServerName;

use super::*;
use crate::alt_names::SubjectAltNames;
use crate::bundle::TrustBundle;
use crate::state::State;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn day(number: u32) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000) + DAY * number
}

fn made(at: SystemTime, life: Duration) -> Validity {
    Validity { not_before: at - BACKDATE, not_after: at + life }
}

fn ca(at: u32) -> Option<Validity> {
    Some(made(day(at), 365 * DAY))
}

fn leaf(at: u32) -> LeafStatus {
    LeafStatus { validity: made(day(at), 7 * DAY), signed_by_current: true, names_match: true }
}

#[test]
fn table() {
    let good =
        |at: u32| CertStatus { current: ca(0), leaf: Some(leaf(at)), ..CertStatus::default() };
    let table = [
        ("nothing there", CertStatus::default(), day(0), RenewalStep::CreateCa),
        ("fresh", good(0), day(0), RenewalStep::Nothing),
        ("leaf before two thirds", good(0), day(4), RenewalStep::Nothing),
        ("leaf at two thirds", good(0), day(0) + 7 * DAY * 2 / 3, RenewalStep::RenewLeaf),
        ("leaf expired", good(0), day(8), RenewalStep::RenewLeaf),
        ("leaf of the future", good(40), day(0), RenewalStep::RenewLeaf),
        ("no leaf", CertStatus { leaf: None, ..good(0) }, day(0), RenewalStep::RenewLeaf),
        (
            "leaf of another ca",
            CertStatus {
                leaf: Some(LeafStatus { signed_by_current: false, ..leaf(0) }),
                ..good(0)
            },
            day(0),
            RenewalStep::RenewLeaf,
        ),
        (
            "leaf for other names",
            CertStatus { leaf: Some(LeafStatus { names_match: false, ..leaf(0) }), ..good(0) },
            day(0),
            RenewalStep::RenewLeaf,
        ),
        ("ca before two thirds", good(240), day(243), RenewalStep::Nothing),
        ("ca at two thirds", good(240), day(244), RenewalStep::PublishNextCa),
        ("overlap runs", CertStatus { next: ca(244), ..good(243) }, day(244), RenewalStep::Nothing),
        (
            "overlap over",
            CertStatus { next: ca(244), ..good(243) },
            day(245),
            RenewalStep::PromoteNextCa,
        ),
        (
            "next made late, current about to end",
            CertStatus { next: Some(made(day(364) + 12 * HOUR, 365 * DAY)), ..good(360) },
            day(365) - HOUR,
            RenewalStep::PromoteNextCa,
        ),
        (
            "next made late, current lives",
            CertStatus {
                next: Some(made(day(364) + 12 * HOUR, 365 * DAY)),
                leaf: Some(LeafStatus {
                    validity: Validity { not_before: day(364), not_after: day(365) },
                    ..leaf(0)
                }),
                ..good(0)
            },
            day(364) + 20 * HOUR,
            RenewalStep::Nothing,
        ),
        (
            "next of the future",
            CertStatus { next: ca(300), ..good(243) },
            day(244),
            RenewalStep::PublishNextCa,
        ),
        ("current expired", good(364), day(366), RenewalStep::CreateCa),
        (
            "current of the future",
            CertStatus { current: ca(10), ..good(0) },
            day(0),
            RenewalStep::CreateCa,
        ),
        (
            "current expired, next lives",
            CertStatus { next: ca(300), ..good(364) },
            day(366),
            RenewalStep::PromoteNextCa,
        ),
        (
            "current lost, next lives",
            CertStatus { current: None, next: ca(0), ..good(0) },
            day(1),
            RenewalStep::PromoteNextCa,
        ),
        ("both expired", CertStatus { next: ca(1), ..good(364) }, day(367), RenewalStep::CreateCa),
        (
            "previous expired",
            CertStatus {
                current: ca(300),
                previous: vec![made(day(0), 365 * DAY)],
                leaf: Some(leaf(365)),
                ..CertStatus::default()
            },
            day(365),
            RenewalStep::DropExpiredCas,
        ),
        (
            "previous lives",
            CertStatus {
                current: ca(300),
                previous: vec![made(day(0), 365 * DAY)],
                leaf: Some(leaf(363)),
                ..CertStatus::default()
            },
            day(364),
            RenewalStep::Nothing,
        ),
    ];
    for (what, view, now, step) in table {
        assert_eq!(next_step(&view, now, &RenewalPolicy::default()), step, "{what}");
    }
}

#[test]
fn contradictory_policies_are_refused() {
    let table = [
        (365 * DAY, 7 * DAY, 61 * DAY, PolicyError::Overlap),
        (365 * DAY, Duration::ZERO, DAY, PolicyError::ShortLeaf),
        (365 * DAY, 200 * DAY, DAY, PolicyError::LongLeaf),
    ];
    for (authority, leaf, overlap, error) in table {
        assert_eq!(RenewalPolicy::new(authority, leaf, overlap), Err(error));
    }
    assert_eq!(RenewalPolicy::new(365 * DAY, 7 * DAY, DAY), Ok(RenewalPolicy::default()));
}

/// A daemon that wakes up now and then, and what it had published by when.
struct SimulatedDaemon {
    state: State,
    now: SystemTime,
    published: Vec<(SystemTime, TrustBundle)>,
    names: SubjectAltNames,
    policy: RenewalPolicy,
}

impl SimulatedDaemon {
    fn new(policy: RenewalPolicy) -> Self {
        let mut world = Self {
            state: State::default(),
            now: day(0),
            published: Vec::new(),
            names: SubjectAltNames::parse(["webhook.svc"]).unwrap(),
            policy,
        };
        world.wake();
        world
    }

    fn wake(&mut self) -> Vec<RenewalStep> {
        // Through files each time, as the daemon does it.
        let (state, problems) = State::from_files(&self.state.to_files());
        assert_eq!(problems, []);
        let (state, steps) = state.advance("test", &self.names, self.now, &self.policy).unwrap();
        self.state = state;
        let bundle = self.state.bundle();
        if self.published.last().is_none_or(|(_, last)| *last != bundle) {
            self.published.push((self.now, bundle));
        }
        steps
    }

    fn sleep(&mut self, duration: Duration) {
        self.now += duration;
    }

    /// The bundle a client holds that fetched it at `moment`.
    fn bundle_at(&self, moment: SystemTime) -> Option<&TrustBundle> {
        let before = self.published.iter().rev().find(|(since, _)| *since <= moment);
        before.map(|(_, bundle)| bundle)
    }

    fn trusted_with(&self, bundle: &TrustBundle, now: SystemTime) -> bool {
        let name = ServerName::try_from("webhook.svc").unwrap();
        let leaf = self.state.leaf().unwrap().certificate();
        leaf.trusted_by(&bundle.certificates(), &name, now)
    }

    fn trusted_with_the_bundle_of(&self, fetched: SystemTime) -> bool {
        self.bundle_at(fetched).is_none_or(|bundle| self.trusted_with(bundle, self.now))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Awake at least every other day, for about three years: nobody ever meets an unknown
    /// certificate, not even with a bundle that is one overlap old, and not in the moment before
    /// the daemon wakes.
    #[test]
    fn years_of_small_steps(sleeps in proptest::collection::vec(60u64..2 * 24 * 3600, 1_100)) {
        let mut world = SimulatedDaemon::new(RenewalPolicy::default());
        let overlap = world.policy.overlap();
        let mut turned = 0;
        for seconds in sleeps {
            world.sleep(Duration::from_secs(seconds));
            for _ in 0..2 {
                let now = world.now;
                prop_assert!(world.trusted_with_the_bundle_of(now));
                prop_assert!(world.trusted_with_the_bundle_of(now - overlap));
                let steps = world.wake();
                prop_assert!(!steps.contains(&RenewalStep::CreateCa));
                turned += steps.iter().filter(|step| **step == RenewalStep::PromoteNextCa).count();
            }
        }
        prop_assert!(turned >= 2, "{turned} turn-overs");
    }

    /// Away for months at a time: once awake, what is served is trusted by what is published, and
    /// the next waking changes nothing.
    #[test]
    fn years_of_long_absences(sleeps in proptest::collection::vec(60u64..500 * 24 * 3600, 60)) {
        let mut world = SimulatedDaemon::new(RenewalPolicy::default());
        for seconds in sleeps {
            world.sleep(Duration::from_secs(seconds));
            world.wake();
            prop_assert!(world.trusted_with(&world.state.bundle(), world.now));
            prop_assert!(world.bundle_at(world.now) == Some(&world.state.bundle()));
            prop_assert_eq!(world.wake(), []);
        }
    }

    /// A clock that jumps, also backwards, by up to fifteen months.
    #[test]
    fn a_clock_that_jumps(jumps in proptest::collection::vec(-40_000_000i64..40_000_000, 60)) {
        let policy = RenewalPolicy::new(600 * DAY, 30 * DAY, 100 * DAY).unwrap();
        let mut world = SimulatedDaemon::new(policy);
        for seconds in jumps {
            let distance = Duration::from_secs(seconds.unsigned_abs());
            world.now = if seconds < 0 { world.now - distance } else { world.now + distance };
            world.wake();
            prop_assert!(world.trusted_with(&world.state.bundle(), world.now));
            prop_assert_eq!(world.wake(), []);
        }
    }
}
