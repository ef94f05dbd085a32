//! The server is away for hours, the agent stands still for hours, and what both trust changes.
//!
//! Hours pass in paused time, which advances whenever nothing else happens.

use std::time::Duration;

use contract::Redacted;
use contract::stream::{AgentMessage, ServerMessage};
use tokio::time::{Instant, advance, pause, resume, sleep, timeout};

use crate::pod::{Agent, Pod, applied};
use crate::server::{Server, Session, TestCa, snapshot};

const HOUR: Duration = Duration::from_secs(3600);

/// An agent with the files of generation 1.
struct RunningPod {
    ca: TestCa,
    pod: Pod,
    server: Server,
    session: Session,
    _agent: Agent,
}

impl RunningPod {
    async fn start() -> Self {
        let (ca, pod) = (TestCa::new(), Pod::new());
        let server = Server::start(&ca).await;
        let agent = pod.start(server.address(), &ca.pem, "none");
        let (mut session, _) = server.session().await;
        session.send(&snapshot(1, &[("A", b"1")])).await;
        assert_eq!(applied(&session.receive().await).0, 1);
        Self { ca, pod, server, session, _agent: agent }
    }

    fn shows(&self, value: &[u8]) {
        assert_eq!(self.pod.file("A").as_deref(), Some(value));
    }

    /// The agent comes back with generation 1, and gets generation 2.
    async fn comes_back(&self) {
        self.shows(b"1");
        let (mut session, holds) = self.server.session().await;
        assert_eq!(holds, [1]);
        session.send(&snapshot(2, &[("A", b"2")])).await;
        assert_eq!(applied(&session.receive().await).0, 2);
        self.shows(b"2");
    }
}

#[tokio::test]
async fn a_server_that_is_away_for_hours_is_tried_at_random_times() {
    let it = RunningPod::start().await;
    pause();
    drop(it.session);
    let mut attempts = Vec::new();
    let end = Instant::now() + 3 * HOUR;
    // It accepts connections and closes them, as a proxy without a server behind it does.
    while Instant::now() < end {
        let Ok(_) = timeout(Duration::from_secs(60), it.server.accept()).await else {
            panic!("no attempt within a minute")
        };
        attempts.push(Instant::now());
    }
    resume();
    // Each wait is between nothing and ten seconds: five on average.
    let waits: Vec<f64> =
        attempts.windows(2).skip(10).map(|it| (it[1] - it[0]).as_secs_f64()).collect();
    let share = |from: f64, to: f64| {
        let within = waits.iter().filter(|it| (from..to).contains(*it)).count();
        within as f64 / waits.len() as f64
    };
    assert!((1700..2700).contains(&waits.len()), "{} attempts", waits.len());
    for fifth in 0..5 {
        let from = 2.0 * f64::from(fifth);
        let share = share(from, from + 2.0);
        assert!((0.15..0.25).contains(&share), "{share} of the waits are {from} s and more");
    }
    let (_session, holds) = it.server.session().await;
    assert_eq!(holds, [1]);
    assert_eq!(it.pod.file("A").as_deref(), Some(&b"1"[..]));
}

#[tokio::test]
async fn a_server_that_does_not_exist_for_hours_is_found_when_it_is_back() {
    let RunningPod { ca, pod, server, session, _agent } = RunningPod::start().await;
    let address = server.address();
    drop((session, server));
    pause();
    sleep(3 * HOUR).await;
    resume();
    let server = Server::at(address, &ca).await;
    let (mut session, holds) = server.session().await;
    assert_eq!(holds, [1]);
    session.send(&snapshot(2, &[("A", b"2")])).await;
    assert_eq!(applied(&session.receive().await).0, 2);
    assert_eq!(pod.file("A").as_deref(), Some(&b"2"[..]));
}

