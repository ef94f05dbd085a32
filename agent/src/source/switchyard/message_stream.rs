//! Messages on an open connection.
//!
//! Every buffer of this module that held a value is wiped; see [`crate::source::wiped_io`] for
//! the TLS library's.

use std::time::Duration;

use contract::stream::frame::{Decoder, FrameError};
use contract::stream::{AgentMessage, MessageError, SILENCE_SECONDS, ServerMessage};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::{Zeroize, Zeroizing};

use crate::schedule::{MESSAGE_TIMEOUT, SEND_TIMEOUT};

const SILENCE_TIMEOUT: Duration = Duration::from_secs(SILENCE_SECONDS);

// Most generations fit into one read.
const BUFFER_BYTES: usize = 8 << 10;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The server closed it.
    #[error("read stream: closed by the server")]
    Closed,
    /// The server takes too long to send a message.
    #[error("read stream: message incomplete after {MESSAGE_TIMEOUT:?}")]
    Slow,
    /// The server sent nothing for longer than a heartbeat allows.
    #[error("read stream: nothing received for {SILENCE_TIMEOUT:?}")]
    Silent,
    /// The connection broke.
    #[error("read stream")]
    Read(#[source] std::io::Error),
    /// The received bytes are not a frame.
    #[error("read stream")]
    Frame(#[from] FrameError),
    /// The received frame is not a message.
    #[error("read stream")]
    Message(#[from] MessageError),
    /// The connection broke.
    #[error("write stream")]
    Write(#[source] std::io::Error),
    /// The server does not read any more.
    #[error("write stream: not accepted within {SEND_TIMEOUT:?}")]
    SendTimeout,
    /// The credential of the stream has ended.
    #[error("read stream: the server asks for a new login: {0}")]
    LoginRequired(String),
    /// The agent is shutting down.
    #[error("read stream: the agent is shutting down")]
    Stopping,
}

/// Sends and receives messages on an open connection.
pub(super) struct MessageStream<Io> {
    io: Io,
    decoder: Decoder,
    buffer: Zeroizing<Vec<u8>>,
    last_received: Instant,
    /// When the message that is arriving began.
    begun: Option<Instant>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> MessageStream<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self {
            io,
            decoder: Decoder::default(),
            buffer: Zeroizing::new(vec![0; BUFFER_BYTES]),
            last_received: Instant::now(),
            begun: None,
        }
    }

    /// Receives the next message. Cancel safe: a dropped call loses no data.
    pub(super) async fn next(&mut self) -> Result<ServerMessage, StreamError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                // What follows it in the buffer has arrived just now.
                self.begun = None;
                return Ok(ServerMessage::decode(&frame)?);
            }
            let (silent, slow) =
                (self.last_received + SILENCE_TIMEOUT, self.begun.map(|at| at + MESSAGE_TIMEOUT));
            let until = slow.map_or(silent, |slow| slow.min(silent));
            let read = timeout_at(until, self.io.read(&mut self.buffer)).await;
            let late = match slow {
                Some(slow) if slow < silent => StreamError::Slow,
                _ => StreamError::Silent,
            };
            let count = read.map_err(|_| late)?.map_err(StreamError::Read)?;
            if count == 0 {
                return Err(StreamError::Closed);
            }
            self.last_received = Instant::now();
            self.begun.get_or_insert(self.last_received);
            self.decoder.push(&self.buffer[..count]);
            self.buffer[..count].zeroize();
        }
    }

    /// Sends a message. Not cancel safe: a dropped call may leave half a message in the stream.
    pub(super) async fn send(&mut self, message: &AgentMessage) -> Result<(), StreamError> {
        let bytes = message.encode()?;
        let write = async {
            self.io.write_all(bytes.expose()).await?;
            self.io.flush().await
        };
        timeout(SEND_TIMEOUT, write)
            .await
            .map_err(|_| StreamError::SendTimeout)?
            .map_err(StreamError::Write)
    }

    /// Tells the server that the stream ends.
    pub(super) async fn close(mut self) {
        // The server notices a cut connection too.
        let _ = timeout(SEND_TIMEOUT, self.io.shutdown()).await;
    }
}

