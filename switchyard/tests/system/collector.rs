//! Audit export to an HTTPS server with client certificates: every event arrives, whatever the
//! server does.

mod server;

use std::path::Path;

use server::{Collector, CollectorBehavior};

use crate::audit_integrity::verify;
use crate::harness::{Harness, until, write};

/// The YAML of a sink with the given client certificate.
fn sink(name: &str, shows: Option<&str>, port: u16, directory: &Path) -> String {
    let at = directory.display();
    let own = shows.map_or_else(String::new, |files| {
        format!(", certificate: {at}/{files}.pem, key: {at}/{files}.key")
    });
    format!(
        "- name: {name}\n  https: {{url: 'https://127.0.0.1:{port}/{name}', ca: \
            {at}/server-ca.pem, token_file: {at}/sesame{own}}}\n"
    )
}

fn flags(sinks: &[String], directory: &Path) -> Vec<String> {
    write(&directory.join("sinks.yaml"), &format!("sinks:\n{}", sinks.concat()));
    vec!["--audit-sinks".to_owned(), directory.join("sinks.yaml").to_str().unwrap().to_owned()]
}

async fn set(harness: &Harness) {
    harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
}

/// Waits until the sink has confirmed all events so far.
async fn all_arrive(harness: &Harness, collector: &Collector, sink: &str) {
    let head = harness.json("/v1/audit/checkpoints").await["head"]["sequence"].as_u64().unwrap();
    until("all events to arrive", async || collector.confirmed(sink).len() as u64 >= head).await;
}

/// Checks that the sink received the complete audit log in order.
fn assert_complete(collector: &Collector, sink: &str) {
    let records = collector.confirmed(sink);
    let sequences: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, (1..=records.len() as u64).collect::<Vec<_>>());
    assert_eq!(verify(&records, vec![], &[]).finding, None);
    assert_eq!(collector.complaints(), [""; 0]);
}

async fn failures(harness: &Harness, sink: &str) -> bool {
    harness
        .metrics()
        .await
        .contains(&format!("enclii_switchyard_audit_export_failures_total{{sink=\"{sink}\"}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_arrives_in_order_whatever_the_server_answers() {
    let temporary = tempfile::tempdir().unwrap();
    let mut collector = Collector::new(temporary.path());
    collector.up().await;
    let harness = Harness::start_prepared(|_| {
        flags(&[sink("known", Some("known"), collector.port(), temporary.path())], temporary.path())
    })
    .await;
    let behaviors = [
        CollectorBehavior::Confirm,
        CollectorBehavior::Fail,
        CollectorBehavior::Busy,
        CollectorBehavior::ResetBeforeRead,
        CollectorBehavior::ResetAfterRead,
        CollectorBehavior::Fail,
    ];
    for behavior in behaviors {
        collector.respond_with([behavior]);
        set(&harness).await;
        set(&harness).await;
        all_arrive(&harness, &collector, "known").await;
    }
    // Several failures in a row.
    collector.respond_with([
        CollectorBehavior::ResetAfterRead,
        CollectorBehavior::Fail,
        CollectorBehavior::ResetBeforeRead,
    ]);
    set(&harness).await;
    all_arrive(&harness, &collector, "known").await;
    let met = collector.met();
    assert!(behaviors.iter().all(|behavior| met.contains(behavior)), "{met:?}");
    assert_complete(&collector, "known");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_from_an_outage_survive_a_restart() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    let mut collector = Collector::new(directory);
    collector.up().await;
    let flags = flags(&[sink("known", Some("known"), collector.port(), directory)], directory);
    let harness = Harness::start_child_with(directory.to_owned(), &flags).await;
    set(&harness).await;
    all_arrive(&harness, &collector, "known").await;

    // The server has read a batch and has not confirmed it.
    collector.respond_with([CollectorBehavior::Silent]);
    set(&harness).await;
    until("a batch to be under way", async || collector.met().contains(&CollectorBehavior::Silent))
        .await;
    harness.kill();
    collector.down().await;
    let before = collector.confirmed("known").len();

    let harness = Harness::start_child_with(directory.to_owned(), &flags).await;
    for _ in 0..5 {
        set(&harness).await;
    }
    until("the export failure to be counted", async || failures(&harness, "known").await).await;
    set(&harness).await;
    harness.end().await;
    // The server stays down for the whole life of this process.
    let harness = Harness::start_child_with(directory.to_owned(), &flags).await;
    set(&harness).await;
    until("the export failure to be counted", async || failures(&harness, "known").await).await;
    assert_eq!(collector.confirmed("known").len(), before);

    collector.up().await;
    all_arrive(&harness, &collector, "known").await;
    assert!(collector.confirmed("known").len() >= before + 8);
    assert_complete(&collector, "known");
    harness.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn sinks_without_a_valid_certificate_deliver_nothing_and_do_not_block_others() {
    let temporary = tempfile::tempdir().unwrap();
    let mut collector = Collector::new(temporary.path());
    collector.up().await;
    let sinks = [("bare", None), ("stranger", Some("stranger")), ("known", Some("known"))];
    let sinks = sinks.map(|(name, shows)| sink(name, shows, collector.port(), temporary.path()));
    let harness = Harness::start_prepared(|_| flags(&sinks, temporary.path())).await;
    for _ in 0..3 {
        set(&harness).await;
        all_arrive(&harness, &collector, "known").await;
    }
    until("the export failures to be counted", async || {
        failures(&harness, "bare").await && failures(&harness, "stranger").await
    })
    .await;
    set(&harness).await;
    all_arrive(&harness, &collector, "known").await;
    assert_complete(&collector, "known");
    until("the server to have refused both", async || collector.refused() >= 2).await;
    assert_eq!(collector.paths(), ["/known"]);
    let metrics = harness.metrics().await;
    for sink in ["bare", "stranger"] {
        let none = format!("enclii_switchyard_audit_export_pending_events{{sink=\"{sink}\"}} 0");
        assert!(metrics.contains(&none[..none.len() - 1]) && !metrics.contains(&none), "{metrics}");
        assert!(
            !metrics.contains(&format!(
                "enclii_switchyard_audit_exported_events_total{{sink=\"{sink}\"}}"
            )),
            "{metrics}"
        );
    }
    assert!(!failures(&harness, "known").await);
}
