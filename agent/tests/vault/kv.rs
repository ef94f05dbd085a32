//! Entries of the KV engine: changed, deleted, put back, destroyed, forbidden.

use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Cluster, KV_POLICY, VaultPod};

/// How often an agent has written another generation.
fn generations(pod: &VaultPod) -> usize {
    pod.log().matches("files replaced").count()
}

/// Waits for the log of a generation, which follows its files.
fn until_generations(pod: &mut VaultPod, number: usize) {
    pod.until("the log of a generation", |pod| generations(pod) >= number);
    assert_eq!(generations(pod), number);
}

fn secret(path: &str, field: &str) -> Value {
    json!({"type": "kv", "mount": "secret", "path": path, "field": field})
}

#[test]
fn changes_deletions_and_their_undoing() {
    let cluster = Cluster::start(KV_POLICY, ("1h", "1h"));
    let audit = cluster.vault.enable_audit().unwrap();
    cluster.put("shop/a b", json!({"user": "canary-u1", "password": "canary-p1", "n": 17}));
    cluster.put("shop/other", json!({"x": "canary-x1"}));
    cluster.put("shop/pinned", json!({"x": "canary-old"}));
    cluster.put("shop/pinned", json!({"x": "canary-new"}));
    let mut pinned = secret("shop/pinned", "x");
    pinned["version"] = json!(1);
    let mut pod = cluster.pod(json!({
        "USER": secret("shop/a b", "user"),
        "PASSWORD": secret("shop/a b", "password"),
        "N": secret("shop/a b", "n"),
        "X": secret("shop/other", "x"),
        "OLD": pinned,
    }));
    pod.start();
    pod.until_file("X", "canary-x1");
    assert_eq!(pod.file("USER").unwrap(), "canary-u1");
    assert_eq!(pod.file("N").unwrap(), "17");
    assert_eq!(pod.file("OLD").unwrap(), "canary-old");

    // Both fields of one version change together, in one generation.
    cluster.put("shop/a b", json!({"user": "canary-u2", "password": "canary-p2", "n": 18}));
    pod.until_file("USER", "canary-u2");
    assert_eq!(pod.file("PASSWORD").unwrap(), "canary-p2");
    until_generations(&mut pod, 2);

    // A deleted version stays in the files, and others are fresh.
    let path = "secret/data/shop/a%20b";
    cluster.vault.api(Method::DELETE, path, &Value::Null).unwrap();
    pod.until_logged("read secret/shop/a b: version 2 is deleted");
    cluster.put("shop/other", json!({"x": "canary-x2"}));
    pod.until_file("X", "canary-x2");
    assert_eq!(pod.file("USER").unwrap(), "canary-u2");

    // An agent that starts now has nothing but the files to keep it from.
    until_generations(&mut pod, 3);
    pod.end(Signal::TERM);
    let before = pod.generation();
    cluster.put("shop/other", json!({"x": "canary-x3"}));
    pod.start();
    pod.until_file("X", "canary-x3");
    assert_eq!(pod.file("USER").unwrap(), "canary-u2");
    assert_ne!(pod.generation(), before);
    until_generations(&mut pod, 4);

    // Undeleted: the same version again. Then another one.
    cluster.post("secret/undelete/shop/a%20b", json!({"versions": [2]}));
    pod.until_logged("secret is available again");
    assert_eq!(pod.file("USER").unwrap(), "canary-u2");
    cluster.put("shop/a b", json!({"user": "canary-u3", "password": "canary-p3", "n": 0}));
    pod.until_file("USER", "canary-u3");

    // A version without a field that is needed does not replace a pair that fits together.
    cluster.put("shop/a b", json!({"user": "canary-u4", "n": 0}));
    pod.until_logged(r#"there is no field \"password\" in version 4"#);
    assert_eq!(pod.file("USER").unwrap(), "canary-u3");
    cluster.post("secret/destroy/shop/a%20b", json!({"versions": [4]}));
    pod.until_logged("version 4 is destroyed");

    // Restarted with the same versions, it writes nothing.
    cluster.put("shop/a b", json!({"user": "canary-u5", "password": "canary-p5", "n": 0}));
    pod.until_file("USER", "canary-u5");
    until_generations(&mut pod, 6);
    let before = pod.generation();
    pod.end(Signal::TERM);
    pod.start();
    pod.until("another login", |pod| pod.log().matches("logged in").count() == 3);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!((pod.generation(), generations(&pod)), (before, 6));

    assert!(!pod.log().contains("canary"), "{}", pod.log());
    // The data is read when it changed and not at each poll.
    let audit = std::fs::read_to_string(audit).unwrap();
    let read = |path: &str| {
        let path = format!(r#""path":"secret/{path}""#);
        let requests = audit.lines().filter(|line| line.contains(r#""type":"request""#));
        requests
            .filter(|line| line.contains(&path) && line.contains("\"operation\":\"read\""))
            .count()
    };
    let (data, metadata) = (read("data/shop/other"), read("metadata/shop/other"));
    // Three versions, and the last one again by the last agent.
    assert!(data == 4 && metadata > 2 * data, "{data} {metadata}");
}

#[test]
fn a_secret_that_is_denied_keeps_its_value_and_one_without_metadata_is_polled() {
    let cluster = Cluster::start(KV_POLICY, ("1h", "1h"));
    cluster.put("shop/one", json!({"x": "1"}));
    cluster.put("shop/two", json!({"x": "1"}));
    let mut pod =
        cluster.pod(json!({"ONE": secret("shop/one", "x"), "TWO": secret("shop/two", "x")}));
    pod.start();
    pod.until_file("TWO", "1");

    cluster.set_policy(
        r#"
        path "secret/data/shop/two" { capabilities = ["read"] }
    "#,
    );
    pod.until_logged("read secret/data/shop/one: Vault answers 403");
    pod.until_logged("the data is read at each poll");
    cluster.put("shop/one", json!({"x": "2"}));
    cluster.put("shop/two", json!({"x": "2"}));
    pod.until_file("TWO", "2");
    assert_eq!(pod.file("ONE").unwrap(), "1");
    // A policy that denies is not an invalid token: there was one login.
    assert_eq!(cluster.tokens().0, 1);

    cluster.set_policy(KV_POLICY);
    pod.until_file("ONE", "2");
    assert_eq!(cluster.tokens().0, 1);
}

#[test]
fn a_pod_without_files_ends_with_the_reason_and_leaves_no_token() {
    let cluster = Cluster::start(KV_POLICY, ("1h", "1h"));
    cluster.put("shop/one", json!({"x": "1"}));
    let mut pod = cluster.pod(json!({
        "ONE": secret("shop/one", "x"),
        "TWO": secret("shop/none", "x"),
        "THREE": {"type": "dynamic", "path": "database/creds/app", "field": "password"},
    }));
    pod.start();
    pod.until_it_ends();
    let log = pod.log();
    assert!(
        log.contains("get secrets: read secret/metadata/shop/none: Vault answers 404"),
        "{log}"
    );
    // Nothing was made that would never reach a file.
    assert!(!log.contains("database"), "{log}");
    assert_eq!((cluster.tokens().0, pod.file("ONE")), (0, None));
}
