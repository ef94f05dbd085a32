//! A credential that does not work never reaches the application.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use agent::verify::Verifier;
use contract::stream::{AgentMessage, CheckOutcome, CheckStage, FailedStep, ReloadOutcome};

use crate::pod::{Agent, Pod, applied, write};
use crate::server::{Server, Session, TestCa, snapshot};

/// In place of the real program, which has tests of its own with real servers: it knows which
/// passwords are right, and whether the server can be reached.
fn login_program(directory: &tempfile::TempDir) -> PathBuf {
    let path = directory.path().join("login");
    let text = r#"#!/bin/sh
        if [ -e "$(dirname "$0")/down" ]; then
            echo '{"outcome":"unreachable","reason":"connect","detail":"db:5432 is not there"}'
        elif grep -q right; then
            echo '{"outcome":"passed","detail":"logged in",'
            echo '"sessions":{"new":2,"old":0,"is_shared":false}}'
        else
            echo '{"outcome":"refused","reason":"credential","detail":"db:5432 says no"}'
        fi
    "#;
    write(&path, text.as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A pod whose agent tries a login with the secret `URL`.
struct LoginPod {
    pod: Pod,
    /// That of the program.
    directory: tempfile::TempDir,
    session: Session,
    _server: Server,
    _agent: Agent,
}

impl LoginPod {
    async fn start() -> Self {
        let (ca, pod, directory) = (TestCa::new(), Pod::new(), tempfile::tempdir().unwrap());
        let server = Server::start(&ca).await;
        let mut config = pod.config(server.address(), &ca.pem, "none");
        config.verify = vec!["postgres=URL,timeout=1s".parse().unwrap()];
        let verifier = Verifier::new(&config).with_login_program(login_program(&directory));
        let agent = Pod::start_checked(config, verifier);
        let (session, _) = server.session().await;
        Self { pod, directory, session, _server: server, _agent: agent }
    }
}

async fn checked(session: &mut Session) -> (CheckStage, CheckOutcome, Option<bool>) {
    let message = session.receive().await;
    let AgentMessage::Checked { stage, checks, .. } = message else { panic!("{message:?}") };
    assert_eq!(checks[0].check, "postgres=URL,timeout=1s");
    (stage, checks[0].outcome, checks[0].in_use)
}

#[tokio::test]
async fn a_refused_login_keeps_the_generation_out_and_an_unknown_one_does_not() {
    let LoginPod { pod, directory, mut session, _server, _agent } = LoginPod::start().await;

    // The first generation is not tried: a pod without files never starts.
    session.send(&snapshot(1, &[("URL", b"wrong-1")])).await;
    assert_eq!(applied(&session.receive().await), (1, ReloadOutcome::NotNeeded));

    session.send(&snapshot(2, &[("URL", b"wrong-2")])).await;
    let (stage, outcome, _) = checked(&mut session).await;
    assert_eq!((stage, outcome), (CheckStage::Before, CheckOutcome::Failed));
    let message = session.receive().await;
    let AgentMessage::Failed { step, detail, .. } = message else { panic!("{message:?}") };
    assert_eq!(step, FailedStep::Check);
    assert_eq!(detail, "postgres=URL,timeout=1s: db:5432 says no");
    assert_eq!(pod.file("URL").unwrap(), b"wrong-1");

    session.send(&snapshot(3, &[("URL", b"right-3")])).await;
    assert_eq!(checked(&mut session).await.1, CheckOutcome::Passed);
    let after = checked(&mut session).await;
    assert_eq!(after, (CheckStage::After, CheckOutcome::Passed, Some(true)));
    assert_eq!(applied(&session.receive().await), (3, ReloadOutcome::NotNeeded));

    // A server that cannot be reached says nothing of the credential before the swap. After it,
    // nothing says that the new one works, so the old one comes back.
    write(&directory.path().join("down"), b"");
    session.send(&snapshot(4, &[("URL", b"right-4")])).await;
    assert_eq!(checked(&mut session).await.1, CheckOutcome::Skipped);
    assert_eq!(checked(&mut session).await.1, CheckOutcome::Failed);
    let (stage, outcome, _) = checked(&mut session).await;
    assert_eq!((stage, outcome), (CheckStage::Restored, CheckOutcome::Failed));
    assert_eq!(applied(&session.receive().await).0, 3);
    assert_eq!(pod.file("URL").unwrap(), b"right-3");
}

#[tokio::test]
async fn a_database_that_is_away_does_not_hold_up_the_other_secrets() {
    let LoginPod { pod, directory, mut session, _server, _agent } = LoginPod::start().await;
    write(&directory.path().join("down"), b"");
    for generation in 1..=2 {
        let value = generation.to_string();
        session.send(&snapshot(generation, &[("URL", b"u"), ("A", value.as_bytes())])).await;
        let applied = applied(&session.receive().await);
        assert_eq!(applied, (generation, ReloadOutcome::NotNeeded));
    }
    assert_eq!(pod.file("A").unwrap(), b"2");
}
