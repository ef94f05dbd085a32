//! What is left of destroyed values in the database's files.

use contract::Version;
use contract::api::Destroyed;
use http::Method;

use crate::harness::{Harness, until};

const A: &str = "/v1/secrets/shop.prod.api/A";

async fn destroy(harness: &Harness, versions: &[u64]) -> Destroyed {
    let body = serde_json::json!({ "versions": versions }).to_string();
    let answer = harness.done(Method::POST, &format!("{A}/destroy"), body.as_bytes()).await;
    serde_json::from_slice(&answer).unwrap()
}

/// The wrapped key of a version, as its row has it.
fn wrapped_key(harness: &Harness, version: u64) -> Vec<u8> {
    let sql = "SELECT wrapped_key FROM lockbox_values WHERE name = 'A' AND version = ?1";
    let version = i64::try_from(version).unwrap();
    harness.database().query_row(sql, (version,), |row| row.get(0)).unwrap()
}

fn is_in_files(harness: &Harness, bytes: &[u8]) -> bool {
    ["switchyard.db", "switchyard.db-wal"].iter().any(|file| {
        let content = std::fs::read(harness.directory.join("data").join(file)).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// While somebody copies the database, the files keep what was destroyed, and the answer says so.
/// Writes go on, and the traces go as soon as the reader is done.
#[tokio::test(flavor = "multi_thread")]
async fn destroyed_is_said_when_nothing_is_left() {
    let harness = Harness::start().await;
    for value in ["one", "two", "three"] {
        harness.set("shop.prod.api", &[("A", value.as_bytes())]).await;
    }
    let (first, second) = (wrapped_key(&harness, 1), wrapped_key(&harness, 2));
    let answer = destroy(&harness, &[1]).await;
    assert!(answer.pending.is_empty());
    assert!(!is_in_files(&harness, &first));

    let backup = harness.database();
    backup.execute_batch("BEGIN").unwrap();
    backup.query_row("SELECT count(*) FROM secrets", (), |row| row.get::<_, i64>(0)).unwrap();
    let answer = destroy(&harness, &[2]).await;
    assert_eq!(answer.pending, [Version(2)].into());
    assert!(is_in_files(&harness, &second));
    // It can no longer be read all the same, and the writer is not blocked.
    let path = format!("{A}?version=2");
    assert_eq!(harness.refused(Method::GET, &path, b"").await.status, 410);
    harness.set("shop.prod.api", &[("A", b"four")]).await;
    backup.execute_batch("COMMIT").unwrap();
    let answer = destroy(&harness, &[2]).await;
    assert!(answer.pending.is_empty(), "{answer:?}");
    until("the traces to go", async || !is_in_files(&harness, &second)).await;
}
