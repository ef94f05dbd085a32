//! The agent's end of a stream.

use contract::Version;
use contract::stream::frame::Decoder;
use contract::stream::{AgentMessage, ServerMessage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

pub(super) struct DuplexAgent {
    pub(super) io: DuplexStream,
    pub(super) decoder: Decoder,
}

impl DuplexAgent {
    pub(super) async fn send(&mut self, message: &AgentMessage) {
        self.io.write_all(message.encode().unwrap().expose()).await.unwrap();
    }

    pub(super) async fn next(&mut self) -> Option<ServerMessage> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(ServerMessage::decode(&frame).unwrap());
            }
            let mut bytes = [0; 4096];
            match self.io.read(&mut bytes).await.unwrap() {
                0 => return None,
                read => self.decoder.push(&bytes[..read]),
            }
        }
    }

    /// The version of the secret `A` in the next delivery.
    pub(super) async fn version(&mut self) -> Version {
        match self.next().await {
            Some(ServerMessage::Hold(snapshot)) => snapshot.bundles[0].secrets["A"].version,
            other => panic!("{other:?}"),
        }
    }
}
