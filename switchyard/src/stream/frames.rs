//! Frames on an open connection, each with a deadline.

use std::io;
use std::time::Duration;

use contract::Redacted;
use contract::stream::frame::{Decoder, FrameError};
use contract::stream::{AgentMessage, MessageError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How long one message to an agent may take, the largest to the slowest.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// The most that an agent may say without coming to an end: sixteen bundles and a reason need less,
/// and five thousand agents that say nothing useful must not fill the memory.
const LONGEST: usize = 64 << 10;

/// Read at once; an agent's messages are a few hundred bytes.
const PIECE: usize = 1024;

/// Why a stream ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum FramesError {
    /// The connection.
    #[error("{step}")]
    Io {
        /// `read stream` or `write stream`.
        step: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The agent closed it.
    #[error("read stream: closed by the agent")]
    Closed,
    /// The agent takes nothing.
    #[error("write stream: the agent took nothing for {WRITE_PATIENCE:?}")]
    Slow,
    /// The agent says too much.
    #[error("read stream: a message of over {LONGEST} bytes")]
    TooLong,
    /// What it says is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What it says is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// The frames of one connection.
pub(super) struct Frames<I> {
    io: I,
    decoder: Decoder,
    pending: usize,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Frames<I> {
    pub(super) fn new(io: I) -> Self {
        Self { io, decoder: Decoder::default(), pending: 0 }
    }

    /// The agent's next message. It can be given up at any time and loses nothing.
    pub(super) async fn next(&mut self) -> Result<AgentMessage, FramesError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                self.pending = 0;
                return Ok(AgentMessage::decode(&frame)?);
            }
            let mut piece = [0; PIECE];
            let read = self
                .io
                .read(&mut piece)
                .await
                .map_err(|source| FramesError::Io { step: "read stream", source })?;
            if read == 0 {
                return Err(FramesError::Closed);
            }
            self.pending += read;
            if self.pending > LONGEST {
                return Err(FramesError::TooLong);
            }
            self.decoder.push(&piece[..read]);
        }
    }

    /// Sends a frame, whole.
    pub(super) async fn send(&mut self, frame: &Redacted) -> Result<(), FramesError> {
        let all = async {
            self.io.write_all(frame.expose()).await?;
            self.io.flush().await
        };
        match tokio::time::timeout(WRITE_PATIENCE, all).await {
            Ok(sent) => sent.map_err(|source| FramesError::Io { step: "write stream", source }),
            Err(_) => Err(FramesError::Slow),
        }
    }

    /// Says goodbye; an agent that is gone already does not mind.
    pub(super) async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.io.shutdown()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_agent_cannot_fill_the_memory() {
        let (ours, mut theirs) = tokio::io::duplex(256 << 10);
        let mut frames = Frames::new(ours);
        // A header of 1 MiB is announced, which the protocol allows, and never ends.
        theirs.write_all(&(1u32 << 20).to_be_bytes()).await.unwrap();
        theirs.write_all(&[0; 4]).await.unwrap();
        theirs.write_all(&vec![b' '; LONGEST]).await.unwrap();
        assert!(matches!(frames.next().await, Err(FramesError::TooLong)));
    }

    #[tokio::test]
    async fn many_messages_in_one_piece() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let mut frames = Frames::new(ours);
        let pong = AgentMessage::Pong.encode().unwrap();
        theirs.write_all(&[pong.expose(), pong.expose()].concat()).await.unwrap();
        drop(theirs);
        assert_eq!(frames.next().await.unwrap(), AgentMessage::Pong);
        assert_eq!(frames.next().await.unwrap(), AgentMessage::Pong);
        assert!(matches!(frames.next().await, Err(FramesError::Closed)));
    }
}
