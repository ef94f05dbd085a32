//! The application reloads on a POST, once for each generation.

use std::fs;
use std::time::Duration;

use contract::stream::{AgentMessage, FailedStep, ReloadOutcome, ServerMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::pod::{Agent, Pod, applied};
use crate::server::{Server, Session, TestCa, snapshot, with_timeout};

/// An application that reloads on a POST.
struct ReloadEndpoint(TcpListener);

impl ReloadEndpoint {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// The value of `enclii.io/reload`.
    fn reload(&self) -> String {
        format!("http=http://{}/-/reload?x=1", self.0.local_addr().unwrap())
    }

    /// Answers the next request, and returns its head.
    async fn answer(&self, status: &str) -> String {
        with_timeout(async {
            let (mut tcp, _) = self.0.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tcp.read_u8().await.unwrap());
            }
            tcp.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .await
                .unwrap();
            String::from_utf8(head).unwrap()
        })
        .await
    }

    /// Answers the next request, if the agent does not take it back for a newer one.
    async fn try_answer(&self) -> std::io::Result<()> {
        let (mut tcp, _) = with_timeout(self.0.accept()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(with_timeout(tcp.read_u8()).await?);
        }
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
    }

    /// Asserts that no request arrives.
    async fn expect_no_request(&self) {
        assert!(timeout(Duration::from_millis(300), self.0.accept()).await.is_err());
    }
}

/// An application that has read its first generation, and its agent.
struct RunningApplication {
    pod: Pod,
    endpoint: ReloadEndpoint,
    server: Server,
    session: Session,
    agent: Agent,
}

impl RunningApplication {
    async fn start() -> Self {
        let endpoint = ReloadEndpoint::new().await;
        let reload = endpoint.reload();
        Self::start_with(endpoint, &reload).await
    }

    async fn start_with(endpoint: ReloadEndpoint, reload: &str) -> Self {
        let (ca, pod) = (TestCa::new(), Pod::new());
        let server = Server::start(&ca).await;
        let agent = pod.start(server.address(), &ca.pem, reload);
        let (mut session, _) = server.session().await;
        session.send(&snapshot(1, &[("A", b"1")])).await;
        session.receive().await;
        Self { pod, endpoint, server, session, agent }
    }
}

#[tokio::test]
async fn each_change_is_one_reload_except_the_first() {
    let (ca, pod, endpoint) = (TestCa::new(), Pod::new(), ReloadEndpoint::new().await);
    let server = Server::start(&ca).await;
    let _agent = pod.start(server.address(), &ca.pem, &endpoint.reload());
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"1")])).await;
    assert_eq!(applied(&session.receive().await), (1, ReloadOutcome::NotNeeded));
    for generation in 2..=4 {
        session.send(&snapshot(generation, &[("A", generation.to_string().as_bytes())])).await;
        let head = endpoint.answer("204 No Content").await;
        assert!(head.starts_with("POST /-/reload?x=1 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-length: 0\r\n"), "{head}");
        assert_eq!(pod.file("A").unwrap(), generation.to_string().as_bytes());
        assert_eq!(applied(&session.receive().await), (generation, ReloadOutcome::Accepted));
    }
    endpoint.expect_no_request().await;
    assert!(!pod.volume().join("..reload").exists());
}

#[tokio::test]
async fn a_reload_is_retried_until_the_application_is_ready() {
    let mut it = RunningApplication::start().await;
    it.session.send(&snapshot(2, &[("A", b"2")])).await;
    // More often than an answer that is a fault is tried again.
    for _ in 0..4 {
        it.endpoint.answer("503 Service Unavailable").await;
        it.endpoint.answer("429 Too Many Requests").await;
    }
    it.endpoint.answer("200 OK").await;
    assert_eq!(applied(&it.session.receive().await), (2, ReloadOutcome::Accepted));
}

#[tokio::test]
async fn a_slow_reload_is_one_request() {
    let mut it = RunningApplication::start().await;
    it.session.send(&snapshot(2, &[("A", b"2")])).await;
    // Longer than the five seconds after which the request was once repeated.
    let (mut tcp, _) = with_timeout(it.endpoint.0.accept()).await.unwrap();
    assert!(timeout(Duration::from_secs(6), it.endpoint.0.accept()).await.is_err());
    tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert_eq!(applied(&it.session.receive().await), (2, ReloadOutcome::Accepted));
    it.endpoint.expect_no_request().await;
}

