//! Vault sealed, and away.

use serde_json::json;

use crate::harness::{Cluster, KV_POLICY};

#[test]
fn a_vault_that_is_sealed_or_gone_changes_nothing_and_is_used_when_it_is_back() {
    let mut cluster = Cluster::start(KV_POLICY, ("1h", "1h"));
    cluster.put("shop/one", json!({"x": "1"}));
    let secret = json!({"X": {"type": "kv", "mount": "secret", "path": "shop/one", "field": "x"}});
    let mut pod = cluster.pod(secret.clone());
    pod.start();
    pod.until_file("X", "1");

    cluster.vault.seal().unwrap();
    pod.until_logged("Vault answers 503");
    // A pod that starts now waits for it instead of ending.
    let mut late = cluster.pod(secret);
    late.start();
    late.until_logged("Vault answers 503");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(pod.file("X").unwrap(), "1");
    cluster.vault.unseal().unwrap();
    cluster.put("shop/one", json!({"x": "2"}));
    pod.until_file("X", "2");
    late.until_file("X", "2");

    cluster.vault.kill().unwrap();
    pod.until_logged("connect to Vault");
    cluster.vault.run().unwrap();
    cluster.put("shop/one", json!({"x": "3"}));
    pod.until_file("X", "3");
    // The same token throughout, and one line for each outage.
    assert_eq!(cluster.tokens().0, 2);
    assert_eq!(pod.log().matches("logged in").count(), 1, "{}", pod.log());
    assert!(pod.log().matches("not connected").count() <= 6, "{}", pod.log());
}
