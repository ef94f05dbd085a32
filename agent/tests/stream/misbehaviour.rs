//! A server that is slow, or answers anything at all: the files stay, and the agent tries again.

use contract::layout::MAX_POD_BYTES;
use contract::stream::frame;
use contract::stream::frame::MAX_HEADER_BYTES;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::pod::{Pod, applied};
use crate::server::{Server, TestCa, snapshot, with_timeout};

/// What the server does with one connection, instead of what it should.
#[derive(Clone, Copy, Debug)]
enum Misbehaviour {
    /// Before TLS: it closes, says nothing, or speaks something else.
    Cut,
    Mute,
    PlainText,
    RandomBytes,
    /// After the request: it answers nothing, or never to the end.
    NoAnswer,
    EndlessHeaders,
    EndlessInformation,
    EndlessBody,
    Answer(&'static str),
    /// It opens the stream, and sends what is no message.
    Frames(fn() -> Vec<u8>),
    /// It sends a byte of the answer now and then.
    Drip,
}

fn upgraded(bytes: &[u8]) -> Vec<u8> {
    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                upgrade: enclii-stream/1\r\n\r\n";
    [head.as_bytes(), bytes].concat()
}

/// Bytes that look like none.
fn random_bytes() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    (0..4096).flat_map(|_| next()).collect()
}

fn prefix(header: usize, body: usize) -> Vec<u8> {
    [header, body].iter().flat_map(|it| u32::try_from(*it).unwrap().to_be_bytes()).collect()
}

const ALL: &[Misbehaviour] = &[
    Misbehaviour::Cut,
    Misbehaviour::Mute,
    Misbehaviour::PlainText,
    Misbehaviour::RandomBytes,
    Misbehaviour::NoAnswer,
    Misbehaviour::EndlessHeaders,
    Misbehaviour::EndlessInformation,
    Misbehaviour::EndlessBody,
    Misbehaviour::Drip,
    Misbehaviour::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
    Misbehaviour::Answer("HTTP/1.1 302 Found\r\nlocation: https://elsewhere/\r\n\r\n"),
    Misbehaviour::Answer("HTTP/1.1 500 Oops\r\ncontent-length: 9\r\n\r\nnot JSON{"),
    Misbehaviour::Answer("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    Misbehaviour::Answer("HTTP/9.9 ??? \r\n\r\n"),
    Misbehaviour::Answer("SSH-2.0-OpenSSH_9.2\r\n"),
    // Lengths over the limits, and lengths of something that never comes.
    Misbehaviour::Frames(|| vec![0xff; 64]),
    Misbehaviour::Frames(|| prefix(MAX_HEADER_BYTES + 1, 0)),
    Misbehaviour::Frames(|| prefix(2, MAX_POD_BYTES + 1)),
    Misbehaviour::Frames(random_bytes),
    // Headers that are not JSON, or not of this protocol, or lie about the body.
    Misbehaviour::Frames(|| frame::encode(&[b' '; MAX_HEADER_BYTES], &[]).expose().to_vec()),
    Misbehaviour::Frames(|| frame::encode(&[b'['; MAX_HEADER_BYTES], &[]).expose().to_vec()),
    Misbehaviour::Frames(|| frame::encode(b"[]", &[]).expose().to_vec()),
    Misbehaviour::Frames(|| frame::encode(br#"{"kind":null}"#, &[]).expose().to_vec()),
    Misbehaviour::Frames(|| frame::encode(br#"{"kind":"hold"}"#, &[b"x"]).expose().to_vec()),
    Misbehaviour::Frames(|| {
        let secret = r#"{"name":"A","version":1,"length":9000000000000000000}"#;
        let bundle = format!(r#"{{"bundle":"api-prod","generation":9,"secrets":[{secret}]}}"#);
        let header = format!(r#"{{"kind":"hold","bundles":[{bundle}]}}"#);
        frame::encode(header.as_bytes(), &[b"short"]).expose().to_vec()
    }),
    Misbehaviour::Frames(|| {
        let secret = r#"{"name":"../../etc/passwd","version":1,"length":1}"#;
        let bundle = format!(r#"{{"bundle":"api-prod","generation":9,"secrets":[{secret}]}}"#);
        let header = format!(r#"{{"kind":"hold","bundles":[{bundle}]}}"#);
        frame::encode(header.as_bytes(), &[b"x"]).expose().to_vec()
    }),
];

impl Misbehaviour {
    /// Does it with the next connection, until the agent has had enough.
    async fn happen(self, server: &Server) {
        let bytes = match self {
            Self::Cut => return drop(server.accept().await),
            Self::Mute => return wait_closed(server.accept().await).await,
            Self::PlainText => return raw(server, b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
            Self::RandomBytes => return raw(server, &random_bytes()).await,
            Self::NoAnswer => Vec::new(),
            Self::EndlessHeaders => {
                return endless(server, "HTTP/1.1 200 OK\r\n", "x: y\r\n").await;
            }
            Self::EndlessInformation => {
                return endless(server, "", "HTTP/1.1 103 Early Hints\r\n\r\n").await;
            }
            Self::EndlessBody => {
                return endless(server, "HTTP/1.1 403 No\r\n\r\n", "{\"a\":").await;
            }
            Self::Answer(text) => text.as_bytes().to_vec(),
            Self::Frames(bytes) => upgraded(&bytes()),
            Self::Drip => {
                let mut connection = server.login().await.into_connection();
                for byte in upgraded(&[]) {
                    if connection.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
                panic!("the agent waits for the whole answer");
            }
        };
        let mut connection = server.login().await.into_connection();
        // The agent may close before it has everything.
        let _ = connection.write_all(&bytes).await;
        let _ = connection.flush().await;
        wait_closed(connection).await;
    }
}

async fn raw(server: &Server, bytes: &[u8]) {
    let mut connection = server.accept().await;
    let _ = connection.write_all(bytes).await;
    wait_closed(connection).await;
}

/// Sends `more` for as long as the agent takes it.
async fn endless(server: &Server, start: &str, more: &str) {
    let mut connection = server.login().await.into_connection();
    let _ = connection.write_all(start.as_bytes()).await;
    let more = more.repeat(500);
    with_timeout(async {
        while connection.write_all(more.as_bytes()).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn wait_closed(mut connection: impl tokio::io::AsyncRead + Unpin) {
    let mut buffer = [0; 1024];
    with_timeout(async { while !matches!(connection.read(&mut buffer).await, Ok(0) | Err(_)) {} })
        .await;
}

/// An agent with files, whose server misbehaves at the next login.
async fn survives(misbehaviour: Misbehaviour) {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"good")])).await;
    session.receive().await;
    drop(session);
    misbehaviour.happen(&server).await;
    assert_eq!(pod.file("A").as_deref(), Some(&b"good"[..]), "{misbehaviour:?}");
    let (mut session, holds) = server.session().await;
    assert_eq!(holds, [1], "{misbehaviour:?}");
    session.send(&snapshot(2, &[("A", b"better")])).await;
    assert_eq!(applied(&session.receive().await).0, 2, "{misbehaviour:?}");
}

/// All at once, since each waits for a time-out or between two attempts.
#[tokio::test]
async fn the_files_stay_and_the_agent_tries_again_whatever_the_server_does() {
    join_all(ALL.iter().map(|it| survives(*it))).await;
}
