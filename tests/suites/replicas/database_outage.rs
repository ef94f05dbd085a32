//! A replica without its database.

use e2e::wait;

use crate::harness::{ReplicaPair, SCOPE, STEP_TIMEOUT, body, write};

#[test]
fn a_replica_without_its_database_refuses_and_recovers() {
    let pair = ReplicaPair::start();
    write(&pair.one, &[("A", "first")]);
    let mut agent = pair.agent(0, pair.two.port());
    agent.wait_for_value("A", "first").unwrap();
    let value = format!("/v1/secrets/{SCOPE}/A");
    assert_eq!(pair.two.get(&value).unwrap().0, 200);

    pair.network.set_stalled(true);
    // Each connection of the pool may have to time out by itself, and none may take longer than the
    // client waits. A refusal holds no value.
    for _ in 0..3 {
        for (status, answer) in [
            pair.two.get(&value).unwrap(),
            pair.two.post(&format!("/v1/secrets/{SCOPE}/"), &body(&[("A", "lost")])).unwrap(),
        ] {
            assert!(status >= 500 && answer["value"].is_null(), "{status}: {answer}");
            assert!(answer["type"].as_str().unwrap().starts_with("/problems/"), "{answer}");
        }
    }
    // The other replica goes on, and the pod keeps its files.
    let generation = write(&pair.one, &[("A", "second")]);
    assert_eq!(agent.value("A").unwrap(), "first");

    pair.network.set_stalled(false);
    agent.wait_for_value("A", "second").unwrap();
    assert_eq!(agent.generation(), Some(generation.to_string()));
    wait::until("the replica to answer", STEP_TIMEOUT, || {
        Ok(pair.two.get(&value).ok().filter(|(status, _)| *status == 200))
    })
    .unwrap();
    assert!(write(&pair.two, &[("A", "third")]) > generation);
    agent.wait_for_value("A", "third").unwrap();
}

#[test]
fn replicas_reconnect_to_a_restarted_database() {
    let mut pair = ReplicaPair::start();
    write(&pair.one, &[("A", "first")]);
    let (mut at_one, mut at_two) = (pair.agent(0, pair.one.port()), pair.agent(1, pair.two.port()));
    for round in 0..3 {
        pair.postgres.kill().unwrap();
        assert!(pair.one.get(&format!("/v1/secrets/{SCOPE}/A")).unwrap().0 >= 500);
        pair.postgres.run().unwrap();
        let value = format!("value-{round}");
        let path = format!("/v1/secrets/{SCOPE}/");
        wait::until("a write", STEP_TIMEOUT, || {
            Ok(pair
                .one
                .post(&path, &body(&[("A", &value)]))
                .ok()
                .filter(|(status, _)| *status == 200))
        })
        .unwrap();
        for agent in [&mut at_one, &mut at_two] {
            agent.wait_for_value("A", &value).unwrap();
        }
    }
}
