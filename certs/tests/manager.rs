//! A real client against a real listener, while leaf and CA turn over beneath it.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]
#![allow(dead_code, reason = "each test file uses a part of the support")]

mod support;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use certs::manager::CertManager;
use certs::renewal::RenewalStep;
use certs::store::directory::DirectoryCertStore;
use runtime::readiness::Readiness;
use runtime::tasks::Tasks;
use support::{ManualClock, PublishedBundles, ask, connect, eventually, hello, settings};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn the_leaf_is_swapped_under_the_open_listener() {
    let (home, hand, tasks) = (tempfile::tempdir().unwrap(), ManualClock::new(), Tasks::new());
    let mut manager =
        CertManager::new(DirectoryCertStore::new(home.path().join("certs")), settings(&hand));
    let (resolver, bundle) = (manager.resolver(), manager.bundle());
    let address = hello(manager.resolver(), &tasks).await;
    assert!(!resolver.is_loaded());
    assert!(connect(address, &bundle.borrow(), &hand).await.is_err());

    assert_eq!(manager.reconcile().await.unwrap(), [RenewalStep::CreateCa, RenewalStep::RenewLeaf]);
    let trusted = bundle.borrow().clone();
    let first = resolver.certificate().unwrap();
    let mut open = connect(address, &trusted, &hand).await.unwrap();
    ask(&mut open).await;

    hand.advance(5 * DAY);
    assert_eq!(manager.reconcile().await.unwrap(), [RenewalStep::RenewLeaf]);
    let second = resolver.certificate().unwrap();
    assert!(first != second);
    assert_eq!(*bundle.borrow(), trusted);
    let fresh = connect(address, &trusted, &hand).await.unwrap();
    let shown = fresh.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert_eq!(&shown, second.der());
    ask(&mut open).await;
}

#[tokio::test]
async fn a_ca_turns_over_without_one_failed_handshake() {
    let (home, hand, tasks) = (tempfile::tempdir().unwrap(), ManualClock::new(), Tasks::new());
    let settings = settings(&hand);
    let overlap = settings.policy.overlap();
    let mut manager = CertManager::new(DirectoryCertStore::new(home.path()), settings);
    let address = hello(manager.resolver(), &tasks).await;
    let (bundle, history) = (manager.bundle(), PublishedBundles::default());
    manager.reconcile().await.unwrap();
    history.note(hand.now(), &bundle.borrow());
    let mut open = connect(address, &history.at(hand.now()).unwrap(), &hand).await.unwrap();

    let mut promotions = 0;
    for round in 0..900 {
        // 20 hours: neither the leaf's nor the CA's life is a multiple of it.
        hand.advance(20 * HOUR);
        // Before the manager has looked, after it has looked; with the newest bundle and with the
        // one of an overlap ago.
        for _ in 0..2 {
            for fetched in [hand.now(), hand.now() - overlap] {
                let Some(held) = history.at(fetched) else { continue };
                let answer = connect(address, &held, &hand).await;
                answer.unwrap_or_else(|error| panic!("round {round}: {error}"));
            }
            let steps = manager.reconcile().await.unwrap();
            promotions += steps.iter().filter(|step| **step == RenewalStep::PromoteNextCa).count();
            history.note(hand.now(), &bundle.borrow());
        }
    }
    assert_eq!(promotions, 3);
    // Each turn-over publishes twice (next added, order changed) and forgets once.
    assert!(history.len() >= 6, "{}", history.len());
    ask(&mut open).await;
}

#[tokio::test]
async fn two_keepers_on_one_directory_agree() {
    let (home, hand) = (tempfile::tempdir().unwrap(), ManualClock::new());
    let manager = || CertManager::new(DirectoryCertStore::new(home.path()), settings(&hand));
    let (mut one, mut other) = (manager(), manager());
    for _ in 0..60 {
        let (a, b) = tokio::join!(one.reconcile(), other.reconcile());
        // Both did the same or one did it and the other took it; whoever was first may be behind.
        a.unwrap();
        b.unwrap();
        assert_eq!(one.reconcile().await.unwrap(), []);
        assert_eq!(other.reconcile().await.unwrap(), []);
        assert_eq!(*one.bundle().borrow(), *other.bundle().borrow());
        assert!(one.resolver().certificate() == other.resolver().certificate());
        hand.advance(9 * DAY);
    }
}

#[tokio::test]
async fn a_deleted_directory_comes_back_within_seconds() {
    let (home, hand, tasks) = (tempfile::tempdir().unwrap(), ManualClock::new(), Tasks::new());
    let path = home.path().join("certs");
    let readiness = Readiness::new();
    let gate = readiness.gate("certificate");
    let manager = CertManager::new(DirectoryCertStore::new(&path), settings(&hand)).with_gate(gate);
    let (bundle, stop) = (manager.bundle(), CancellationToken::new());
    assert_eq!(readiness.pending(), ["certificate"]);
    tasks.spawn("manager", manager.run(stop.clone()));
    eventually("certificates made", || path.join("tls.crt").exists()).await;
    eventually("ready", || readiness.is_ready()).await;
    let before = bundle.borrow().clone();

    for _ in 0..3 {
        let _ = std::fs::remove_dir_all(&path);
        eventually("certificates back", || path.join("tls.crt").exists()).await;
    }
    let stored = std::fs::read_to_string(path.join("ca.crt")).unwrap();
    assert_eq!(stored, before.as_pem(), "the same ca, not a new one");
    stop.cancel();
    assert_eq!(tasks.drain(Duration::from_secs(5)).await, Ok(()));
}

#[tokio::test]
async fn another_process_changes_and_this_one_follows() {
    let (home, hand, tasks) = (tempfile::tempdir().unwrap(), ManualClock::new(), Tasks::new());
    let manager = || CertManager::new(DirectoryCertStore::new(home.path()), settings(&hand));
    let (mut writer, follower) = (manager(), manager());
    writer.reconcile().await.unwrap();
    let resolver = follower.resolver();
    tasks.spawn("follower", follower.run(tasks.stopping()));
    eventually("follower serves", || resolver.is_loaded()).await;
    hand.advance(5 * DAY);
    writer.reconcile().await.unwrap();
    let written = writer.resolver().certificate();
    eventually("follower took it", || resolver.certificate() == written).await;
    assert_eq!(tasks.drain(Duration::from_secs(5)).await, Ok(()));
}

#[tokio::test]
async fn started_after_everything_has_expired() {
    let (home, hand, tasks) = (tempfile::tempdir().unwrap(), ManualClock::new(), Tasks::new());
    let manager = || CertManager::new(DirectoryCertStore::new(home.path()), settings(&hand));
    manager().reconcile().await.unwrap();
    hand.advance(800 * DAY);
    let mut late = manager();
    let steps = late.reconcile().await.unwrap();
    assert_eq!(steps, [RenewalStep::CreateCa, RenewalStep::RenewLeaf, RenewalStep::DropExpiredCas]);
    let address = hello(late.resolver(), &tasks).await;
    let bundle = late.bundle().borrow().clone();
    connect(address, &bundle, &hand).await.unwrap();
}
