//! Logins, and tokens that end.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Cluster, KV_POLICY, PATIENCE};

fn secret() -> Value {
    json!({"X": {"type": "kv", "mount": "secret", "path": "shop/one", "field": "x"}})
}

#[test]
fn a_service_account_without_the_role_is_denied() {
    let cluster = Cluster::start(KV_POLICY, ("1h", "1h"));
    let mut pod = cluster.pod_of("web", secret());
    pod.start();
    pod.until_it_ends();
    let log = pod.log();
    assert!(
        log.contains("get secrets: log in at auth/kubernetes/login: Vault answers 403"),
        "{log}"
    );
    assert!(log.contains("access denied, files unchanged"), "{log}");
}

#[test]
fn a_token_is_renewed_and_replaced_before_it_ends() {
    let cluster = Cluster::start(KV_POLICY, ("3s", "7s"));
    cluster.put("shop/one", json!({"x": "0"}));
    let mut pod = cluster.pod(secret());
    pod.start();
    pod.until_file("X", "0");
    let (end, mut has_renewed, mut most) = (Instant::now() + Duration::from_secs(16), false, 0);
    let mut number = 0;
    while Instant::now() < end {
        number += 1;
        cluster.put("shop/one", json!({"x": number.to_string()}));
        pod.until_file("X", &number.to_string());
        let (valid, renewed) = cluster.tokens();
        has_renewed |= renewed > 0;
        most = most.max(valid);
    }
    let logins = pod.log().matches("logged in").count();
    assert!(has_renewed && (3..=6).contains(&logins), "{logins} logins:\n{}", pod.log());
    // The last one and the one before it.
    assert!(most <= 2, "{most} tokens at once");
    assert!(!pod.log().contains("files unchanged"), "{}", pod.log());
}

#[test]
fn a_revoked_token_is_replaced_and_the_last_one_revoked_at_the_end() {
    let cluster = Cluster::start(KV_POLICY, ("1h", "1h"));
    cluster.put("shop/one", json!({"x": "1"}));
    let mut pod = cluster.pod(secret());
    pod.source().revoke_on_shutdown = true;
    pod.start();
    pod.until_file("X", "1");
    cluster.revoke_tokens();
    e2e::wait::until("the end of the token", PATIENCE, || {
        Ok((cluster.tokens().0 == 0).then_some(()))
    })
    .unwrap();
    cluster.put("shop/one", json!({"x": "2"}));
    pod.until_file("X", "2");
    assert_eq!(cluster.tokens().0, 1);
    pod.end(Signal::TERM);
    assert_eq!(cluster.tokens().0, 0);
    assert_eq!(pod.file("X").unwrap(), "2");
    // The prefix of every token of Vault, and the pod's own.
    assert!(!pod.log().contains("hvs.") && !pod.log().contains("eyJ"), "{}", pod.log());
}

#[test]
fn an_init_container_leaves_its_files_and_its_token() {
    let cluster = Cluster::start(KV_POLICY, ("1h", "1h"));
    cluster.put("shop/one", json!({"x": "1"}));
    let mut pod = cluster.pod(secret());
    pod.source().revoke_on_shutdown = true;
    pod.run_once();
    assert_eq!(pod.file("X").unwrap(), "1");
    // What a lease gave it is for the application that comes after it.
    assert_eq!(cluster.tokens().0, 1);
}
