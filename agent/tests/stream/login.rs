//! Logins, outages and trust.

use contract::stream::{AgentMessage, ServerMessage};

use crate::pod::{Pod, applied};
use crate::server::{Authority, Server, hold};

#[tokio::test]
async fn the_login_is_the_contracts_and_reads_the_token_anew_each_time() {
    let (authority, pod) = (Authority::new(), Pod::new());
    let server = Server::start(&authority).await;
    let _agent = pod.start(server.address(), &authority.pem, "none");
    let login = server.login().await;
    assert!(
        login.head.starts_with("GET /v1/agent/stream?bundle=api-prod HTTP/1.1\r\n"),
        "{}",
        login.head
    );
    for line in [
        "authorization: Bearer token-1",
        "connection: upgrade",
        "upgrade: enclii-stream/1",
        &format!("host: {}", server.address()),
    ] {
        assert!(login.has(line), "{line}\n{}", login.head);
    }
    pod.token("token-2\n");
    login.refuse("503 Service Unavailable", "starting").await;
    let login = server.login().await;
    assert!(login.has("authorization: Bearer token-2"), "{}", login.head);
    let mut session = login.open().await;
    session.hear().await;
    session.say(&hold(1, &[("A", b"x")])).await;
    session.hear().await;
    assert_eq!(pod.file("A").as_deref(), Some(&b"x"[..]));
}

#[tokio::test]
async fn the_files_outlive_the_server_and_a_later_write_arrives() {
    let (authority, pod) = (Authority::new(), Pod::new());
    let server = Server::start(&authority).await;
    let address = server.address();
    let _agent = pod.start(address, &authority.pem, "none");
    let (mut session, _) = server.session().await;
    session.say(&hold(1, &[("A", b"before")])).await;
    session.hear().await;
    drop((session, server));
    assert_eq!(pod.file("A").as_deref(), Some(&b"before"[..]));

    let server = Server::at(address, &authority).await;
    server.login().await.refuse("503 Service Unavailable", "starting").await;
    let (mut session, holds) = server.session().await;
    assert_eq!(holds, [1]);
    session.say(&hold(2, &[("A", b"after")])).await;
    assert_eq!(applied(&session.hear().await).0, 2);
    assert_eq!(pod.file("A").as_deref(), Some(&b"after"[..]));
}

#[tokio::test]
async fn garbage_ends_the_stream_and_not_the_agent() {
    let (authority, pod) = (Authority::new(), Pod::new());
    let server = Server::start(&authority).await;
    let _agent = pod.start(server.address(), &authority.pem, "none");
    let (mut session, _) = server.session().await;
    session.say(&hold(1, &[("A", b"good")])).await;
    session.hear().await;
    session.write(&[0xff; 64]).await;
    session.closed().await;
    server.login().await.refuse("200 OK", "not a stream").await;
    let (_session, holds) = server.session().await;
    assert_eq!(holds, [1]);
    assert_eq!(pod.file("A").as_deref(), Some(&b"good"[..]));
}

#[tokio::test]
async fn a_pod_that_may_no_longer_read_keeps_its_files() {
    let (authority, pod) = (Authority::new(), Pod::new());
    let server = Server::start(&authority).await;
    let _agent = pod.start(server.address(), &authority.pem, "none");
    let (mut session, _) = server.session().await;
    session.say(&hold(1, &[("A", b"x")])).await;
    session.hear().await;
    session
        .say(&ServerMessage::Refused { detail: "the grant of api-prod was taken back".to_owned() })
        .await;
    session.closed().await;
    let (_session, holds) = server.session().await;
    assert_eq!(holds, [1]);
    assert_eq!(pod.file("A").as_deref(), Some(&b"x"[..]));
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_no_token() {
    let (authority, stranger, pod) = (Authority::new(), Authority::new(), Pod::new());
    let server = Server::start(&stranger).await;
    let _agent = pod.start(server.address(), &authority.pem, "none");
    server.rejected_login().await;
}

#[tokio::test]
async fn trust_follows_the_stream_and_survives_a_restart() {
    let (old, new, pod) = (Authority::new(), Authority::new(), Pod::new());
    let server = Server::start(&old).await;
    let address = server.address();
    let agent = pod.start(address, &old.pem, "none");
    let (mut session, _) = server.session().await;
    // One that is of no use is not taken.
    session.say(&ServerMessage::Trust { ca: "no certificate".to_owned() }).await;
    session.say(&ServerMessage::Trust { ca: new.pem.clone() }).await;
    session.say(&ServerMessage::Ping).await;
    assert_eq!(session.hear().await, AgentMessage::Pong);
    drop((session, server));

    let server = Server::at(address, &new).await;
    let (session, _) = server.session().await;
    agent.stop().await;
    drop(session);

    // The pod's configuration still names the old one.
    let agent = pod.start(address, &old.pem, "none");
    let (session, _) = server.session().await;
    drop((session, server));
    let server = Server::at(address, &old).await;
    server.rejected_login().await;
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_without_a_server_ends_when_it_is_told_to() {
    let (authority, pod) = (Authority::new(), Pod::new());
    let server = Server::start(&authority).await;
    let address = server.address();
    drop(server);
    let agent = pod.start(address, &authority.pem, "none");
    agent.stop().await;
}
