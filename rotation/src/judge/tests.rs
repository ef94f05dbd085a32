use contract::requests::RequestWindow;
use proptest::prelude::*;

use super::*;

const BOUNDS: [u64; 4] = [10_000, 20_000, 40_000, 80_000];

fn window(requests: u64, errors: u64, latency: &[u64]) -> RequestWindow {
    RequestWindow { at: 1, milliseconds: 1000, requests, errors, latency: latency.to_vec() }
}

fn sample(group: Group, window: &RequestWindow) -> Sample<'_> {
    let bounds: &[u64] = if window.latency.is_empty() { &[] } else { &BOUNDS };
    Sample { group, window, bounds, ready: None }
}

fn judge(baseline: Baseline) -> Judge {
    Judge::new(Budget::default(), baseline, Background::default())
}

fn observe(judge: &mut Judge, seconds: u32, canary: &RequestWindow, rest: &RequestWindow) {
    let mut second = vec![sample(Group::Canary, canary)];
    second.extend([sample(Group::Rest, rest); 9]);
    (0..seconds).for_each(|_| judge.observe(&second));
}

#[test]
fn no_data_is_no_success() {
    let mut it = judge(Baseline::Rest);
    assert_eq!(it.verdict(), Verdict::Undecided(Missing::Requests));
    it.observe(&[]);
    observe(&mut it, 600, &window(0, 0, &[]), &window(10, 0, &[]));
    assert_eq!(it.verdict(), Verdict::Undecided(Missing::Requests));
    assert_eq!(it.verdict().to_string(), "undecided: no requests were counted");
}

#[test]
fn to_pass_takes_as_many_requests_as_the_budget_asks_for() {
    let mut it = judge(Baseline::Rest);
    observe(&mut it, 29, &window(10, 0, &[]), &window(10, 0, &[]));
    assert_eq!(
        it.verdict().to_string(),
        "undecided: 0 of 290 requests failed: at most 1.03 %, 1 % allowed: too few to tell, 299 \
         are needed"
    );
    observe(&mut it, 1, &window(10, 0, &[]), &window(10, 0, &[]));
    let text = "passing: 0 of 300 requests failed: at most 0.99 %, 1 % allowed";
    assert_eq!(it.verdict().to_string(), text);
}

#[test]
fn a_canary_that_fails_is_named_with_its_numbers_and_stays_failed() {
    let mut it = judge(Baseline::Rest);
    observe(&mut it, 2, &window(10, 10, &[]), &window(10, 0, &[]));
    assert!(matches!(it.verdict(), Verdict::Undecided(Missing::Budget(_))));
    observe(&mut it, 1, &window(10, 10, &[]), &window(10, 0, &[]));
    let text = it.verdict().to_string();
    let expected = "failing: failed requests: 30 of 30 on the canary, 0 of 270 on the rest, in 3 s";
    assert!(text.starts_with(expected), "{text}");
    observe(&mut it, 600, &window(10, 0, &[]), &window(10, 5, &[]));
    assert_eq!(it.verdict().to_string(), text);
}

#[test]
fn slow_requests_fail_a_canary_though_none_of_them_failed() {
    let (fast, slow) = (window(10, 0, &[10, 0, 0, 0, 0]), window(10, 0, &[0, 0, 0, 10, 0]));
    let mut it = judge(Baseline::Rest);
    observe(&mut it, 9, &slow, &fast);
    let Verdict::Failing(failure) = it.verdict() else { panic!("{:?}", it.verdict()) };
    assert_eq!((failure.metric, failure.seconds), (Metric::Slow, 4), "one second sets the measure");
    let mut it = judge(Baseline::Rest);
    observe(&mut it, 99, &fast, &slow);
    assert!(matches!(it.verdict(), Verdict::Passing(_)), "a canary may be better");
}

#[test]
fn pods_that_are_not_ready_fail_a_canary() {
    let (some, mut it) = (window(0, 0, &[]), judge(Baseline::Rest));
    let pod = |group, ready| Sample { ready: Some(ready), ..sample(group, &some) };
    let mut second = vec![pod(Group::Canary, false)];
    second.extend([pod(Group::Rest, true); 9]);
    (0..5).for_each(|_| it.observe(&second));
    let Verdict::Failing(failure) = it.verdict() else { panic!("{:?}", it.verdict()) };
    assert_eq!((failure.metric, failure.canary.bad), (Metric::Unready, 5));
}

// Elsewhere a rollout that repairs what is broken never gets through: the comparison is with
// pods that fail anyway. And a canary that is only less broken must not pass.
#[test]
fn held_against_the_budget_a_broken_rest_is_no_excuse() {
    let (works, half, dead) = (window(10, 0, &[]), window(10, 5, &[]), window(10, 10, &[]));
    let mut it = judge(Baseline::Budget);
    observe(&mut it, 60, &works, &dead);
    assert!(matches!(it.verdict(), Verdict::Passing(_)));
    let mut it = judge(Baseline::Budget);
    observe(&mut it, 60, &half, &dead);
    let Verdict::Failing(failure) = it.verdict() else { panic!("{:?}", it.verdict()) };
    assert_eq!(failure.baseline, Baseline::Budget);
    assert!(failure.to_string().contains("held against the budget"), "{failure}");
}

// The last wave has no rest. What was usual before is not held against it.
#[test]
fn a_service_that_always_has_errors_gets_through_its_last_wave() {
    let mut first = judge(Baseline::Rest);
    observe(&mut first, 60, &window(100, 3, &[]), &window(100, 3, &[]));
    assert!(matches!(first.verdict(), Verdict::Undecided(Missing::Budget(_))));
    let all = |background, errors| {
        let mut last = Judge::new(Budget::default(), Baseline::Rest, background);
        let one = window(100, errors, &[]);
        (0..600).for_each(|_| last.observe(&[sample(Group::Canary, &one); 10]));
        last.verdict()
    };
    assert!(matches!(all(first.background(), 3), Verdict::Undecided(Missing::Budget(_))));
    assert!(matches!(all(first.background(), 20), Verdict::Failing(_)));
    assert!(matches!(all(Background::default(), 3), Verdict::Failing(_)));
}

#[test]
fn a_judge_in_a_row_goes_on_where_it_was() {
    let mut it = judge(Baseline::Rest);
    observe(&mut it, 2, &window(10, 10, &[9, 0, 0, 1, 0]), &window(10, 0, &[10, 0, 0, 0, 0]));
    let text = serde_json::to_string(&it).unwrap();
    assert!(text.len() < 2_000, "{}", text.len());
    let mut again: Judge = serde_json::from_str(&text).unwrap();
    observe(&mut again, 1, &window(10, 10, &[]), &window(10, 0, &[]));
    assert!(matches!(again.verdict(), Verdict::Failing(_)));
}

proptest! {
    #[test]
    fn whatever_pods_say_the_verdict_has_numbers(
        pods in prop::collection::vec(any::<(bool, u64, u64, u64)>(), 0..9),
        seconds in 1u32..5,
    ) {
        let windows: Vec<_> = pods
            .iter()
            .map(|(_, milliseconds, requests, errors)| RequestWindow {
                milliseconds: *milliseconds,
                ..window(*requests, *errors, &[])
            })
            .collect();
        let group = |is_canary| if is_canary { Group::Canary } else { Group::Rest };
        let second: Vec<_> =
            pods.iter().zip(&windows).map(|(pod, it)| sample(group(pod.0), it)).collect();
        let mut it = judge(Baseline::Rest);
        (0..seconds).for_each(|_| it.observe(&second));
        prop_assert!(!it.verdict().to_string().contains("NaN"));
    }
}
