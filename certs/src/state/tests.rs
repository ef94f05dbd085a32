use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn names() -> SubjectAltNames {
    SubjectAltNames::parse(["webhook.svc"]).unwrap()
}

fn advance(state: &State, now: SystemTime) -> (State, Vec<RenewalStep>) {
    state.advance("test", &names(), now, &RenewalPolicy::default()).unwrap()
}

fn without(files: &CertFiles, name: &str) -> CertFiles {
    let mut files = files.clone();
    files.0.remove(name);
    files
}

#[test]
fn from_nothing_to_serving_and_back_through_files() {
    let (state, steps) = advance(&State::default(), now());
    assert_eq!(steps, [RenewalStep::CreateCa, RenewalStep::RenewLeaf]);
    let (read, problems) = State::from_files(&state.to_files());
    assert_eq!(problems, []);
    assert!(read.to_files() == state.to_files());
    assert_eq!(advance(&read, now()).1, []);
}

#[test]
fn a_turn_over_survives_files_at_each_stage() {
    let policy = RenewalPolicy::default();
    let (start, _) = advance(&State::default(), now());
    let publish = now() + policy.ca_lifetime() * 2 / 3;
    let (published, steps) = advance(&start, publish);
    assert_eq!(steps, [RenewalStep::PublishNextCa, RenewalStep::RenewLeaf]);
    assert_eq!(published.bundle().certificates().len(), 2);

    let (read, _) = State::from_files(&published.to_files());
    assert_eq!(read.bundle(), published.bundle());
    let (promoted, steps) = advance(&read, publish + policy.overlap());
    assert_eq!(steps, [RenewalStep::PromoteNextCa, RenewalStep::RenewLeaf]);
    assert_eq!(promoted.bundle().certificates().len(), 2);

    let (read, _) = State::from_files(&promoted.to_files());
    let (forgot, steps) = advance(&read, now() + policy.ca_lifetime());
    assert!(steps.contains(&RenewalStep::DropExpiredCas), "{steps:?}");
    assert_eq!(forgot.bundle().certificates().len(), 1);
}

#[test]
fn each_lost_or_broken_part_is_made_up_for() {
    let (state, _) = advance(&State::default(), now());
    let files = state.to_files();
    let table: [(&str, &[RenewalStep]); 4] = [
        (TLS_CERT, &[RenewalStep::RenewLeaf]),
        (TLS_KEY, &[RenewalStep::RenewLeaf]),
        (CA_KEY, &[RenewalStep::CreateCa, RenewalStep::RenewLeaf]),
        (CA_CERT, &[RenewalStep::CreateCa, RenewalStep::RenewLeaf]),
    ];
    for (name, expected) in table {
        let mut broken = files.clone();
        broken.insert(name, Zeroizing::new(b"junk".to_vec()));
        for damaged in [broken, without(&files, name)] {
            let (read, problems) = State::from_files(&damaged);
            assert_eq!(problems.len(), 1, "{name}");
            assert_eq!(problems[0].file, name);
            assert_eq!(advance(&read, now()).1, expected, "{name}");
        }
    }
}

#[test]
fn an_authority_without_its_key_stays_trusted() {
    let (state, _) = advance(&State::default(), now());
    let (read, _) = State::from_files(&without(&state.to_files(), CA_KEY));
    let (anew, _) = advance(&read, now());
    let bundle = anew.bundle().certificates();
    assert_eq!(bundle.len(), 2);
    assert_eq!(bundle[1], state.bundle().certificates()[0]);
}

#[test]
fn other_names_make_another_leaf() {
    let (state, _) = advance(&State::default(), now());
    let more = names().and(SubjectAltNames::parse(["10.0.0.1"]).unwrap());
    let (renewed, steps) = state.advance("test", &more, now(), &RenewalPolicy::default()).unwrap();
    assert_eq!(steps, [RenewalStep::RenewLeaf]);
    assert_eq!(renewed.leaf().unwrap().certificate().names(), Some(&more));
}

#[test]
fn debug_shows_no_key() {
    let (state, _) = advance(&State::default(), now());
    let files = state.to_files();
    assert_eq!(format!("{files:?}"), r#"{"ca.crt", "ca.key", "tls.crt", "tls.key"}"#);
    let key = String::from_utf8(files.content(TLS_KEY).unwrap().to_vec()).unwrap();
    let line = key.lines().nth(1).unwrap();
    assert!(!format!("{state:?}").contains(line));
}
