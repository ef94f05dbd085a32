//! A data volume that is nearly full: what only costs space is refused, and operators still work.

use http::Method;

use super::token;
use crate::agent::TestAgent;
use crate::harness::{Harness, body};

#[tokio::test(flavor = "multi_thread")]
async fn the_reserve_of_the_data_volume_is_for_operators() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().to_owned();
    let harness = Harness::start_child(directory.clone()).await;
    harness.set("shop.prod.api", &[("A", b"one"), ("B", b"two")]).await;
    let readonly = token(&harness, "readonly", "readonly").await;
    harness.terminate().await;

    // 4 PiB: more than any disk has.
    let flags = ["--disk-reserve", "4294967295"].map(str::to_owned);
    let harness = Harness::start_child_with(directory.clone(), &flags).await;
    let refused = TestAgent::refused(&harness, "api-one", "bundle=api-prod").await;
    assert_eq!(refused.status, 503);
    assert!(refused.detail.contains("data volume is nearly full"), "{refused:?}");
    let write = body(&[("A", b"two")]);
    for (path, body) in [
        ("/v1/secrets/shop.prod.api/", write.expose()),
        ("/v1/secrets/shop.prod.api/A/rotate", b"{}".as_slice()),
    ] {
        let refused = harness.refused(Method::POST, path, body).await;
        assert_eq!(refused.status, 503, "{path}");
        assert!(refused.detail.contains("data volume is nearly full"), "{refused:?}");
    }
    // Refusals are only counted.
    for _ in 0..20 {
        let path = "/v1/secrets/shop.prod.api/A";
        assert_eq!(harness.ask(Method::GET, path, Some(&readonly), b"").await.0, 403);
        assert_eq!(harness.ask(Method::GET, path, Some("nonsense"), b"").await.0, 401);
    }
    assert!(harness.events("denied").await.is_empty());
    // An operator reads, deletes and revokes, with an event for each.
    harness.json("/v1/secrets/shop.prod.api/B").await;
    harness.done(Method::DELETE, "/v1/secrets/shop.prod.api/A", b"").await;
    let (status, ..) =
        harness.ask(Method::DELETE, "/v1/tokens/readonly", Some(&harness.token()), b"").await;
    assert_eq!(status, 204);
    for action in ["read", "delete", "revoke"] {
        assert_eq!(harness.events(action).await.len(), 1, "{action}");
    }
    let metrics = harness.metrics().await;
    assert!(metrics.contains("enclii_switchyard_data_volume_free_bytes"), "{metrics}");
    harness.terminate().await;
    let log = std::fs::read_to_string(directory.join("log")).unwrap();
    assert!(log.contains("the data volume is nearly full"), "{log}");

    let harness = Harness::start_child(directory).await;
    let denied = harness.events("denied").await;
    assert_eq!(denied.len(), 1, "{denied:?}");
    let details = denied[0]["details"].as_str().unwrap();
    assert!(details.starts_with("20 more refusals within "), "{details}");
    TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await.hold().await;
}