#[tokio::test]
async fn localhost_is_reached_where_the_application_listens_on_ipv6_alone() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let reload = format!("http=http://localhost:{}/", listener.local_addr().unwrap().port());
    let mut it = RunningApplication::start_with(ReloadEndpoint(listener), &reload).await;
    it.session.send(&snapshot(2, &[("A", b"2")])).await;
    let head = it.endpoint.answer("200 OK").await;
    assert!(head.contains("\r\nhost: localhost:"), "{head}");
    assert_eq!(applied(&it.session.receive().await), (2, ReloadOutcome::Accepted));
}

#[tokio::test]
async fn a_failed_reload_is_reported_with_the_applications_answer() {
    let mut it = RunningApplication::start().await;
    it.session.send(&snapshot(2, &[("A", b"2")])).await;
    for _ in 0..5 {
        it.endpoint.answer("404 Not Found").await;
    }
    assert_eq!(applied(&it.session.receive().await), (2, ReloadOutcome::Failed));
    let AgentMessage::Failed { wanted, step: FailedStep::Reload, detail } =
        it.session.receive().await
    else {
        panic!()
    };
    assert_eq!(wanted[0].generation.0, 2);
    assert!(detail.contains("the application answered 404 Not Found"), "{detail}");
    it.endpoint.expect_no_request().await;
}

#[tokio::test]
async fn generations_in_quick_succession_share_a_reload() {
    let mut it = RunningApplication::start().await;
    it.session.send(&snapshot(2, &[("A", b"2")])).await;
    it.endpoint.answer("200 OK").await;
    assert_eq!(applied(&it.session.receive().await), (2, ReloadOutcome::Accepted));
    // Right after a reload the next one is delayed, and these three generations share it. On a slow
    // machine each may get its own reload, but never more than one.
    for generation in 3..=5 {
        it.session.send(&snapshot(generation, &[("A", generation.to_string().as_bytes())])).await;
    }
    let mut reloads = 0;
    let last = async {
        loop {
            let report = applied(&it.session.receive().await);
            if report.0 == 5 {
                return report;
            }
        }
    };
    let reload = async {
        loop {
            it.endpoint.answer("200 OK").await;
            reloads += 1;
        }
    };
    let last = tokio::select! {
        last = last => last,
        () = reload => unreachable!(),
    };
    assert_eq!(last, (5, ReloadOutcome::Accepted));
    assert!((1..=3).contains(&reloads), "{reloads}");
    assert_eq!(it.pod.file("A").as_deref(), Some(&b"5"[..]));
    it.endpoint.expect_no_request().await;
}

#[tokio::test]
async fn keys_that_change_together_are_one_reload() {
    let mut it = RunningApplication::start().await;
    let names: Vec<String> = (0..20).map(|number| format!("KEY_{number}")).collect();
    let secrets: Vec<_> = names.iter().map(|name| (name.as_str(), &b"new"[..])).collect();
    it.session.send(&snapshot(2, &secrets)).await;
    it.endpoint.answer("200 OK").await;
    assert_eq!(it.pod.file("KEY_19").as_deref(), Some(&b"new"[..]));
    assert_eq!(applied(&it.session.receive().await), (2, ReloadOutcome::Accepted));
    it.endpoint.expect_no_request().await;
}

