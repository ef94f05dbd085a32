//! Messages on an open connection.

use std::time::Duration;

use contract::stream::frame::{Decoder, FrameError};
use contract::stream::{AgentMessage, MessageError, SILENCE_SECONDS, ServerMessage};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::{Zeroize, Zeroizing};

use crate::schedule::SEND_DEADLINE;

const SILENCE: Duration = Duration::from_secs(SILENCE_SECONDS);

// Most generations fit in one read of it.
const BUFFER_BYTES: usize = 8 << 10;

/// How a stream ends.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The other side closed it.
    #[error("read stream: the server has closed it")]
    Closed,
    /// The other side is gone and has not said so.
    #[error("read stream: nothing came for {SILENCE:?}")]
    Silent,
    /// The connection broke.
    #[error("read stream")]
    Read(#[source] std::io::Error),
    /// What came is no frame.
    #[error("read stream")]
    Frame(#[from] FrameError),
    /// What came is no message.
    #[error("read stream")]
    Message(#[from] MessageError),
    /// The connection broke.
    #[error("write stream")]
    Write(#[source] std::io::Error),
    /// The other side does not take anything any more.
    #[error("write stream: nothing was taken for {SEND_DEADLINE:?}")]
    Stuck,
    /// The agent is ending.
    #[error("read stream: the agent is ending")]
    Unheard,
}

/// An open connection, cut into messages.
pub(super) struct Stream<Io> {
    io: Io,
    decoder: Decoder,
    buffer: Zeroizing<Vec<u8>>,
    heard: Instant,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Stream<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self {
            io,
            decoder: Decoder::default(),
            buffer: Zeroizing::new(vec![0; BUFFER_BYTES]),
            heard: Instant::now(),
        }
    }

    /// The next message. Dropped half way, it loses nothing.
    pub(super) async fn next(&mut self) -> Result<ServerMessage, StreamError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(ServerMessage::decode(&frame)?);
            }
            let read = timeout_at(self.heard + SILENCE, self.io.read(&mut self.buffer)).await;
            let count = read.map_err(|_| StreamError::Silent)?.map_err(StreamError::Read)?;
            if count == 0 {
                return Err(StreamError::Closed);
            }
            self.heard = Instant::now();
            self.decoder.push(&self.buffer[..count]);
            self.buffer[..count].zeroize();
        }
    }

    /// Sends a message. Dropped half way, it leaves a torn stream behind.
    pub(super) async fn send(&mut self, message: &AgentMessage) -> Result<(), StreamError> {
        let bytes = message.encode()?;
        let write = async {
            self.io.write_all(bytes.expose()).await?;
            self.io.flush().await
        };
        timeout(SEND_DEADLINE, write)
            .await
            .map_err(|_| StreamError::Stuck)?
            .map_err(StreamError::Write)
    }
}

#[cfg(test)]
mod tests {
    use contract::stream::frame;

    use super::*;

    fn pair() -> (Stream<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        (Stream::new(ours), theirs)
    }

    #[tokio::test]
    async fn several_messages_in_one_piece() {
        let (mut stream, mut server) = pair();
        let ping = ServerMessage::Ping.encode().unwrap();
        server.write_all(&[ping.expose(), ping.expose()].concat()).await.unwrap();
        assert!(matches!(stream.next().await, Ok(ServerMessage::Ping)));
        assert!(matches!(stream.next().await, Ok(ServerMessage::Ping)));
        drop(server);
        assert!(matches!(stream.next().await, Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn a_message_in_pieces_survives_a_dropped_wait() {
        let (mut stream, mut server) = pair();
        let ping = ServerMessage::Ping.encode().unwrap();
        let (start, rest) = ping.expose().split_at(5);
        server.write_all(start).await.unwrap();
        tokio::select! {
            biased;
            _ = stream.next() => panic!("no message yet"),
            () = tokio::task::yield_now() => {}
        }
        server.write_all(rest).await.unwrap();
        assert!(matches!(stream.next().await, Ok(ServerMessage::Ping)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_stream_also_when_the_wait_is_interrupted() {
        let (mut stream, _server) = pair();
        let began = Instant::now();
        loop {
            match timeout(Duration::from_secs(7), stream.next()).await {
                Err(_) => assert!(began.elapsed() < SILENCE + Duration::from_secs(7)),
                Ok(end) => break assert!(matches!(end, Err(StreamError::Silent))),
            }
        }
        assert_eq!(began.elapsed(), SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_nothing_is_given_up() {
        let (mut stream, _server) = pair();
        let message = AgentMessage::Failed {
            wanted: vec![],
            step: contract::stream::Step::Write,
            detail: "x".repeat(200),
        };
        assert!(matches!(stream.send(&message).await, Err(StreamError::Stuck)));
    }

    #[tokio::test]
    async fn garbage_ends_a_stream() {
        for garbage in [
            vec![0xff; 8],
            frame::encode(b"{", &[]).expose().to_vec(),
            frame::encode(b"{\"kind\":5}", &[]).expose().to_vec(),
        ] {
            let (mut stream, mut server) = pair();
            server.write_all(&garbage).await.unwrap();
            let end = stream.next().await;
            assert!(matches!(end, Err(StreamError::Frame(_) | StreamError::Message(_))), "{end:?}");
        }
    }
}
