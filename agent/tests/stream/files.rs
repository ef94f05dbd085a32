//! Snapshots become files.

use std::fs;
use std::path::Path;

use contract::stream::{AgentMessage, FailedStep, ReloadOutcome, ServerMessage};

use crate::pod::{Pod, applied};
use crate::server::{Server, TestCa, snapshot, snapshot_of};

#[tokio::test]
async fn generations_become_files_one_after_another() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let agent = pod.start(server.address(), &ca.pem, "none");
    let (mut session, holds) = server.session().await;
    assert!(holds.is_empty());
    assert!(pod.volume().join("kubernetes.io/serviceaccount").is_dir());

    for (generation, secrets) in [
        (1, &[("A", &b"one"[..]), ("E", b"")][..]),
        (2, &[("A", b"two\0\xff\n"), ("B", b"new")]),
        (5, &[("A", b"five")]),
        (2, &[("A", b"two\0\xff\n"), ("B", b"new")]),
    ] {
        session.send(&snapshot(generation, secrets)).await;
        assert_eq!(applied(&session.receive().await), (generation, ReloadOutcome::NotNeeded));
        for (name, value) in secrets {
            assert_eq!(pod.file(name).as_deref(), Some(*value));
        }
        let links = fs::read_dir(pod.volume())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|it| it.path().is_file() && !it.file_name().to_str().unwrap().starts_with(".."))
            .count();
        assert_eq!(links, secrets.len());
    }
    agent.stop().await;
    assert_eq!(pod.file("B").as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn a_snapshot_in_the_same_write_as_the_login_answer_is_not_lost() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
    let first = snapshot(1, &[("A", b"early")]).encode().unwrap();
    let mut session = server.login().await.open_with(first.expose()).await;
    assert!(matches!(session.receive().await, AgentMessage::Hello { .. }));
    assert_eq!(applied(&session.receive().await).0, 1);
    assert_eq!(pod.file("A").as_deref(), Some(&b"early"[..]));
}

#[tokio::test]
async fn the_same_content_is_not_written_again_even_after_a_restart() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let agent = pod.start(server.address(), &ca.pem, "none");
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"x")])).await;
    session.receive().await;
    session.send(&snapshot(2, &[("A", b"x")])).await;
    assert_eq!(applied(&session.receive().await), (2, ReloadOutcome::NotNeeded));
    assert_eq!(fs::read_link(pod.volume().join("..data")).unwrap(), Path::new("..1"));
    agent.stop().await;

    let _agent = pod.start(server.address(), &ca.pem, "http=http://127.0.0.1:9/");
    let (mut session, holds) = server.session().await;
    assert_eq!(holds, [1]);
    // Nothing listens on port 9: a reload would fail.
    session.send(&snapshot(2, &[("A", b"x")])).await;
    assert_eq!(applied(&session.receive().await), (2, ReloadOutcome::NotNeeded));
    assert_eq!(fs::read_link(pod.volume().join("..data")).unwrap(), Path::new("..1"));
}

#[tokio::test]
async fn an_invalid_generation_is_rejected_and_the_files_stay() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"good")])).await;
    session.receive().await;
    session.send(&snapshot_of("other-prod", 7, &[("A", b"not asked for")])).await;
    let AgentMessage::Failed { wanted, step: FailedStep::Plan, detail } = session.receive().await
    else {
        panic!()
    };
    assert_eq!((wanted[0].bundle.as_str(), wanted[0].generation.0), ("other-prod", 7));
    assert!(detail.contains("other-prod") && !detail.contains("not asked for"), "{detail}");

    // A directory in the place of a link makes the write fail, and the report names it.
    fs::create_dir(pod.volume().join("B")).unwrap();
    session.send(&snapshot(2, &[("A", b"bad"), ("B", b"bad")])).await;
    let AgentMessage::Failed { step: FailedStep::Write, detail, .. } = session.receive().await
    else {
        panic!()
    };
    assert!(detail.starts_with("link file B: "), "{detail}");
    assert_eq!(pod.file("A").as_deref(), Some(&b"good"[..]));

    fs::remove_dir(pod.volume().join("B")).unwrap();
    session.send(&snapshot(3, &[("A", b"better"), ("B", b"")])).await;
    assert_eq!(applied(&session.receive().await).0, 3);
}

#[tokio::test]
async fn a_ping_is_answered_and_an_unknown_message_is_skipped() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
    let (mut session, _) = server.session().await;
    session
        .write(contract::stream::frame::encode(br#"{"kind":"dance"}"#, &[b"body"]).expose())
        .await;
    session.send(&ServerMessage::Ping).await;
    assert_eq!(session.receive().await, AgentMessage::Pong);
}
