//! A leader that is suspended until its lease has ended.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::wait;
use rustix::process::Signal;

use crate::harness::{ReplicaPair, SCOPE, STEP_TIMEOUT, body};

const SECRETS: usize = 150;

/// Longer than a lease, and longer than PostgreSQL waits for an idle transaction.
const LEASE_TIMEOUT: Duration = Duration::from_secs(120);

fn count(pair: &ReplicaPair, what: &str) -> usize {
    pair.postgres.sql("enclii", &format!("SELECT count(*) FROM {what}")).unwrap().parse().unwrap()
}

fn lease(pair: &ReplicaPair) -> String {
    pair.postgres
        .sql("enclii", "SELECT holder || ' ' || fence FROM leases WHERE name = 'sweep'")
        .unwrap()
}

#[test]
fn a_suspended_leader_changes_nothing_when_it_resumes() {
    let mut pair = ReplicaPair::stopped(&[("ENCLII_DELETE_RETENTION", "1s")]);
    pair.one.run().unwrap();
    // The first sweep is over and the next one comes in a minute, so the work is still there.
    let names: Vec<String> = (0..SECRETS).map(|number| format!("S_{number}")).collect();
    let values: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let (status, answer) = pair.one.post(&format!("/v1/secrets/{SCOPE}/"), &body(&values)).unwrap();
    assert_eq!(status, 200, "{answer}");
    let client = pair.one.client().unwrap();
    for name in &names {
        let request = client
            .delete(pair.one.url(&format!("/v1/secrets/{SCOPE}/{name}")))
            .bearer_auth(pair.one.token().unwrap());
        assert_eq!(request.send().unwrap().status().as_u16(), 200);
    }
    pair.two.run().unwrap();

    // Suspends it in the middle of its sweep.
    let destroyed = "audit_events WHERE action = 'destroy'";
    wait::until_every(Duration::from_millis(1), "the sweep", Duration::from_secs(120), || {
        Ok((count(&pair, destroyed) > 0).then_some(()))
    })
    .unwrap();
    pair.one.process().unwrap().signal(Signal::STOP).unwrap();
    let (before, swept) = (lease(&pair), count(&pair, destroyed));
    println!("the leader was stopped when it had destroyed {swept} of {SECRETS}");

    wait::until("another leader", LEASE_TIMEOUT, || Ok((lease(&pair) != before).then_some(())))
        .unwrap();
    let fence = |lease: &str| lease.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    assert!(fence(&lease(&pair)) > fence(&before), "{before}, then {}", lease(&pair));
    wait::until("the end of the sweep", STEP_TIMEOUT, || {
        Ok((count(&pair, destroyed) == SECRETS).then_some(()))
    })
    .unwrap();
    let after = lease(&pair);

    pair.one.process().unwrap().signal(Signal::CONT).unwrap();
    wait::until("the old leader to notice", LEASE_TIMEOUT, || {
        let log = pair.one.process()?.log();
        let noticed = ["lease lost", "another replica holds the lease"];
        Ok(noticed.iter().any(|text| log.contains(text)).then_some(()))
    })
    .unwrap();
    // It still serves, and nothing was done twice.
    assert_eq!(pair.one.get(&format!("/v1/secrets/{SCOPE}/")).unwrap().0, 200);
    assert_eq!(count(&pair, destroyed), SECRETS);
    assert_eq!(lease(&pair), after);
    let named = pair
        .postgres
        .sql("enclii", "SELECT resource_id FROM audit_events WHERE action = 'destroy'")
        .unwrap();
    assert_eq!(named.lines().collect::<BTreeSet<_>>(), names.iter().map(String::as_str).collect());
}

#[test]
fn another_replica_takes_the_lease_of_a_killed_leader() {
    let mut pair = ReplicaPair::stopped(&[]);
    pair.one.run().unwrap();
    wait::until("a leader", STEP_TIMEOUT, || {
        Ok(Some(lease(&pair)).filter(|lease| !lease.is_empty()))
    })
    .unwrap();
    let before = lease(&pair);
    pair.two.run().unwrap();
    pair.one.kill().unwrap();
    wait::until("another leader", LEASE_TIMEOUT, || Ok((lease(&pair) != before).then_some(())))
        .unwrap();
    // The new leader announces bundles.
    let (status, answer) =
        pair.two.post(&format!("/v1/secrets/{SCOPE}/"), &body(&[("A", "x")])).unwrap();
    assert_eq!(status, 200, "{answer}");
    let announced = pair.directory.path().join("bundles/shop-prod/api-prod.json");
    wait::until("the announcement", LEASE_TIMEOUT, || Ok(announced.exists().then_some(())))
        .unwrap();
}
