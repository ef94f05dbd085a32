//! Volumes of Secrets that the agent fills, and files at other paths.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use contract::stream::{AgentMessage, FailedStep, ReloadOutcome};
use contract::{AgentConfig, SecretVolume};
use serde_json::json;

use crate::pod::{Pod, applied};
use crate::server::{Server, TestCa, snapshot};

/// A pod whose secret `KEY` is at `tls/key` in another volume, too.
pub(crate) fn with_volume(config: AgentConfig, directory: &Path) -> AgentConfig {
    let volume: SecretVolume = serde_json::from_value(json!({
        "directory": directory,
        "sources": [{ "bundle": "api-prod", "mode": "0400", "items": [
            { "secret": "KEY", "path": "tls/key" }
        ] }],
    }))
    .unwrap();
    let mut config = config;
    config.files.volumes = vec![volume];
    config
}

#[tokio::test]
async fn a_volume_changes_with_the_secrets_and_before_the_application_starts() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let certs = tempfile::tempdir().unwrap();
    let mut config = with_volume(pod.config(server.address(), &ca.pem, "none"), certs.path());
    config.files.paths = [("KEY".parse().unwrap(), "nginx/key".parse().unwrap())].into();
    let agent = Pod::start_with(config.clone());
    let (mut session, _) = server.session().await;
    let read = || fs::read_to_string(certs.path().join("tls/key")).ok();

    // A snapshot without the item's secret is refused as a whole.
    session.send(&snapshot(1, &[("OTHER", b"x")])).await;
    let AgentMessage::Failed { step, detail, .. } = session.receive().await else { panic!() };
    assert!(step == FailedStep::Plan && detail.contains("an item for KEY"), "{detail}");
    assert!(read().is_none() && pod.file("OTHER").is_none());

    session.send(&snapshot(2, &[("KEY", b"one")])).await;
    assert_eq!(applied(&session.receive().await), (2, ReloadOutcome::NotNeeded));
    assert_eq!(read().as_deref(), Some("one"));
    assert_eq!(pod.file("nginx/key").as_deref(), Some(&b"one"[..]));

    session.send(&snapshot(3, &[("KEY", b"two")])).await;
    assert_eq!(applied(&session.receive().await), (3, ReloadOutcome::NotNeeded));
    assert_eq!(read().as_deref(), Some("two"));
    assert_eq!(pod.file("nginx/key").as_deref(), Some(&b"two"[..]));
    agent.stop().await;

    // What a crash between the two swaps leaves behind: an older volume beside newer files.
    let key = certs.path().join("..3/tls/key");
    fs::remove_file(&key).unwrap();
    let _agent = Pod::start_with(config);
    let (mut session, holds) = server.session().await;
    assert_eq!(holds, [3]);
    session.send(&snapshot(3, &[("KEY", b"two")])).await;
    assert_eq!(applied(&session.receive().await), (3, ReloadOutcome::NotNeeded));
    assert_eq!(read().as_deref(), Some("two"));
}

/// A crash between the swaps leaves volumes of two generations. If the server has gone back to the
/// earlier one meanwhile, which the agent holds, it would not send it again by itself.
#[tokio::test]
async fn an_agent_with_volumes_of_two_generations_asks_for_the_current_one() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let certs = tempfile::tempdir().unwrap();
    let config = with_volume(pod.config(server.address(), &ca.pem, "none"), certs.path());
    let agent = Pod::start_with(config.clone());
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("KEY", b"one")])).await;
    assert_eq!(applied(&session.receive().await).0, 1);
    agent.stop().await;
    drop(session);

    let at = |path| certs.path().join(path);
    fs::create_dir_all(at("..2/tls")).unwrap();
    crate::pod::write(&at("..2/tls/key"), b"two");
    fs::remove_file(at("..data")).unwrap();
    symlink("..2", at("..data")).unwrap();
    let agent = Pod::start_with(config.clone());
    let (mut session, holds) = server.session().await;
    assert!(holds.is_empty(), "{holds:?}");
    session.send(&snapshot(1, &[("KEY", b"one")])).await;
    assert_eq!(applied(&session.receive().await).0, 1);
    assert_eq!(fs::read(at("tls/key")).unwrap(), b"one");
    drop(session);
    // Once is enough.
    let (_session, holds) = server.session().await;
    assert_eq!(holds, [1]);
    agent.stop().await;
}