/// As for a process that was stopped, all of it passes in one step.
#[tokio::test]
async fn an_agent_that_stood_still_for_two_hours_goes_on() {
    let mut it = RunningPod::start().await;
    pause();
    advance(2 * HOUR).await;
    resume();
    // The stream was silent for too long.
    let closed = async { while it.session.try_receive().await.is_some() {} };
    timeout(Duration::from_secs(30), closed).await.unwrap();
    it.comes_back().await;
}

#[tokio::test]
async fn a_token_that_is_missing_for_a_while_is_waited_for() {
    let it = RunningPod::start().await;
    it.pod.remove_token();
    drop(it.session);
    let server = it.server;
    // Nothing is sent without one.
    let login = timeout(Duration::from_secs(5), server.accept()).await;
    assert!(login.is_err(), "a connection without a token");
    it.pod.write_token("token-2");
    server.soon().await;
    let login = server.login().await;
    assert!(login.has_header("authorization: Bearer token-2"), "{}", login.head);
    // One that has expired is refused, and the next one is not.
    login.refuse("401 Unauthorized", r#"{"title":"token expired"}"#).await;
    it.pod.write_token("token-3");
    server.soon().await;
    let login = server.login().await;
    assert!(login.has_header("authorization: Bearer token-3"), "{}", login.head);
    let mut session = login.open().await;
    let AgentMessage::Hello { holds, .. } = session.receive().await else { panic!("no hello") };
    assert_eq!(holds[0].generation.0, 1);
    // While the stream is open, it may be missing, too.
    it.pod.remove_token();
    session.send(&ServerMessage::Ping).await;
    assert_eq!(session.receive().await, AgentMessage::Pong);
    it.pod.write_token("token-4");
    session.send(&ServerMessage::Ping).await;
    let token = Redacted::from("token-4".to_owned());
    assert_eq!(session.receive().await, AgentMessage::Token { token });
    assert_eq!(it.pod.file("A").as_deref(), Some(&b"1"[..]));
}

/// The new CA beside the old one, then alone: the agent follows without a restart.
#[tokio::test]
async fn a_ca_is_turned_over() {
    let (old, new, pod) = (TestCa::new(), TestCa::new(), Pod::new());
    let mut server = Server::start(&old).await;
    let _agent = pod.start(server.address(), &old.pem, "none");
    server.soon().await;
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"1")])).await;
    session.receive().await;
    session.send(&ServerMessage::Trust { ca: format!("{}{}", old.pem, new.pem) }).await;
    session.send(&ServerMessage::Ping).await;
    assert_eq!(session.receive().await, AgentMessage::Pong);
    drop(session);
    // While both are trusted, replicas with either certificate are served.
    for ca in [&old, &new] {
        server.certify(ca, None);
        server.soon().await;
        let (session, holds) = server.session().await;
        assert_eq!(holds, [1]);
        drop(session);
    }
    server.soon().await;
    let (mut session, _) = server.session().await;
    session.send(&ServerMessage::Trust { ca: new.pem.clone() }).await;
    session.send(&ServerMessage::Ping).await;
    assert_eq!(session.receive().await, AgentMessage::Pong);
    drop(session);
    server.certify(&old, None);
    server.soon().await;
    server.rejected_login().await;
    server.certify(&new, None);
    server.soon().await;
    let (_session, holds) = server.session().await;
    assert_eq!(holds, [1]);
}

/// For an agent whose clock is ten minutes behind or ahead, a certificate is not valid yet or any
/// more. It waits, and goes on once the certificate covers its time.
#[tokio::test]
async fn a_certificate_that_is_not_valid_by_the_agents_clock_is_refused_until_it_is() {
    let mut it = RunningPod::start().await;
    drop(it.session);
    for validity in [(600, 4000), (-4000, -600)] {
        it.server.certify(&it.ca, Some(validity));
        it.server.soon().await;
        it.server.rejected_login().await;
        assert_eq!(it.pod.file("A").as_deref(), Some(&b"1"[..]));
    }
    it.server.certify(&it.ca, Some((-600, 600)));
    it.server.soon().await;
    let (_session, holds) = it.server.session().await;
    assert_eq!(holds, [1]);
}
