//! A database that is put back, with the real programs: what was there before is not taken for what
//! is there now, although the numbers are the same.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::agent::Agent;
use e2e::loopback::{Identity, NamespaceScope, write_identities};
use e2e::switchyard::Switchyard;
use serde_json::{Value, json};

const TOKEN: &str = "pod-1";

fn identities(directory: &Path, project: &str) {
    let places = [NamespaceScope { namespace: "shop-prod", project, environment: "prod" }];
    let pod = Identity {
        namespace: "shop-prod".to_owned(),
        service_account: "api".to_owned(),
        pod: "api-1".to_owned(),
        uid: "1".to_owned(),
        token: TOKEN.to_owned(),
    };
    write_identities(directory, &places, &[pod]).unwrap();
}

/// Writes the secret `A` of a scope. Returns the generation.
fn write(at: &Switchyard, scope: &str, value: &str) -> u64 {
    let body = json!({"secrets": {"A": {"value": STANDARD.encode(value)}}});
    let (status, answer) = at.post(&format!("/v1/secrets/{scope}/"), &body).unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["bundles"][0]["generation"].as_u64().unwrap()
}

fn restores(at: &Switchyard) -> Vec<Value> {
    let (status, events) = at.get("/v1/audit?limit=1000&action=restore").unwrap();
    assert_eq!(status, 200);
    events["events"].as_array().unwrap().clone()
}

#[test]
fn an_agent_gets_the_value_that_has_the_number_of_its_own_since_a_restore() {
    let directory = tempfile::tempdir().unwrap();
    identities(directory.path(), "shop");
    let database = directory.path().join("data/switchyard.db");
    let backup = directory.path().join("backup.db");
    let mut switchyard = Switchyard::new(directory.path(), "one", &[]).unwrap();
    switchyard.run().unwrap();
    assert_eq!(write(&switchyard, "shop.prod.api", "one"), 1);
    switchyard.stop().unwrap();
    fs::copy(&database, &backup).unwrap();

    switchyard.run().unwrap();
    let mut agent = Agent::start(&switchyard.ca(), TOKEN, "api-prod", switchyard.port()).unwrap();
    agent.wait_for_value("A", "one").unwrap();
    assert_eq!(write(&switchyard, "shop.prod.api", "two"), 2);
    agent.wait_for_value("A", "two").unwrap();
    assert_eq!(restores(&switchyard), Vec::<Value>::new());
    agent.stop();
    switchyard.stop().unwrap();

    fs::copy(&backup, &database).unwrap();
    switchyard.run().unwrap();
    assert_eq!(write(&switchyard, "shop.prod.api", "three"), 2);
    agent.run().unwrap();
    agent.wait_for_value("A", "three").unwrap();
    let restores_found = restores(&switchyard);
    assert_eq!(restores_found.len(), 1, "{restores_found:?}");
    let details = restores_found[0]["details"].as_str().unwrap();
    assert!(details.starts_with("the audit log does not continue from event "), "{details}");

    // Once: the next start finds what this one left.
    switchyard.stop().unwrap();
    switchyard.run().unwrap();
    assert_eq!(restores(&switchyard).len(), 1);
}

#[test]
fn another_database_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    identities(directory.path(), "shop");
    let mut switchyard = Switchyard::new(directory.path(), "one", &[]).unwrap();
    switchyard.run().unwrap();
    write(&switchyard, "shop.prod.api", "one");
    switchyard.stop().unwrap();
    fs::remove_file(directory.path().join("data/switchyard.db")).unwrap();
    // The new database has no token yet.
    fs::remove_file(directory.path().join("bootstrap-token")).unwrap();
    // Nothing shows that its rows are right, so a person has to say that.
    let refused = format!("{:#}", switchyard.run().unwrap_err());
    assert!(refused.contains("--accept-ledger"), "{refused}");
    let accept = [("ENCLII_ACCEPT_LEDGER", "true")];
    let mut switchyard = Switchyard::new(directory.path(), "one", &accept).unwrap();
    switchyard.run().unwrap();
    let restores = restores(&switchyard);
    assert_eq!(restores.len(), 1, "{restores:?}");
    let details = restores[0]["details"].as_str().unwrap();
    assert!(details.starts_with("the database is another one than before"), "{details}");
}

#[test]
fn a_pod_of_a_namespace_that_moved_gets_the_bundle_of_the_other_project() {
    let directory = tempfile::tempdir().unwrap();
    identities(directory.path(), "shop");
    let mut switchyard = Switchyard::new(directory.path(), "one", &[]).unwrap();
    switchyard.run().unwrap();
    assert_eq!(write(&switchyard, "shop.prod.api", "shop"), 1);
    assert_eq!(write(&switchyard, "other.prod.api", "other"), 1);
    let mut agent = Agent::start(&switchyard.ca(), TOKEN, "api-prod", switchyard.port()).unwrap();
    agent.wait_for_value("A", "shop").unwrap();
    switchyard.stop().unwrap();
    identities(directory.path(), "other");
    switchyard.run().unwrap();
    agent.wait_for_value("A", "other").unwrap();
}
