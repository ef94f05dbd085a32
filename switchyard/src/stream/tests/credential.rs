//! A stream and the token that it was opened with. The clock is the test's; nothing but the tests
//! of other pods' tokens reads the database while it stands.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

use super::*;

/// A token that ends after these seconds. Tokens with another number are others.
fn token(seconds: i64, number: u32) -> Redacted {
    let end = Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
    let claims = format!(r#"{{"exp":{},"jti":"{number}"}}"#, end.as_second());
    Redacted::from(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)))
}

impl TestSwitchyard {
    /// Opens a stream with a token. Returns what the pod then holds.
    async fn open_with(&self, token: &Redacted) -> (DuplexAgent, Vec<BundleGeneration>) {
        let admitted = self.admit_with(token.clone(), pod(), &["api-prod"]).await;
        let mut agent = self.connect(admitted).await;
        let Some(ServerMessage::Hold(snapshot)) = agent.next().await else { panic!() };
        (agent, snapshot.holds())
    }
}

impl DuplexAgent {
    /// Answers pings until the stream ends, and sends each token at its ping. Returns why it ended.
    async fn until_end(&mut self, tokens: &[(u32, &Redacted)]) -> Option<String> {
        let (mut pings, mut reason) = (0, None);
        while let Some(message) = self.next().await {
            match message {
                ServerMessage::Ping => {
                    pings += 1;
                    assert!(pings < 1000, "the stream outlives its token");
                    for (_, token) in tokens.iter().filter(|(at, _)| *at == pings) {
                        self.send(&AgentMessage::Token { token: (*token).clone() }).await;
                    }
                    self.send(&AgentMessage::Pong).await;
                }
                ServerMessage::LoginRequired { detail } => reason = Some(detail),
                other => panic!("{other:?}"),
            }
        }
        reason
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_the_next_one_loses_nothing() {
    let (first, second) = (token(600, 1), token(1200, 2));
    let tokens = [(first.clone(), pod()), (second.clone(), pod())];
    let switchyard = TestSwitchyard::with_tokens(&tokens).await;
    let (mut agent, holds) = switchyard.open_with(&first).await;
    tokio::time::pause();
    let opened = Instant::now();
    let reason = agent.until_end(&[]).await.unwrap();
    assert!(reason.contains("expired"), "{reason}");
    let lasted = opened.elapsed().as_secs();
    assert!((595..640).contains(&lasted), "{lasted} s");

    tokio::time::resume();
    switchyard.write("two").await;
    let admitted = switchyard.admit_with(second, pod(), &["api-prod"]).await;
    let mut agent = switchyard.connect_with(admitted, holds, vec![]).await;
    assert_eq!(agent.version().await, Version(2));
}

#[tokio::test]
async fn a_newer_token_keeps_the_stream() {
    let (first, second) = (token(600, 1), token(720, 2));
    let tokens = [(first.clone(), pod()), (second.clone(), pod())];
    let switchyard = TestSwitchyard::with_tokens(&tokens).await;
    let (mut agent, _) = switchyard.open_with(&first).await;
    tokio::time::pause();
    let opened = Instant::now();
    // Kubelet replaces a token when a fifth of its life is left. Sending it twice does no harm.
    agent.until_end(&[(32, &second), (33, &second)]).await.unwrap();
    let lasted = opened.elapsed().as_secs();
    assert!((1195..1240).contains(&lasted), "{lasted} s");
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_not_valid_any_more() {
    // As that of a pod that was deleted. It would last for a day.
    let deleted = token(86_400, 1);
    let switchyard = TestSwitchyard::with_tokens(&[]).await;
    let (mut agent, _) = switchyard.open_with(&deleted).await;
    tokio::time::pause();
    let opened = Instant::now();
    let reason = agent.until_end(&[]).await.unwrap();
    assert!(reason.contains("not valid"), "{reason}");
    let lasted = opened.elapsed().as_secs();
    assert!((225..390).contains(&lasted), "{lasted} s");
}

#[tokio::test]
async fn the_token_of_another_pod_ends_the_stream() {
    let other = Pod { name: "api-2".into(), uid: "2".into(), ..pod() };
    let tokens = [(token(600, 1), pod()), (token(600, 2), other)];
    let switchyard = TestSwitchyard::with_tokens(&tokens).await;
    let (mut agent, _) = switchyard.open_with(&tokens[0].0).await;
    agent.send(&AgentMessage::Token { token: tokens[1].0.clone() }).await;
    match agent.next().await {
        Some(ServerMessage::Refused { detail }) => assert!(detail.contains("api-2"), "{detail}"),
        other => panic!("{other:?}"),
    }
    assert!(agent.next().await.is_none());
    let query = AuditQuery { action: Some("denied".into()), limit: 10, ..AuditQuery::default() };
    let denied = switchyard.app.repository.audit(&query).await.unwrap();
    assert_eq!((denied.len(), denied[0].pod.clone()), (1, Some(pod())));
}

#[tokio::test]
async fn newer_tokens_are_limited() {
    let tokens: Vec<_> = (0..50).map(|number| (token(600, number), pod())).collect();
    let switchyard = TestSwitchyard::with_tokens(&tokens).await;
    let (mut agent, _) = switchyard.open_with(&tokens[0].0).await;
    for (token, _) in &tokens[1..] {
        let message = AgentMessage::Token { token: token.clone() };
        if agent.io.write_all(message.encode().unwrap().expose()).await.is_err() {
            break;
        }
    }
    assert!(agent.next().await.is_none());
}
