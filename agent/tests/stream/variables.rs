//! Secrets that kubelet reads as variables.

use std::fs;

use contract::stream::{AgentMessage, FailedStep, ReloadOutcome};

use crate::pod::{Pod, applied};
use crate::server::{Server, TestCa, snapshot};

/// What kubelet reads for the variable.
fn variable(pod: &Pod, name: &str) -> Option<String> {
    fs::read_to_string(pod.volume().join(".env").join(name)).ok()
}

fn failed(message: &AgentMessage) -> (FailedStep, &str) {
    let AgentMessage::Failed { step, detail, .. } = message else { panic!("{message:?}") };
    (*step, detail)
}

#[tokio::test]
async fn variables_have_files_and_a_new_value_is_said_not_to_reach_the_application() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let mut config = pod.config(server.address(), &ca.pem, "none");
    config.files.env = vec!["A".parse().unwrap()];
    let agent = Pod::start_with(config.clone());
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"one"), ("B", b"it's")])).await;
    assert_eq!(applied(&session.receive().await), (1, ReloadOutcome::NotNeeded));
    assert_eq!(variable(&pod, "A").as_deref(), Some("A='one'\n"));
    assert_eq!(variable(&pod, "B"), None);

    // Another secret changes: the variables are what they were.
    session.send(&snapshot(2, &[("A", b"one"), ("B", b"x")])).await;
    assert_eq!(applied(&session.receive().await), (2, ReloadOutcome::NotNeeded));

    session.send(&snapshot(3, &[("A", b"two"), ("B", b"x")])).await;
    assert_eq!(applied(&session.receive().await), (3, ReloadOutcome::Failed));
    let report = session.receive().await;
    let (step, detail) = failed(&report);
    assert!(step == FailedStep::Reload && detail.contains("variables A keep"), "{detail}");
    assert_eq!(variable(&pod, "A").as_deref(), Some("A='two'\n"));
    agent.stop().await;

    // A restarted agent adopts them.
    let _agent = Pod::start_with(config);
    let (_session, holds) = server.session().await;
    assert_eq!(holds, [3]);
    assert_eq!(variable(&pod, "A").as_deref(), Some("A='two'\n"));
}

#[tokio::test]
async fn a_value_that_cannot_be_a_variable_changes_nothing_and_is_named() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let mut config = pod.config(server.address(), &ca.pem, "none");
    config.files.env = vec!["A".parse().unwrap()];
    let _agent = Pod::start_with(config);
    let (mut session, _) = server.session().await;
    for (generation, secrets, expected) in [
        (1, &[("A", &b"it's"[..])][..], "A has a single quote; change the value, or annotate"),
        (2, &[("B", b"x")], "A is in none of the pod's bundles"),
    ] {
        session.send(&snapshot(generation, secrets)).await;
        let report = session.receive().await;
        let (step, detail) = failed(&report);
        assert!(step == FailedStep::Plan && detail.contains(expected), "{detail}");
        assert!(!pod.volume().join("..data").exists());
    }
    session.send(&snapshot(3, &[("A", b"good")])).await;
    assert_eq!(applied(&session.receive().await), (3, ReloadOutcome::NotNeeded));
    session.send(&snapshot(4, &[("A", b"bad'")])).await;
    assert_eq!(failed(&session.receive().await).0, FailedStep::Plan);
    assert_eq!(variable(&pod, "A").as_deref(), Some("A='good'\n"));
    assert_eq!(pod.file("A").as_deref(), Some(&b"good"[..]));
}
