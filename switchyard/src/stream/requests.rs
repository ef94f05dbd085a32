//! The requests of a pod's application: agents are asked to count them, and what they say is kept
//! for a while.

use contract::requests::{MAX_WINDOWS, RequestWindow, total};
use contract::stream::ServerMessage;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Connection;
use super::framed_io::{FramedIo, FramedIoError};
use super::stream_end::StreamEnd;

/// For how long an agent counts after a delivery, in seconds.
const COUNT_SECONDS: u32 = 120;

/// How many messages of an agent are taken for each time that it was asked: one a second, and some
/// that waited.
const COUNTS_PER_REQUEST: u32 = COUNT_SECONDS + MAX_WINDOWS as u32;

impl Connection {
    /// Asks the agent to count its application's requests from now on, so that what a delivery
    /// does to them is seen. An application without files does not run yet.
    pub(super) async fn ask_for_requests<I: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        framed: &mut FramedIo<I>,
    ) -> Result<(), StreamEnd> {
        if !self.counts_requests || self.holdings.told().is_empty() {
            return Ok(());
        }
        self.expected_counts = COUNTS_PER_REQUEST;
        let message = ServerMessage::CountRequests { seconds: COUNT_SECONDS };
        let frame = message.encode().map_err(FramedIoError::from)?;
        Ok(framed.send(&frame).await?)
    }

    /// Keeps what an agent has counted. What it was not asked for is dropped.
    pub(super) fn handle_requests(
        &mut self,
        metric: &str,
        bounds: Vec<u64>,
        windows: Vec<RequestWindow>,
    ) {
        let Some(left) = self.expected_counts.checked_sub(1) else { return };
        self.expected_counts = left;
        let requests = total(&windows, |it| it.requests);
        let errors = total(&windows, |it| it.errors);
        if let Some(agent) = &self.agent
            && agent.counted(metric, bounds, windows)
        {
            self.app.metrics.pod_requests(requests, errors);
        }
    }
}
