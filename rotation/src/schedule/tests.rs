use proptest::prelude::*;

use super::*;

const SECRET: &str = "shop.prod.api/DATABASE_URL";

fn schedule(cron: &str, zone: Option<&str>) -> Schedule {
    let (cron, zone) = (cron.to_owned(), zone.map(str::to_owned));
    Schedule::read(ScheduleText { cron, zone, window: DEFAULT_WINDOW }).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Every night at 2, with an hour's window, in which this secret's moment is known.
fn nightly() -> (Schedule, Duration) {
    let it = schedule("0 2 * * *", None);
    let of = at("2026-06-02T02:00:00Z");
    let offset = of.duration_until(it.moment(SECRET, of)).unsigned_abs();
    assert!(offset > Duration::from_secs(300) && offset < Duration::from_secs(3_300), "{offset:?}");
    (it, offset)
}

/// Looks every five minutes, and rotates when it is due. Returns when that was.
fn run(it: &Schedule, state: &mut ScheduleState, from: &str, to: &str) -> Vec<Timestamp> {
    let (mut now, end, mut rotated) = (at(from), at(to), Vec::new());
    while now < end {
        if let Status::Due { of, until } = it.status(SECRET, state, now) {
            assert!(of <= now && now < until);
            state.tried(of);
            state.rotated(now);
            rotated.push(now);
        }
        now += Duration::from_secs(300);
    }
    rotated
}

#[test]
fn a_secret_is_rotated_once_in_each_window() {
    let (it, offset) = nightly();
    let mut state = ScheduleState::new(&it, at("2026-06-01T12:00:00Z"));
    let rotated = run(&it, &mut state, "2026-06-01T12:00:00Z", "2026-06-05T12:00:00Z");
    assert_eq!(rotated.len(), 4);
    for (day, time) in (2..).zip(rotated) {
        let due = at(&format!("2026-06-0{day}T02:00:00Z")) + offset;
        let late = due.duration_until(time);
        assert!(!late.is_negative() && late.as_secs() < 300, "{time}");
    }
}

#[test]
fn secrets_are_spread_over_the_window_and_never_leave_it() {
    let it = schedule("0 2 * * *", None);
    let of = at("2026-06-02T02:00:00Z");
    let mut quarters = [0; 4];
    for number in 0..400 {
        let moment = it.moment(&format!("shop.prod.api/KEY_{number}"), of);
        let offset = of.duration_until(moment).as_secs();
        quarters[usize::try_from(offset / 900).unwrap()] += 1;
    }
    assert!(quarters.iter().all(|it| *it > 70), "{quarters:?}");
}

// Vault rotated static roles on upgrade and on restart, unasked.
#[test]
fn what_is_seen_for_the_first_time_is_not_due() {
    let (it, offset) = nightly();
    for now in ["2026-06-02T02:00:00Z", "2026-06-02T02:30:00Z", "2026-06-02T02:59:59Z"] {
        let mut state = ScheduleState::new(&it, at(now));
        let next = at("2026-06-03T02:00:00Z") + offset;
        assert_eq!(it.status(SECRET, &mut state, at(now)), Status::Waiting(next), "{now}");
    }
}

#[test]
fn a_restart_begins_nothing_and_a_missed_window_is_overdue() {
    let (it, offset) = nightly();
    let state = ScheduleState::new(&it, at("2026-06-01T12:00:00Z"));
    // What is stored is read by the next process, or by the next version, which knows more fields.
    let stored = serde_json::to_string(&state).unwrap();
    assert!(!stored.contains("tried"));
    let mut state: ScheduleState = serde_json::from_str(&stored).unwrap();
    let since = at("2026-06-02T02:00:00Z");
    let next = at("2026-06-05T02:00:00Z") + offset;
    for now in ["2026-06-04T03:00:00Z", "2026-06-04T20:00:00Z", "2026-06-05T01:59:59Z"] {
        let status = it.status(SECRET, &mut state, at(now));
        assert_eq!(status, Status::Overdue { since, next }, "{now}");
    }
    let soon = it.status(SECRET, &mut state, at("2026-06-05T02:00:30Z"));
    assert_eq!(soon, Status::Overdue { since, next }, "its moment has not come");
    let rotated = run(&it, &mut state, "2026-06-05T02:01:00Z", "2026-06-05T12:00:00Z");
    assert_eq!(rotated.len(), 1);
    let now = at("2026-06-05T12:00:00Z");
    assert!(matches!(it.status(SECRET, &mut state, now), Status::Waiting(_)));
}

#[test]
fn a_changed_schedule_counts_from_now_on() {
    let (it, _) = nightly();
    let mut state = ScheduleState::new(&it, at("2026-06-01T12:00:00Z"));
    let hourly = schedule("0 */6 * * *", None);
    let now = at("2026-06-09T06:59:00Z");
    let Status::Waiting(next) = hourly.status(SECRET, &mut state, now) else { panic!("{state:?}") };
    assert!(next > at("2026-06-09T12:00:00Z") && next < at("2026-06-09T13:00:00Z"));
    assert_eq!(state, ScheduleState::new(&hourly, now));
}

#[test]
fn a_rotation_that_failed_is_overdue_and_waits_for_the_next_window() {
    let (it, offset) = nightly();
    let mut state = ScheduleState::new(&it, at("2026-06-01T12:00:00Z"));
    let of = at("2026-06-02T02:00:00Z");
    assert!(matches!(it.status(SECRET, &mut state, of + offset), Status::Due { .. }));
    state.tried(of);
    let next = at("2026-06-03T02:00:00Z") + offset;
    let overdue = Status::Overdue { since: of, next };
    assert_eq!(it.status(SECRET, &mut state, of + offset), overdue);
    assert_eq!(it.status(SECRET, &mut state, at("2026-06-02T22:00:00Z")), overdue);
    assert!(matches!(it.status(SECRET, &mut state, next), Status::Due { .. }));
}

#[test]
fn a_person_who_rotates_in_the_window_was_there_first() {
    let (it, offset) = nightly();
    let mut state = ScheduleState::new(&it, at("2026-06-01T12:00:00Z"));
    state.rotated(at("2026-06-02T02:00:01Z"));
    let next = at("2026-06-03T02:00:00Z") + offset;
    let status = it.status(SECRET, &mut state, at("2026-06-02T02:59:00Z"));
    assert_eq!(status, Status::Waiting(next));
}

#[test]
fn a_clock_that_jumps_begins_at_most_one_rotation_and_goes_on() {
    let (it, _) = nightly();
    let start = "2026-06-01T12:00:00Z";
    // A month ahead, outside of a window: nothing, though many were missed.
    let mut state = ScheduleState::new(&it, at(start));
    assert!(run(&it, &mut state, "2026-07-01T12:00:00Z", "2026-07-01T20:00:00Z").is_empty());
    // And back again: the next night is as every night.
    let again = run(&it, &mut state, start, "2026-06-03T12:00:00Z");
    assert_eq!(again.len(), 2);
    // Ahead into a window: one, and after the way back no night is left out.
    let mut state = ScheduleState::new(&it, at(start));
    assert_eq!(run(&it, &mut state, "2026-07-01T02:00:00Z", "2026-07-01T03:00:00Z").len(), 1);
    assert_eq!(run(&it, &mut state, start, "2026-06-04T12:00:00Z").len(), 3);
    // Back by an hour in the middle of a window, after the rotation.
    let mut state = ScheduleState::new(&it, at(start));
    assert_eq!(run(&it, &mut state, start, "2026-06-02T02:59:00Z").len(), 1);
    assert!(run(&it, &mut state, "2026-06-02T02:00:00Z", "2026-06-02T02:05:00Z").is_empty());
}

#[test]
fn daylight_saving_leaves_no_night_out_and_has_none_twice() {
    let it = schedule("30 2 * * *", Some("Europe/Berlin"));
    for (name, after, expected) in [
        ("winter", "2026-03-27T12:00:00Z", "2026-03-28T01:30:00Z"),
        ("02:30 does not exist", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
        ("in the hour after the gap", "2026-03-29T01:10:00Z", "2026-03-29T01:30:00Z"),
        ("summer", "2026-03-29T12:00:00Z", "2026-03-30T00:30:00Z"),
        ("02:30 comes twice", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("and counts once", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ("also within the hour", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"),
    ] {
        assert_eq!(it.times.next_after(at(after)), Some(at(expected)), "{name}");
    }
    let mut state = ScheduleState::new(&it, at("2026-03-27T12:00:00Z"));
    let spring = run(&it, &mut state, "2026-03-27T12:00:00Z", "2026-04-01T12:00:00Z");
    assert_eq!(spring.len(), 5);
    let mut state = ScheduleState::new(&it, at("2026-10-23T12:00:00Z"));
    let autumn = run(&it, &mut state, "2026-10-23T12:00:00Z", "2026-10-28T12:00:00Z");
    assert_eq!(autumn.len(), 5);
    let utc = schedule("30 2 * * *", None);
    let next = utc.times.next_after(at("2026-03-28T12:00:00Z"));
    assert_eq!(next, Some(at("2026-03-29T02:30:00Z")), "UTC has no summer");
}

#[test]
fn what_is_no_schedule_is_refused_with_the_reason() {
    let read = |cron: &str, zone: Option<&str>, window| {
        let (cron, zone) = (cron.to_owned(), zone.map(str::to_owned));
        Schedule::read(ScheduleText { cron, zone, window }).map(drop).map_err(|it| it.to_string())
    };
    let refused = |cron: &str| read(cron, None, DEFAULT_WINDOW).unwrap_err();
    for (cron, text) in [
        ("", "must have five fields"),
        ("0 2 * *", "must have five fields"),
        ("0 2 * * * Europe/Berlin", "must have five fields"),
        ("0 25 * * *", "read schedule \"0 25 * * *\": "),
        ("* * * * *", "must leave an hour between two rotations"),
        ("0,30 2 * * *", "must leave an hour between two rotations"),
        ("0 2 30 2 *", "has no time"),
    ] {
        assert!(refused(cron).contains(text), "{}", refused(cron));
    }
    for zone in ["Europe/Nowhere", "", "/etc/passwd", "../UTC"] {
        let error = read("0 2 * * *", Some(zone), DEFAULT_WINDOW).unwrap_err();
        assert_eq!(error, format!("find time zone {zone:?}"));
    }
    for seconds in [0, 59, 7 * 86_400 + 1] {
        let error = read("0 2 * * *", None, Duration::from_secs(seconds)).unwrap_err();
        assert!(error.ends_with("must be 60s to 604800s"), "{error}");
    }
    for cron in ["0 2 * * MON", "0 */6 * * *", "0 0 L * *", "0 2 29 2 *"] {
        assert_eq!(read(cron, Some("America/New_York"), DEFAULT_WINDOW), Ok(()), "{cron}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    // While the clock is not set back by more than a window, there is never more than one rotation
    // in a window.
    #[test]
    fn no_window_has_two_rotations(steps in prop::collection::vec(-3_000i64..9_000, 1..80)) {
        let (it, _) = nightly();
        let mut now = at("2026-06-01T12:00:00Z");
        let mut state = ScheduleState::new(&it, now);
        let mut latest = None;
        for step in steps {
            now += jiff::SignedDuration::from_secs(step);
            if let Status::Due { of, .. } = it.status(SECRET, &mut state, now) {
                prop_assert!(Some(of) != latest, "{of} twice");
                latest = Some(of);
                state.tried(of);
                state.rotated(now);
            }
        }
    }

    #[test]
    fn any_text_and_any_time_have_an_answer(cron in "[0-9*/,LW# A-Z-]{0,20}", second: i64) {
        let text = ScheduleText { cron, zone: None, window: DEFAULT_WINDOW };
        if let Ok(it) = Schedule::read(text) {
            let now = Timestamp::from_second(second % 377_705_116_801).unwrap_or(Timestamp::MAX);
            let _ = it.status(SECRET, &mut ScheduleState::new(&it, now), now);
            let _ = it.times.next_after(now);
        }
    }
}
