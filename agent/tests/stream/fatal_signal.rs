//! A signal that ends the application is sent once.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use agent::verify::Verifier;
use contract::Reload;
use contract::layout::{CONTAINER_VARIABLE, POD_UID_VARIABLE};
use contract::stream::{AgentMessage, FailedStep, ReloadOutcome};

use crate::pod::{Pod, applied};
use crate::server::{Server, Session, TestCa, snapshot};

/// An application that looks as if it caught SIGHUP, and ends of it. It ends with the test, too.
struct Fragile(Child);

impl Fragile {
    fn start(pod_uid: &str) -> Self {
        let script = "trap 'exit 129' HUP; echo ready; \
                      while [ -d /proc/$PPID ]; do sleep 0.02; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        command.env(CONTAINER_VARIABLE, "app").env(POD_UID_VARIABLE, pod_uid);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn failed(session: &mut Session, generation: u64) -> String {
    assert_eq!(applied(&session.receive().await), (generation, ReloadOutcome::Failed));
    let message = session.receive().await;
    let AgentMessage::Failed { step, detail, .. } = message else { panic!("{message:?}") };
    assert_eq!(step, FailedStep::Reload);
    detail
}

#[tokio::test]
async fn a_signal_that_ended_the_application_is_not_sent_again() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let pod_uid = format!("fatal-{}", std::process::id());
    let mut config = pod.config(server.address(), &ca.pem, "none");
    config.reload = Reload::Signal { signal: "SIGHUP".parse().unwrap(), container: "app".into() };
    let start = || Pod::start_in(config.clone(), Verifier::new(&config), Some(&pod_uid));
    let agent = start();
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"1")])).await;
    assert_eq!(applied(&session.receive().await), (1, ReloadOutcome::NotNeeded));

    let mut application = Fragile::start(&pod_uid);
    session.send(&snapshot(2, &[("A", b"2")])).await;
    let detail = failed(&mut session, 2).await;
    assert!(detail.contains("ended right after it"), "{detail}");
    assert_eq!(application.0.wait().unwrap().code(), Some(129));

    // Kubelet starts the container again, and the agent may start again too.
    let mut application = Fragile::start(&pod_uid);
    agent.stop().await;
    let _agent = start();
    let (mut session, _) = server.session().await;
    session.send(&snapshot(3, &[("A", b"3")])).await;
    let detail = failed(&mut session, 3).await;
    assert!(detail.contains("an earlier one ended the application"), "{detail}");
    assert!(application.0.try_wait().unwrap().is_none());
    assert_eq!(pod.file("A").unwrap(), b"3");
}
