//! Logins, outages and trust.

use contract::Redacted;
use contract::stream::{AgentMessage, ServerMessage};

use crate::pod::{Pod, applied};
use crate::server::{Server, TestCa, snapshot};

#[tokio::test]
async fn the_login_follows_the_contract_and_reads_the_token_each_time() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
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
        assert!(login.has_header(line), "{line}\n{}", login.head);
    }
    pod.write_token("token-2\n");
    login.refuse("503 Service Unavailable", "starting").await;
    let login = server.login().await;
    assert!(login.has_header("authorization: Bearer token-2"), "{}", login.head);
    let mut session = login.open().await;
    session.receive().await;
    session.send(&snapshot(1, &[("A", b"x")])).await;
    session.receive().await;
    assert_eq!(pod.file("A").as_deref(), Some(&b"x"[..]));
}

#[tokio::test]
async fn a_newer_token_is_sent_on_the_open_stream() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
    let (mut session, _) = server.session().await;
    session.send(&ServerMessage::Ping).await;
    assert_eq!(session.receive().await, AgentMessage::Pong);
    for token in ["token-2", "token-3"] {
        pod.write_token(&format!("{token}\n"));
        session.send(&ServerMessage::Ping).await;
        let token = Redacted::from(token.to_owned());
        assert_eq!(session.receive().await, AgentMessage::Token { token });
        assert_eq!(session.receive().await, AgentMessage::Pong);
    }
    // Once is enough, and a file that is being replaced says nothing.
    pod.write_token("");
    session.send(&ServerMessage::Ping).await;
    assert_eq!(session.receive().await, AgentMessage::Pong);
}

#[tokio::test]
async fn an_agent_whose_credential_ended_logs_in_again() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
    // Without files it stays too: this is no denial.
    let (mut session, _) = server.session().await;
    pod.write_token("token-2");
    session.send(&ServerMessage::LoginRequired { detail: "expired".to_owned() }).await;
    session.wait_closed().await;
    let login = server.login().await;
    assert!(login.has_header("authorization: Bearer token-2"), "{}", login.head);
}

#[tokio::test]
async fn the_tag_of_a_generation_outlives_the_agent() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let agent = pod.start(server.address(), &ca.pem, "none");
    let (mut session, _) = server.session().await;
    let mut message = snapshot(2, &[("A", b"x")]);
    let ServerMessage::Hold(held) = &mut message else { panic!() };
    held.bundles[0].tag = Some("4f0c".parse().unwrap());
    let expected = held.holds();
    session.send(&message).await;
    session.receive().await;
    agent.stop().await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
    let mut session = server.login().await.open().await;
    let AgentMessage::Hello { holds, .. } = session.receive().await else { panic!("no hello") };
    assert_eq!(holds, expected);
}

#[tokio::test]
async fn the_files_outlive_the_server_and_a_later_write_arrives() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let address = server.address();
    let _agent = pod.start(address, &ca.pem, "none");
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"before")])).await;
    session.receive().await;
    drop((session, server));
    assert_eq!(pod.file("A").as_deref(), Some(&b"before"[..]));

    let server = Server::at(address, &ca).await;
    server.login().await.refuse("503 Service Unavailable", "starting").await;
    let (mut session, holds) = server.session().await;
    assert_eq!(holds, [1]);
    session.send(&snapshot(2, &[("A", b"after")])).await;
    assert_eq!(applied(&session.receive().await).0, 2);
    assert_eq!(pod.file("A").as_deref(), Some(&b"after"[..]));
}

#[tokio::test]
async fn invalid_data_ends_the_stream_but_not_the_agent() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"good")])).await;
    session.receive().await;
    session.write(&[0xff; 64]).await;
    session.wait_closed().await;
    server.login().await.refuse("200 OK", "not a stream").await;
    let (_session, holds) = server.session().await;
    assert_eq!(holds, [1]);
    assert_eq!(pod.file("A").as_deref(), Some(&b"good"[..]));
}

#[tokio::test]
async fn a_pod_that_loses_access_keeps_its_files() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"x")])).await;
    session.receive().await;
    session
        .send(&ServerMessage::Refused { detail: "the grant of api-prod was taken back".to_owned() })
        .await;
    session.wait_closed().await;
    let (_session, holds) = server.session().await;
    assert_eq!(holds, [1]);
    assert_eq!(pod.file("A").as_deref(), Some(&b"x"[..]));
}

#[tokio::test]
async fn an_untrusted_server_gets_no_token() {
    let (ca, untrusted, pod) = (TestCa::new(), TestCa::new(), Pod::new());
    let server = Server::start(&untrusted).await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
    server.rejected_login().await;
}

#[tokio::test]
async fn a_new_trust_bundle_takes_effect_and_survives_a_restart() {
    let (old, new, pod) = (TestCa::new(), TestCa::new(), Pod::new());
    let server = Server::start(&old).await;
    let address = server.address();
    let agent = pod.start(address, &old.pem, "none");
    let (mut session, _) = server.session().await;
    // An invalid bundle is ignored.
    session.send(&ServerMessage::Trust { ca: "no certificate".to_owned() }).await;
    session.send(&ServerMessage::Trust { ca: new.pem.clone() }).await;
    session.send(&ServerMessage::Ping).await;
    assert_eq!(session.receive().await, AgentMessage::Pong);
    drop((session, server));

    let server = Server::at(address, &new).await;
    let (session, _) = server.session().await;
    agent.stop().await;
    drop(session);

    // The pod's configuration still has the old bundle.
    let agent = pod.start(address, &old.pem, "none");
    let (session, _) = server.session().await;
    drop((session, server));
    let server = Server::at(address, &old).await;
    server.rejected_login().await;
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_without_a_server_shuts_down_on_request() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let address = server.address();
    drop(server);
    let agent = pod.start(address, &ca.pem, "none");
    agent.stop().await;
}