#[tokio::test]
async fn many_generations_in_a_row_neither_multiply_the_reloads_nor_put_them_off() {
    let mut it = RunningApplication::start().await;
    let mut reloads = 0;
    let send = async {
        for generation in 2..=41 {
            let value = generation.to_string();
            it.session.send(&snapshot(generation, &[("A", value.as_bytes())])).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reload = async {
        loop {
            let _ = it.endpoint.try_answer().await;
            reloads += 1;
        }
    };
    tokio::select! {
        () = send => {}
        () = reload => unreachable!(),
    }
    // The application is told meanwhile, and at most once in an interval.
    // Without the interval it would be for each of the forty; a busy machine sees some late.
    assert!((3..25).contains(&reloads), "{reloads}");
    // The last one is told too, unless it was already.
    let last = async {
        loop {
            let report = applied(&it.session.receive().await);
            if report.0 == 41 {
                return;
            }
        }
    };
    let rest = async {
        loop {
            let _ = it.endpoint.try_answer().await;
        }
    };
    tokio::select! {
        () = last => {}
        () = rest => unreachable!(),
    }
}

/// The agent says after 30 s that nobody listens, so this takes as long.
#[tokio::test]
async fn an_application_that_is_not_up_is_told_once_it_is_and_checked_then() {
    let endpoint = ReloadEndpoint::new().await;
    let (address, reload) = (endpoint.0.local_addr().unwrap(), endpoint.reload());
    drop(endpoint);
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let mut config = pod.config(server.address(), &ca.pem, &reload);
    config.verify = vec![format!("http=http://{address}/ready").parse().unwrap()];
    let _agent = Pod::start_with(config);
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"1")])).await;
    session.receive().await;
    session.send(&snapshot(2, &[("A", b"2")])).await;
    let report = timeout(Duration::from_secs(60), session.receive_slowly()).await.unwrap();
    assert_eq!(applied(&report), (2, ReloadOutcome::Failed));
    let report = session.receive().await;
    assert!(matches!(report, AgentMessage::Failed { step: FailedStep::Reload, .. }), "{report:?}");
    // A server that says nothing for too long is taken for dead.
    session.send(&ServerMessage::Ping).await;
    assert_eq!(session.receive().await, AgentMessage::Pong);
    // The new generation stays, though a check finds nobody.
    assert_eq!(pod.file("A").as_deref(), Some(&b"2"[..]));
    let endpoint = ReloadEndpoint(TcpListener::bind(address).await.unwrap());
    assert!(endpoint.answer("200 OK").await.starts_with("POST /-/reload"));
    assert!(endpoint.answer("200 OK").await.starts_with("GET /ready"));
    let report = session.receive().await;
    assert!(matches!(report, AgentMessage::Checked { .. }), "{report:?}");
    assert_eq!(applied(&session.receive().await), (2, ReloadOutcome::Accepted));
}

#[tokio::test]
async fn an_interrupted_reload_is_repeated_at_the_next_start() {
    let (ca, pod, endpoint) = (TestCa::new(), Pod::new(), ReloadEndpoint::new().await);
    let server = Server::start(&ca).await;
    let agent = pod.start(server.address(), &ca.pem, &endpoint.reload());
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"1")])).await;
    session.receive().await;
    session.send(&snapshot(2, &[("A", b"2")])).await;
    endpoint.answer("503 Service Unavailable").await;
    agent.stop().await;
    assert!(fs::exists(pod.volume().join("..reload")).unwrap());

    let _agent = pod.start(server.address(), &ca.pem, &endpoint.reload());
    let reloads = async {
        endpoint.answer("200 OK").await;
    };
    let (((mut session, holds), first), ()) = tokio::join!(
        async {
            let (mut session, holds) = server.session().await;
            let first = session.receive().await;
            ((session, holds), first)
        },
        reloads
    );
    assert_eq!(holds, [2]);
    assert_eq!(applied(&first), (2, ReloadOutcome::Accepted));
    session.send(&snapshot(2, &[("A", b"2")])).await;
    assert_eq!(applied(&session.receive().await), (2, ReloadOutcome::NotNeeded));
    endpoint.expect_no_request().await;
}

#[tokio::test]
async fn an_undelivered_report_is_sent_on_the_next_connection() {
    let RunningApplication { pod, endpoint, server, mut session, agent: _agent } =
        RunningApplication::start().await;
    session.send(&snapshot(2, &[("A", b"2")])).await;
    endpoint.answer("503 Service Unavailable").await;
    drop(session);
    let login = server.login().await;
    endpoint.answer("200 OK").await;
    // The reload has ended while there was no stream for its report.
    with_timeout(async {
        while pod.volume().join("..reload").exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut session = login.open().await;
    let AgentMessage::Hello { holds, .. } = session.receive().await else { panic!() };
    assert_eq!(holds[0].generation.0, 2);
    assert_eq!(applied(&session.receive().await), (2, ReloadOutcome::Accepted));
}
