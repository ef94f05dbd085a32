//! Integrity of the audit log: tampering is detected, checkpoints are signed, sinks and exports are
//! complete.

use std::path::Path;

use audit::{Checkpoint, Format, PublicKey, Record, Report, StartingPoint, Tampering, Verifier};
use http::Method;
use rusqlite::Connection;
use serde_json::Value;

use crate::harness::{Harness, until, write};

/// The audit log as the API returns it.
async fn records(harness: &Harness) -> Vec<Record> {
    serde_json::from_value(harness.json("/v1/audit?limit=10000").await["events"].clone()).unwrap()
}

pub(crate) fn verify(
    records: &[Record],
    checkpoints: Vec<Checkpoint>,
    keys: &[PublicKey],
) -> Report {
    let mut verifier = Verifier::new(StartingPoint::Genesis, checkpoints, keys);
    records.iter().for_each(|record| verifier.push(record));
    verifier.finish()
}

fn placed(directory: &Path) -> Vec<Checkpoint> {
    let text =
        std::fs::read_to_string(directory.join("outside/checkpoints.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Changes the database as an attacker with full access would.
fn tamper(database: &Connection, statements: &[&str]) {
    for trigger in ["audit_events_stay", "audit_events_remain"] {
        database.execute_batch(&format!("DROP TRIGGER IF EXISTS {trigger}")).unwrap();
    }
    for sql in statements {
        database.execute_batch(sql).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_tampering_in_the_database_is_detected() {
    let table: &[(&[&str], u64, Tampering)] = &[
        (
            &["UPDATE audit_events SET actor_id = 'somebody' WHERE sequence = \
            7"],
            7,
            Tampering::Edited,
        ),
        (&["UPDATE audit_events SET namespace = '' WHERE sequence = 7"], 7, Tampering::Edited),
        (&["UPDATE audit_events SET version = -1 WHERE sequence = 7"], 7, Tampering::Edited),
        (
            &["UPDATE audit_events SET at = 9223372036854775807 WHERE sequence = \
            7"],
            7,
            Tampering::Edited,
        ),
        (&["UPDATE audit_events SET hash = x'00' WHERE sequence = 7"], 7, Tampering::Edited),
        (
            &["DELETE FROM audit_events WHERE sequence IN (7, \
            8)"],
            7,
            Tampering::Deleted { until: Some(8) },
        ),
        (
            &[
                "DELETE FROM audit_events WHERE sequence = 7",
                "UPDATE audit_events SET sequence = -sequence WHERE sequence > 7",
                "UPDATE audit_events SET sequence = -sequence - 1 WHERE sequence < 0",
            ],
            7,
            Tampering::Deleted { until: Some(7) },
        ),
        (
            &[
                "UPDATE audit_events SET sequence = -7 WHERE sequence = 7",
                "UPDATE audit_events SET sequence = 7 WHERE sequence = 8",
                "UPDATE audit_events SET sequence = 8 WHERE sequence = -7",
            ],
            7,
            Tampering::Reordered,
        ),
        (
            &[
                "UPDATE audit_events SET sequence = -sequence WHERE sequence > 6",
                "UPDATE audit_events SET sequence = -sequence + 1 WHERE sequence < 0",
                "UPDATE audit_head SET sequence = sequence + 1",
                "INSERT INTO audit_events SELECT 7, at, actor_type, 'somebody', action, \
                    resource_type, resource_id, scope, version, outcome,
                     address, user_agent, trace_id, namespace, service_account, pod, pod_uid, \
                     details, zeroblob(32)
                 FROM audit_events WHERE sequence = 6",
            ],
            7,
            Tampering::Inserted,
        ),
    ];
    for (statements, sequence, kind) in table {
        let harness = Harness::start().await;
        for _ in 0..20 {
            harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
        }
        assert_eq!(verify(&records(&harness).await, vec![], &[]).finding, None);
        tamper(&harness.database(), statements);
        let finding = verify(&records(&harness).await, vec![], &[]).finding.unwrap();
        assert_eq!((finding.sequence, &finding.kind), (*sequence, kind), "{statements:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncation_and_rewriting_contradict_the_checkpoints() {
    let harness = Harness::start_prepared(|at| {
        let directory = at.join("outside").to_str().unwrap().to_owned();
        [
            "--audit-checkpoint-interval",
            "1",
            "--audit-checkpoint-events",
            "5",
            "--audit-checkpoint-directory",
            &directory,
        ]
        .map(str::to_owned)
        .into()
    })
    .await;
    for _ in 0..12 {
        harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
    }
    let signed = || placed(&harness.directory).last().map_or(0, |checkpoint| checkpoint.sequence);
    until("a checkpoint", async || signed() >= 12).await;
    let answer = harness.json("/v1/audit/checkpoints").await;
    let keys = PublicKey::all_from_pem(answer["public_key"].as_str().unwrap()).unwrap();
    let kept = placed(&harness.directory);
    let report = verify(&records(&harness).await, kept, &keys);
    assert!(report.finding.is_none() && report.signed.unwrap().0 >= 12, "{report:?}");
    until("the database to know", async || {
        let answer = harness.json("/v1/audit/checkpoints").await;
        answer["checkpoints"].as_array().unwrap().last().is_some_and(|last| {
            last["sequence"].as_u64() == Some(signed()) && last["placed_at"].is_string()
        })
    })
    .await;

    // Cut off the end and make the database look consistent.
    let database = harness.database();
    let cut = [
        "DELETE FROM audit_checkpoints",
        "DELETE FROM audit_events WHERE sequence > 6",
        "UPDATE audit_head SET sequence = 6, hash = (SELECT hash FROM audit_events WHERE sequence \
            = 6)",
    ];
    tamper(&database, &cut);
    until("the alarm", async || {
        harness.metrics().await.contains("enclii_switchyard_audit_log_broken 1")
    })
    .await;
    let kept = placed(&harness.directory);
    // Reading the log appends event 7 of another history.
    let report = verify(&records(&harness).await, kept.clone(), &keys);
    assert!(matches!(
        report.finding.unwrap().kind,
        Tampering::CutOff { .. } | Tampering::Rewritten { .. }
    ));
    for _ in 0..12 {
        harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
    }
    let report = verify(&records(&harness).await, kept.clone(), &keys);
    assert!(matches!(report.finding.unwrap().kind, Tampering::Rewritten { .. }));
    assert_eq!(placed(&harness.directory), kept, "a log that does not continue was signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_shutdown_signs_a_final_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let outside = directory.path().join("outside");
    // The next scheduled checkpoint would be tomorrow.
    let flags = [
        "--audit-checkpoint-interval",
        "86400",
        "--audit-checkpoint-directory",
        outside.to_str().unwrap(),
    ]
    .map(str::to_owned);
    let harness = Harness::start_child_with(directory.path().to_owned(), &flags).await;
    let database = harness.database();
    let head = || -> (i64, Vec<u8>) {
        let sql = "SELECT sequence, hash FROM audit_head";
        database.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    // The first checkpoint covers the events of the start itself.
    until("the first checkpoint", async || placed(directory.path()).len() == 1).await;
    for _ in 0..5 {
        harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
    }
    let keys =
        harness.json("/v1/audit/checkpoints").await["public_key"].as_str().unwrap().to_owned();
    assert_eq!(placed(directory.path()).len(), 1, "signed before shutdown");
    harness.terminate().await;
    let (sequence, hash) = head();
    let signed = placed(directory.path());
    let [_, last] = signed.as_slice() else { panic!("{signed:?}") };
    assert_eq!((last.sequence, last.hash.0.as_slice()), (sequence.unsigned_abs(), hash.as_slice()));
    assert!(last.sequence >= 5 && last.is_signed_by(&PublicKey::all_from_pem(&keys).unwrap()[0]));
    let sql = "SELECT max(sequence), max(placed_at) FROM audit_checkpoints";
    let kept: (i64, Option<i64>) =
        database.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert!(kept.0 == sequence && kept.1.is_some(), "the database does not know");

    // Nothing new, so nothing is signed.
    let harness = Harness::start_child_with(directory.path().to_owned(), &flags).await;
    harness.terminate().await;
    assert_eq!(head().0, sequence);
    assert_eq!(placed(directory.path()), signed);

    // A truncated log is not signed.
    let harness = Harness::start_child_with(directory.path().to_owned(), &flags).await;
    tamper(
        &database,
        &[
            "DELETE FROM audit_events WHERE sequence > 3",
            "UPDATE audit_head SET sequence = 3, hash = (SELECT hash FROM audit_events WHERE \
                sequence = 3)",
        ],
    );
    harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
    harness.terminate().await;
    assert_eq!(placed(directory.path()), signed, "a log that does not continue was signed");
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(log.contains("no checkpoint signed at shutdown"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_sink_gets_every_event_in_order_and_exports_match() {
    let harness = Harness::start_prepared(|at| {
        let sinks = format!(
            "sinks:\n- {{name: archive, file: {0}/archive.jsonl}}\n- {{name: away, file: \
                {0}/missing/audit}}\n",
            at.display()
        );
        write(&at.join("sinks.yaml"), &sinks);
        vec!["--audit-sinks".to_owned(), at.join("sinks.yaml").to_str().unwrap().to_owned()]
    })
    .await;
    for _ in 0..30 {
        harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
    }
    let file =
        |name: &str| std::fs::read_to_string(harness.directory.join(name)).unwrap_or_default();
    until("the file to have all", async || file("archive.jsonl").lines().count() >= 30).await;
    std::fs::rename(harness.directory.join("archive.jsonl"), harness.directory.join("archive.1"))
        .unwrap();
    harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
    until("a new file", async || file("archive.jsonl").lines().count() >= 1).await;
    let lines = file("archive.1") + &file("archive.jsonl");
    let archived: Vec<Record> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(verify(&archived, vec![], &[]).finding, None);
    assert!(!lines.contains("hunter2"));

    // An unavailable sink is reported, and gets everything once it is available.
    until("the unavailable sink to be reported", async || {
        let metrics = harness.metrics().await;
        metrics.contains("enclii_switchyard_audit_export_failures_total{sink=\"away\"}")
            && metrics.contains("enclii_switchyard_audit_export_pending_events{sink=\"archive\"} 0")
    })
    .await;
    std::fs::create_dir(harness.directory.join("missing")).unwrap();
    until("what waited", async || file("missing/audit").lines().count() >= 31).await;

    for format in Format::ALL {
        let (status, headers, body) = harness
            .ask(
                Method::GET,
                &format!("/v1/audit/export?format={format}"),
                Some(&harness.token()),
                b"",
            )
            .await;
        assert_eq!(
            (status.as_u16(), headers["content-type"].to_str().unwrap()),
            (200, format.media_type())
        );
        let text = String::from_utf8(body.to_vec()).unwrap();
        let expected: String = archived.iter().map(|record| format.line(record) + "\n").collect();
        assert!(text.starts_with(&expected), "{format}");
    }
    let exports: Vec<Value> = harness.events("export").await;
    assert_eq!(exports.len(), 3);
    let (since, until) = ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
    let query = format!("scope=shop.prod&outcome=allowed&since={since}&until={until}");
    let allowed = harness.json(&format!("/v1/audit?{query}")).await;
    assert_eq!(allowed["events"].as_array().unwrap().len(), 31);
    for query in ["scope=shop.pro", "outcome=denied", "until=2020-01-01T00:00:00Z", "actor=nobody"]
    {
        assert_eq!(
            harness.json(&format!("/v1/audit?{query}")).await["events"].as_array().unwrap().len(),
            0,
            "{query}"
        );
    }
    assert_eq!(harness.refused(Method::GET, "/v1/audit?since=yesterday", b"").await.status, 400);
}
