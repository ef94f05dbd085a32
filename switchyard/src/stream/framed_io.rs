//! Reads and writes the messages of an open stream.

use std::io;
use std::time::Duration;

use contract::Redacted;
use contract::stream::frame::{Decoder, FrameError};
use contract::stream::{AgentMessage, MessageError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How long one message to an agent may take: the largest one to the slowest agent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest message of an agent. A report on sixteen bundles is smaller, and five thousand
/// agents that send garbage must not fill the memory.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// Bytes per read. An agent's messages have a few hundred bytes.
const READ_BUFFER_BYTES: usize = 1024;

/// Why reading or writing fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum FramedIoError {
    /// The connection failed.
    #[error("{step}")]
    Io {
        /// `read stream` or `write stream`.
        step: &'static str,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The agent closed the stream.
    #[error("read stream: closed by the agent")]
    Closed,
    /// The agent does not read.
    #[error("write stream: the agent read nothing for {WRITE_TIMEOUT:?}")]
    Slow,
    /// The message is too long.
    #[error("read stream: the message is longer than {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
    /// The bytes are not a valid frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The frame is not a valid message.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// The messages of one stream.
pub(super) struct FramedIo<I> {
    io: I,
    decoder: Decoder,
    pending: usize,
}

impl<I: AsyncRead + AsyncWrite + Unpin> FramedIo<I> {
    pub(super) fn new(io: I) -> Self {
        Self { io, decoder: Decoder::default(), pending: 0 }
    }

    /// Reads the agent's next message. Cancellation safe: no bytes are lost if the future is
    /// dropped.
    pub(super) async fn next(&mut self) -> Result<AgentMessage, FramedIoError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                self.pending = 0;
                return Ok(AgentMessage::decode(&frame)?);
            }
            let mut buffer = [0; READ_BUFFER_BYTES];
            let read = self
                .io
                .read(&mut buffer)
                .await
                .map_err(|source| FramedIoError::Io { step: "read stream", source })?;
            if read == 0 {
                return Err(FramedIoError::Closed);
            }
            self.pending += read;
            if self.pending > MAX_MESSAGE_BYTES {
                return Err(FramedIoError::TooLong);
            }
            self.decoder.push(&buffer[..read]);
        }
    }

    /// Sends an encoded message.
    pub(super) async fn send(&mut self, frame: &Redacted) -> Result<(), FramedIoError> {
        let all = async {
            self.io.write_all(frame.expose()).await?;
            self.io.flush().await
        };
        match tokio::time::timeout(WRITE_TIMEOUT, all).await {
            Ok(sent) => sent.map_err(|source| FramedIoError::Io { step: "write stream", source }),
            Err(_) => Err(FramedIoError::Slow),
        }
    }

    /// Shuts the connection down.
    pub(super) async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.io.shutdown()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_without_an_end_is_refused() {
        let (io, mut agent) = tokio::io::duplex(256 << 10);
        let mut framed = FramedIo::new(io);
        // The frame announces 1 MiB, which the protocol allows, and never ends.
        agent.write_all(&(1u32 << 20).to_be_bytes()).await.unwrap();
        agent.write_all(&[0; 4]).await.unwrap();
        agent.write_all(&vec![b' '; MAX_MESSAGE_BYTES]).await.unwrap();
        assert!(matches!(framed.next().await, Err(FramedIoError::TooLong)));
    }

    #[tokio::test]
    async fn several_messages_in_one_read() {
        let (io, mut agent) = tokio::io::duplex(4096);
        let mut framed = FramedIo::new(io);
        let pong = AgentMessage::Pong.encode().unwrap();
        agent.write_all(&[pong.expose(), pong.expose()].concat()).await.unwrap();
        drop(agent);
        assert_eq!(framed.next().await.unwrap(), AgentMessage::Pong);
        assert_eq!(framed.next().await.unwrap(), AgentMessage::Pong);
        assert!(matches!(framed.next().await, Err(FramedIoError::Closed)));
    }
}
