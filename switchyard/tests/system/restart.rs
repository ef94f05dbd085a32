//! State that survives a restart.

use std::os::unix::fs::PermissionsExt as _;

use contract::api::SecretValue;
use http::Method;

use crate::agent::{TestAgent, held};
use crate::harness::Harness;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_all_data() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one"), ("B", b"\0\n")]).await;
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    let (token, events) = (harness.token(), harness.json("/v1/audit?limit=1000").await);
    let ca = std::fs::read(harness.directory.join("trust/ca.crt")).unwrap();

    let harness = harness.restart().await;
    assert_eq!(harness.token(), token);
    assert_eq!(std::fs::read(harness.directory.join("trust/ca.crt")).unwrap(), ca);
    let (before, after) =
        (events["events"].as_array().unwrap(), harness.json("/v1/audit?limit=1000").await);
    // The only new event is the listing itself.
    let after = after["events"].as_array().unwrap();
    assert_eq!((&after[..before.len()], after.len()), (before.as_slice(), before.len() + 1));
    assert_eq!(after[before.len()]["action"], "list");
    let read: SecretValue = serde_json::from_slice(
        &harness.done(Method::GET, "/v1/secrets/shop.prod.api/B", b"").await,
    )
    .unwrap();
    assert_eq!(read.value.expose(), b"\0\n");
    let mut agent =
        TestAgent::connect(&harness, "api-one", "api-prod", vec![held("api-prod", 1)]).await;
    let (generation, values) = agent.values().await;
    assert_eq!((generation, values["A"].as_slice()), (2, b"two".as_slice()));
    harness.set("shop.prod.api", &[("A", b"three")]).await;
    assert_eq!(agent.values().await.0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_on_disk_are_private_and_contain_no_plain_values() {
    let mut harness = Harness::start().await;
    let value = b"a value that is like no other";
    harness.set("shop.prod.api", &[("A", value)]).await;
    harness.done(Method::GET, "/v1/secrets/shop.prod.api/A", b"").await;
    let token = harness.token();
    harness.stop().await;
    let data = harness.directory.join("data");
    let mode =
        |name: &str| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("key"), mode("bootstrap-token"), mode("")), (0o600, 0o600, 0o700));
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!has(value), "{} holds the value", path.display());
        assert!(
            path.ends_with("bootstrap-token") || !has(token.as_bytes()),
            "{} holds the token",
            path.display()
        );
    }
}
