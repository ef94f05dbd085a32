//! The application is told by a POST, once for each generation.

use std::fs;
use std::time::Duration;

use contract::stream::{AgentMessage, Outcome, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::pod::{Pod, applied};
use crate::server::{Authority, Server, hold, soon};

/// An application that is told by POST.
struct Listener(TcpListener);

impl Listener {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn reload(&self) -> String {
        format!("http=http://{}/-/reload?x=1", self.0.local_addr().unwrap())
    }

    /// Answers the next request, and returns its head.
    async fn answer(&self, status: &str) -> String {
        soon(async {
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

    /// That nobody has asked.
    async fn is_left_alone(&self) {
        assert!(timeout(Duration::from_millis(300), self.0.accept()).await.is_err());
    }
}

#[tokio::test]
async fn each_change_is_told_once_and_the_first_is_not() {
    let (authority, pod, listener) = (Authority::new(), Pod::new(), Listener::new().await);
    let server = Server::start(&authority).await;
    let _agent = pod.start(server.address(), &authority.pem, &listener.reload());
    let (mut session, _) = server.session().await;
    session.say(&hold(1, &[("A", b"1")])).await;
    assert_eq!(applied(&session.hear().await), (1, Outcome::NotNeeded));
    for generation in 2..=4 {
        session.say(&hold(generation, &[("A", generation.to_string().as_bytes())])).await;
        let head = listener.answer("204 No Content").await;
        assert!(head.starts_with("POST /-/reload?x=1 HTTP/1.1\r\n"), "{head}");
        assert_eq!(pod.file("A").unwrap(), generation.to_string().as_bytes());
        assert_eq!(applied(&session.hear().await), (generation, Outcome::Accepted));
    }
    listener.is_left_alone().await;
    assert!(!pod.volume().join("..reload").exists());
}

#[tokio::test]
async fn an_application_that_is_not_ready_is_asked_again() {
    let (authority, pod, listener) = (Authority::new(), Pod::new(), Listener::new().await);
    let server = Server::start(&authority).await;
    let _agent = pod.start(server.address(), &authority.pem, &listener.reload());
    let (mut session, _) = server.session().await;
    session.say(&hold(1, &[("A", b"1")])).await;
    session.hear().await;
    session.say(&hold(2, &[("A", b"2")])).await;
    listener.answer("503 Service Unavailable").await;
    listener.answer("200 OK").await;
    assert_eq!(applied(&session.hear().await), (2, Outcome::Accepted));
}

#[tokio::test]
async fn an_application_that_refuses_is_reported_with_its_answer() {
    let (authority, pod, listener) = (Authority::new(), Pod::new(), Listener::new().await);
    let server = Server::start(&authority).await;
    let _agent = pod.start(server.address(), &authority.pem, &listener.reload());
    let (mut session, _) = server.session().await;
    session.say(&hold(1, &[("A", b"1")])).await;
    session.hear().await;
    session.say(&hold(2, &[("A", b"2")])).await;
    for _ in 0..5 {
        listener.answer("404 Not Found").await;
    }
    assert_eq!(applied(&session.hear().await), (2, Outcome::Failed));
    let AgentMessage::Failed { wanted, step: Step::Reload, detail } = session.hear().await else {
        panic!()
    };
    assert_eq!(wanted[0].generation.0, 2);
    assert!(detail.contains("the application answered 404 Not Found"), "{detail}");
    listener.is_left_alone().await;
}

#[tokio::test]
async fn several_generations_while_it_is_being_told_are_one_more_reload() {
    let (authority, pod, listener) = (Authority::new(), Pod::new(), Listener::new().await);
    let server = Server::start(&authority).await;
    let _agent = pod.start(server.address(), &authority.pem, &listener.reload());
    let (mut session, _) = server.session().await;
    session.say(&hold(1, &[("A", b"1")])).await;
    session.hear().await;
    session.say(&hold(2, &[("A", b"2")])).await;
    listener.answer("200 OK").await;
    assert_eq!(applied(&session.hear().await), (2, Outcome::Accepted));
    // Right behind a reload: the next one waits a moment, and these three fall into it. A slow
    // machine may tell of each of them; never more often.
    for generation in 3..=5 {
        session.say(&hold(generation, &[("A", generation.to_string().as_bytes())])).await;
    }
    let mut told = 0;
    let last = async {
        loop {
            let report = applied(&session.hear().await);
            if report.0 == 5 {
                return report;
            }
        }
    };
    let telling = async {
        loop {
            listener.answer("200 OK").await;
            told += 1;
        }
    };
    let last = tokio::select! {
        last = last => last,
        () = telling => unreachable!(),
    };
    assert_eq!(last, (5, Outcome::Accepted));
    assert!((1..=3).contains(&told), "{told}");
    assert_eq!(pod.file("A").as_deref(), Some(&b"5"[..]));
    listener.is_left_alone().await;
}

#[tokio::test]
async fn a_reload_that_an_end_cut_short_is_made_up_for_at_the_next_start() {
    let (authority, pod, listener) = (Authority::new(), Pod::new(), Listener::new().await);
    let server = Server::start(&authority).await;
    let agent = pod.start(server.address(), &authority.pem, &listener.reload());
    let (mut session, _) = server.session().await;
    session.say(&hold(1, &[("A", b"1")])).await;
    session.hear().await;
    session.say(&hold(2, &[("A", b"2")])).await;
    listener.answer("503 Service Unavailable").await;
    agent.stop().await;
    assert!(fs::exists(pod.volume().join("..reload")).unwrap());

    let _agent = pod.start(server.address(), &authority.pem, &listener.reload());
    let told = async {
        listener.answer("200 OK").await;
    };
    let (((mut session, holds), first), ()) = tokio::join!(
        async {
            let (mut session, holds) = server.session().await;
            let first = session.hear().await;
            ((session, holds), first)
        },
        told
    );
    assert_eq!(holds, [2]);
    assert_eq!(applied(&first), (2, Outcome::Accepted));
    session.say(&hold(2, &[("A", b"2")])).await;
    assert_eq!(applied(&session.hear().await), (2, Outcome::NotNeeded));
    listener.is_left_alone().await;
}

#[tokio::test]
async fn a_report_that_could_not_be_delivered_comes_with_the_next_connection() {
    let (authority, pod, listener) = (Authority::new(), Pod::new(), Listener::new().await);
    let server = Server::start(&authority).await;
    let _agent = pod.start(server.address(), &authority.pem, &listener.reload());
    let (mut session, _) = server.session().await;
    session.say(&hold(1, &[("A", b"1")])).await;
    session.hear().await;
    session.say(&hold(2, &[("A", b"2")])).await;
    listener.answer("503 Service Unavailable").await;
    drop(session);
    let login = server.login().await;
    listener.answer("200 OK").await;
    // The reload has ended, and there has been no stream for its report.
    soon(async {
        while pod.volume().join("..reload").exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut session = login.open().await;
    let AgentMessage::Hello { holds, .. } = session.hear().await else { panic!() };
    assert_eq!(holds[0].generation.0, 2);
    assert_eq!(applied(&session.hear().await), (2, Outcome::Accepted));
}