#[cfg(test)]
mod tests {
    use contract::stream::frame;

    use super::*;

    fn pair() -> (MessageStream<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(64);
        (MessageStream::new(near), far)
    }

    #[tokio::test]
    async fn several_messages_in_one_read_are_separated() {
        let (mut stream, mut server) = pair();
        let ping = ServerMessage::Ping.encode().unwrap();
        server.write_all(&[ping.expose(), ping.expose()].concat()).await.unwrap();
        assert!(matches!(stream.next().await, Ok(ServerMessage::Ping)));
        assert!(matches!(stream.next().await, Ok(ServerMessage::Ping)));
        drop(server);
        assert!(matches!(stream.next().await, Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn a_cancelled_receive_loses_no_data() {
        let (mut stream, mut server) = pair();
        let ping = ServerMessage::Ping.encode().unwrap();
        let (start, rest) = ping.expose().split_at(5);
        server.write_all(start).await.unwrap();
        tokio::select! {
            biased;
            _ = stream.next() => panic!("the message is incomplete"),
            () = tokio::task::yield_now() => {}
        }
        server.write_all(rest).await.unwrap();
        assert!(matches!(stream.next().await, Ok(ServerMessage::Ping)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_stream_even_if_the_wait_is_interrupted() {
        let (mut stream, _server) = pair();
        let started = Instant::now();
        loop {
            match timeout(Duration::from_secs(7), stream.next()).await {
                Err(_) => assert!(started.elapsed() < SILENCE_TIMEOUT + Duration::from_secs(7)),
                Ok(end) => break assert!(matches!(end, Err(StreamError::Silent))),
            }
        }
        assert_eq!(started.elapsed(), SILENCE_TIMEOUT);
    }

    /// Each byte ends the silence, and still the stream does not wait forever.
    #[tokio::test(start_paused = true)]
    async fn a_message_that_comes_byte_by_byte_ends_a_stream() {
        let (mut stream, mut server) = pair();
        let ping = ServerMessage::Ping.encode().unwrap();
        let (begun, drip) = (Instant::now(), async {
            for byte in frame::encode(&[b' '; 1 << 10], &[]).expose() {
                server.write_u8(*byte).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        tokio::select! {
            end = stream.next() => assert!(matches!(end, Err(StreamError::Slow)), "{end:?}"),
            () = drip => panic!("the stream waits for the whole message"),
        }
        assert_eq!(begun.elapsed(), MESSAGE_TIMEOUT);

        // Whole messages may come for any time, even cut in two.
        let (mut stream, mut server) = pair();
        for _ in 0..20 {
            let (start, rest) = ping.expose().split_at(5);
            server.write_all(start).await.unwrap();
            assert!(timeout(Duration::from_secs(15), stream.next()).await.is_err());
            server.write_all(rest).await.unwrap();
            assert!(matches!(stream.next().await, Ok(ServerMessage::Ping)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_send_to_a_server_that_does_not_read_times_out() {
        let (mut stream, _server) = pair();
        let message = AgentMessage::Failed {
            wanted: vec![],
            step: contract::stream::FailedStep::Write,
            detail: "x".repeat(200),
        };
        assert!(matches!(stream.send(&message).await, Err(StreamError::SendTimeout)));
    }

    #[tokio::test]
    async fn invalid_data_ends_a_stream() {
        for bytes in [
            vec![0xff; 8],
            frame::encode(b"{", &[]).expose().to_vec(),
            frame::encode(b"{\"kind\":5}", &[]).expose().to_vec(),
        ] {
            let (mut stream, mut server) = pair();
            server.write_all(&bytes).await.unwrap();
            let end = stream.next().await;
            assert!(matches!(end, Err(StreamError::Frame(_) | StreamError::Message(_))), "{end:?}");
        }
    }
}
