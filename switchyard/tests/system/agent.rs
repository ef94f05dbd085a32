//! The agent's side of a stream.

use std::collections::BTreeMap;

use bytes::Bytes;
use contract::stream::frame::Decoder;
use contract::stream::{
    AgentMessage, BundleGeneration, PROTOCOL, ReloadOutcome, ServerMessage, Snapshot,
};
use contract::{Generation, Problem, Redacted};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Harness, TEST_TIMEOUT, problem};

pub(crate) struct TestAgent {
    io: TokioIo<Upgraded>,
    decoder: Decoder,
    /// The CAs received on the stream.
    pub(crate) trust: Option<String>,
    /// For how many seconds it was last asked to count requests.
    pub(crate) asked_to_count: u32,
    /// The trace id of the login.
    pub(crate) trace: String,
}

fn request(token: &str, query: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .uri(format!("/v1/agent/stream?{query}"))
        .header("host", "localhost")
        .header("user-agent", "enclii-agent/test")
        .header("connection", "Upgrade")
        .header("upgrade", PROTOCOL)
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .unwrap()
}

pub(crate) fn held(bundle: &str, generation: u64) -> BundleGeneration {
    let bundle = bundle.parse().unwrap();
    BundleGeneration { bundle, generation: Generation(generation), tag: None }
}

impl TestAgent {
    pub(crate) async fn connect(
        harness: &Harness,
        token: &str,
        bundle: &str,
        holds: Vec<BundleGeneration>,
    ) -> Self {
        Self::try_connect(harness, token, bundle, holds).await.unwrap()
    }

    /// With generations that failed a check before.
    pub(crate) async fn connect_refusing(
        harness: &Harness,
        token: &str,
        bundle: &str,
        (holds, refused): (Vec<BundleGeneration>, Vec<BundleGeneration>),
    ) -> Self {
        Self::try_open(harness, token, bundle, (holds, refused)).await.unwrap()
    }

    /// `None` if switchyard is not running or goes away.
    pub(crate) async fn try_connect(
        harness: &Harness,
        token: &str,
        bundle: &str,
        holds: Vec<BundleGeneration>,
    ) -> Option<Self> {
        Self::try_open(harness, token, bundle, (holds, vec![])).await
    }

    async fn try_open(
        harness: &Harness,
        token: &str,
        bundle: &str,
        (holds, refused): (Vec<BundleGeneration>, Vec<BundleGeneration>),
    ) -> Option<Self> {
        let response = harness.try_send(request(token, &format!("bundle={bundle}"))).await?;
        if response.status() != 101 {
            panic!(
                "{}",
                String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes())
            );
        }
        assert_eq!(response.headers()["upgrade"], PROTOCOL);
        let trace = response.headers()["trace-id"].to_str().unwrap().to_owned();
        let io = TokioIo::new(hyper::upgrade::on(response).await.ok()?);
        let mut agent =
            Self { io, decoder: Decoder::default(), trust: None, asked_to_count: 0, trace };
        let counts_requests = true;
        let hello = AgentMessage::Hello { agent: "test".into(), holds, refused, counts_requests };
        agent.try_send(&hello.encode().unwrap()).await.ok()?;
        Some(agent)
    }

    pub(crate) async fn refused(harness: &Harness, token: &str, query: &str) -> Problem {
        let response = harness.send(request(token, query)).await;
        let (head, body) = response.into_parts();
        problem(head.status, &head.headers, &body.collect().await.unwrap().to_bytes())
    }

    /// The values of a bundle, or `None` for a pod that is refused.
    pub(crate) async fn delivered(
        harness: &Harness,
        token: &str,
        bundle: &str,
    ) -> Option<BTreeMap<String, Vec<u8>>> {
        let response = harness.send(request(token, &format!("bundle={bundle}"))).await;
        match response.status().as_u16() {
            101 => {
                drop(response);
                let mut agent = Self::connect(harness, token, bundle, vec![]).await;
                Some(agent.values().await.1)
            }
            403 | 404 => None,
            status => panic!("{status}"),
        }
    }

    pub(crate) async fn say(&mut self, message: &AgentMessage) {
        self.send(&message.encode().unwrap()).await;
    }

    pub(crate) async fn send(&mut self, bytes: &Redacted) {
        self.try_send(bytes).await.unwrap();
    }

    async fn try_send(&mut self, bytes: &Redacted) -> std::io::Result<()> {
        self.io.write_all(bytes.expose()).await?;
        self.io.flush().await
    }

    /// The next message other than `Trust` and `CountRequests`, or `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<ServerMessage> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                match ServerMessage::decode(&frame).unwrap() {
                    ServerMessage::Trust { ca } => self.trust = Some(ca),
                    ServerMessage::CountRequests { seconds } => self.asked_to_count = seconds,
                    message => return Some(message),
                }
                continue;
            }
            let mut bytes = [0; 4096];
            // An abrupt close also ends the stream.
            match tokio::time::timeout(TEST_TIMEOUT, self.io.read(&mut bytes))
                .await
                .expect("a message in time")
                .unwrap_or(0)
            {
                0 => return None,
                read => self.decoder.push(&bytes[..read]),
            }
        }
    }

    pub(crate) async fn hold(&mut self) -> Snapshot {
        match self.next().await {
            Some(ServerMessage::Hold(snapshot)) => snapshot,
            other => panic!("{other:?}"),
        }
    }

    /// The generation and the values of its only bundle.
    pub(crate) async fn values(&mut self) -> (u64, BTreeMap<String, Vec<u8>>) {
        let snapshot = self.hold().await;
        let [bundle] = <[_; 1]>::try_from(snapshot.bundles).unwrap();
        let values = bundle
            .secrets
            .iter()
            .map(|(name, secret)| (name.as_str().to_owned(), secret.value.expose().to_vec()));
        (bundle.generation.0, values.collect())
    }

    pub(crate) async fn applied(&mut self, bundle: &str, generation: u64) {
        self.say(&AgentMessage::Applied {
            holds: vec![held(bundle, generation)],
            reload: ReloadOutcome::Signalled,
        })
        .await;
    }
}
