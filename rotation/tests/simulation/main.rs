//! The judge's error rates, on simulated traffic with seeds that stand here, beside the rules of
//! Argo Rollouts and Flagger on the same numbers.
//!
//! `cargo test --release -p enclii-rotation --test simulation -- --ignored --nocapture` runs every
//! wave of the tables of `docs/adr/0034-how-a-rollout-is-judged.md` and prints them.

mod peers;
mod random;
mod run;
mod traffic;

use run::{Outcomes, simulate};
use traffic::{Bursts, Traffic};

/// Chosen before the first run, and never again.
const SEED: u64 = 0x000e_4c11_15ec_2e75;

/// Ten minutes.
const SECONDS: u32 = 600;

/// A hundred requests a second over ten pods, one in a thousand fails, twenty on one pod at once.
const BURSTY: Traffic = Traffic {
    pods: 10,
    per_second: 100.0,
    errors: 0.001,
    bursts: Bursts::AtOnce(20),
    canary_errors: None,
    canary_latency: None,
};

#[test]
fn bursts_on_one_pod_are_not_taken_for_a_bad_canary() {
    let outcomes = simulate(&BURSTY, 400, SECONDS, SEED);
    // A tenth of the run that has at most 0.5 %.
    assert!(outcomes.failed <= 1, "{} of 400", outcomes.failed);
}

#[test]
fn a_credential_that_does_not_work_is_found_in_three_seconds() {
    let broken = Traffic { canary_errors: Some(1.0), ..BURSTY };
    // A hundred requests a second over all pods, and on the canary alone. Of ten a second there may
    // be none in one.
    for (per_second, share) in [(100.0, 0.95), (1_000.0, 1.0)] {
        let outcomes = simulate(&Traffic { per_second, ..broken }, 100, 60, SEED);
        assert_eq!(outcomes.failed, 100);
        assert!(outcomes.quantile(share) <= 3, "{:?}", outcomes.seconds);
    }
}

#[test]
#[ignore = "minutes without --release: cargo test --release -p enclii-rotation -- --ignored"]
fn error_rates() {
    let mut worst = 0.0f64;
    println!("{}", Outcomes::HEADER);
    for (name, traffic) in healthy() {
        let outcomes = simulate(&traffic, 4_000, SECONDS, SEED);
        println!("{}", outcomes.row(&name));
        if traffic == BURSTY {
            worst = outcomes.upper_bound();
        }
    }
    for (name, traffic) in broken() {
        println!("{}", simulate(&traffic, 400, SECONDS, SEED).row(&name));
    }
    assert!(worst > 0.0 && worst <= 0.005, "at most 0.5 % with 95 %: {worst}");
}

fn healthy() -> Vec<(String, Traffic)> {
    let one = |name: &str, per_second, errors, bursts| {
        (name.to_owned(), Traffic { per_second, errors, bursts, ..BURSTY })
    };
    vec![
        ("bursts of 20, 100/s".to_owned(), BURSTY),
        one("bursts of 5, 100/s", 100.0, 0.001, Bursts::AtOnce(5)),
        one("bursts of 50, 1,000/s", 1_000.0, 0.001, Bursts::AtOnce(50)),
        one("a whole second, 100/s", 100.0, 0.001, Bursts::WholeSecond),
        one("a whole second, 1,000/s", 1_000.0, 0.001, Bursts::WholeSecond),
        one("20 in a row, 100/s", 100.0, 0.001, Bursts::InARow(20)),
        one("20 in a row, 1,000/s", 1_000.0, 0.001, Bursts::InARow(20)),
        one("independent, 10/s", 10.0, 0.001, Bursts::None),
        one("independent, 100/s", 100.0, 0.001, Bursts::None),
        one("independent 1 %, 100/s", 100.0, 0.01, Bursts::None),
        one("independent 1 %, 1,000/s", 1_000.0, 0.01, Bursts::None),
        (
            "bursts of 20, 100/s, with latency".to_owned(),
            Traffic { canary_latency: Some(1.0), ..BURSTY },
        ),
        ("bursts of 20, 100/s, no rest".to_owned(), Traffic { pods: 0, ..BURSTY }),
    ]
}

fn broken() -> Vec<(String, Traffic)> {
    let mut all = Vec::new();
    for (per_second, share) in
        [(1.0, 1.0), (10.0, 1.0), (100.0, 1.0), (100.0, 0.5), (100.0, 0.05), (100.0, 0.02)]
    {
        let name = format!("{} % fail, {per_second}/s", share * 100.0);
        let canary_errors = Some(share);
        all.push((name, Traffic { per_second, canary_errors, ..BURSTY }));
    }
    for factor in [2.0, 1.5, 1.2] {
        let canary_latency = Some(factor);
        all.push((format!("{factor} times as slow, 100/s"), Traffic { canary_latency, ..BURSTY }));
    }
    let busy = Traffic { per_second: 10_000.0, errors: 0.01, bursts: Bursts::None, ..BURSTY };
    let name = "100 % fail, 10,000/s, 1 % of the rest".to_owned();
    all.push((name, Traffic { canary_errors: Some(1.0), ..busy }));
    all
}
