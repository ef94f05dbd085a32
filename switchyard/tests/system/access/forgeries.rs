//! Somebody writes the database while switchyard runs, and while it does not.

use contract::stream::ServerMessage;
use http::Method;

use super::{make_token, status};
use crate::agent::TestAgent;
use crate::harness::{Harness, open_database, until};

const WEB: &str = "/v1/bundles/shop.prod.web";
const ACCEPT: &str = "--accept-ledger";

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_inserted_reaches_no_pod() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("DATABASE_URL", b"postgres://api")]).await;
    harness.set("shop.prod.web", &[("A", b"one")]).await;
    assert_eq!(TestAgent::connect(&harness, "web", "web-prod", vec![]).await.values().await.0, 1);

    let insert =
        "INSERT INTO bundle_members (bundle_id, name, first_generation, secret_id, version)
        SELECT b.id, s.name, 1, s.id, 1 FROM bundles b, secrets s
        WHERE b.service = 'web' AND s.name = 'DATABASE_URL'";
    assert_eq!(harness.database().execute(insert, ()).unwrap(), 1);
    for _ in 0..3 {
        let mut agent = TestAgent::connect(&harness, "web", "web-prod", vec![]).await;
        match agent.next().await {
            None | Some(ServerMessage::Refused { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    for path in [WEB.to_owned(), format!("{WEB}/values")] {
        let refused = harness.refused(Method::GET, &path, b"").await;
        assert_eq!(refused.status, 500);
        assert!(
            refused.detail.contains("bundle shop.prod.web: its members are not"),
            "{refused:?}"
        );
    }
    // The others have theirs.
    assert_eq!(
        TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await.values().await.0,
        1
    );
    until("the event", async || !harness.events("tampered").await.is_empty()).await;
    let events = harness.events("tampered").await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(
        (&events[0]["resource_type"], &events[0]["resource_id"], &events[0]["outcome"]),
        (&"bundle".into(), &"shop.prod.web".into(), &"failed".into())
    );
    let metrics = harness.metrics().await;
    let line =
        metrics.lines().find(|it| it.starts_with("enclii_switchyard_ledger_forgeries_total"));
    assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{line:?}");

    // Without it everything goes on. A restart finds nothing new to say.
    let delete = "DELETE FROM bundle_members WHERE name = 'DATABASE_URL' AND bundle_id =
        (SELECT id FROM bundles WHERE service = 'web')";
    assert_eq!(harness.database().execute(delete, ()).unwrap(), 1);
    let mut agent = TestAgent::connect(&harness, "web", "web-prod", vec![]).await;
    assert_eq!(agent.values().await.0, 1);
    drop(agent);
    let harness = harness.restart().await;
    assert_eq!(harness.events("tampered").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_put_back_while_switchyard_was_down_is_not_taken() {
    let harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let old = make_token(&harness, "old", "owner", None).await;
    harness.database().execute_batch("CREATE TABLE kept AS SELECT * FROM api_tokens").unwrap();
    let revoked = status(&harness, &harness.token(), Method::DELETE, "/v1/tokens/old", b"").await;
    assert_eq!(revoked, 204);
    let put_back = "DELETE FROM api_tokens WHERE name = 'old';
        INSERT INTO api_tokens SELECT * FROM kept WHERE name = 'old'";
    let harness = harness
        .restart_after(&[], |directory| open_database(directory).execute_batch(put_back).unwrap())
        .await;
    // Nobody can tell which one it is, so no token counts. Pods need none.
    let owner = harness.token();
    for token in [&old, &owner] {
        assert_eq!(status(&harness, token, Method::GET, "/v1/whoami", b"").await, 503);
    }
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    assert_eq!(agent.values().await.1["A"], b"one");
    drop(agent);

    // The operator looks at the database, and says that it is right.
    let remove = "DELETE FROM api_tokens WHERE name = 'old'; DROP TABLE kept";
    let harness = harness
        .restart_after(&[ACCEPT], |directory| {
            open_database(directory).execute_batch(remove).unwrap()
        })
        .await;
    assert_eq!(status(&harness, &old, Method::GET, "/v1/whoami", b"").await, 401);
    assert_eq!(status(&harness, &owner, Method::GET, "/v1/whoami", b"").await, 200);
    let tampered = harness.events("tampered").await;
    assert!(tampered.iter().all(|it| it["resource_id"] == "api_tokens"), "{tampered:?}");
    assert_eq!((tampered.len(), harness.events("accept").await.len()), (1, 2));
    // The flag may stay: it takes over nothing that is right.
    let harness = harness.restart_with(&[ACCEPT]).await;
    assert_eq!(harness.events("accept").await.len(), 2);
    harness.set("shop.prod.api", &[("A", b"two")]).await;
    let mut agent = TestAgent::connect(&harness, "api-one", "api-prod", vec![]).await;
    assert_eq!(agent.values().await.1["A"], b"two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_lost_its_key_is_opened_by_the_operators_word_alone() {
    let mut harness = Harness::start().await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    harness.stop().await;
    // As if it were from before there was a key, with a row of somebody's own.
    let forget = "DELETE FROM settings WHERE name = 'ledger key';
        UPDATE audit_head SET digests = NULL;
        UPDATE secrets SET mac = NULL; UPDATE secret_versions SET mac = NULL;
        UPDATE bundles SET mac = NULL; UPDATE generations SET mac = NULL;
        UPDATE grants SET mac = NULL; UPDATE api_tokens SET mac = NULL;
        INSERT INTO grants (subject_kind, subject, project, environment, service, secret, access,
            created_at, created_by) VALUES ('user', 'eve', 'shop', '', '', '', 'owner', 0, 'x')";
    let directory = harness.directory.clone();
    open_database(&directory).execute_batch(forget).unwrap();
    let log = Harness::cannot_start(&directory, &[]).await;
    assert!(log.contains("it had a key and has none now") && log.contains(ACCEPT), "{log}");
    // Without the file that remembers it, the audit log does.
    std::fs::remove_file(directory.join("data/ledger-anchor.json")).unwrap();
    let log = Harness::cannot_start(&directory, &[]).await;
    assert_eq!(log.matches("it had a key and has none now").count(), 2, "{log}");

    let accepting = Harness::start_child_with(directory, &[ACCEPT.to_owned()]).await;
    let accepted = accepting.events("accept").await;
    let details = accepted.last().unwrap()["details"].as_str().unwrap();
    assert!(details.contains("1 secrets, 1 versions, 1 bundles, 1 grants, 1 tokens"), "{details}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_where_the_ledgers_key_is() {
    let harness = Harness::start().await;
    let body = crate::harness::body(&[("A", b"x")]);
    let path = "/v1/secrets/enclii-ledger/";
    let refused = harness.refused(Method::POST, path, body.expose()).await;
    assert_eq!(refused.status, 400);
    assert!(refused.detail.contains("reserved for the ledger's key"), "{refused:?}");
    assert!(harness.json("/v1/bundles").await["bundles"].as_array().unwrap().is_empty());
}
