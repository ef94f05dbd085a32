//! MySQL and MariaDB. The packets are the library's; this program only moves them, so that it
//! makes the connection and the TLS itself, as for the other protocols.

mod authentication;
mod packets;
mod refusal;
mod sessions;

use std::time::Duration;

use contract::login_check::{
    ConnectionMark, LoginCheckAnswer, Sessions, SessionsSince, Unreachable,
};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{HandshakePacket, SslRequest};
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout, timeout_at};

use self::authentication::authenticate;
use self::packets::{MAX_PACKET_BYTES, Packets};
use self::sessions::{MysqlThread, host_of, own_sessions};
use crate::attempt::{Attempt, Link, first};
use crate::failure::Failure;
use crate::stream::Bounded;
use crate::target::Target;
use crate::times::Times;

/// `utf8mb4_general_ci`, which every version has.
const COLLATION: u8 = 45;

/// How long a server may take to see that this program leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(100);

/// A session that is logged in.
struct MysqlSession {
    packets: Packets<Bounded>,
    link: Link,
    deadline: Instant,
}

/// Logs in, makes a trivial query and counts sessions.
pub(crate) async fn login(
    target: &Target,
    since: Option<&SessionsSince>,
    times: Times,
) -> Result<LoginCheckAnswer, Failure> {
    let ((packets, link), endpoint) = first(target, times.deadline, open).await?;
    let mut session = MysqlSession { packets, link, deadline: times.deadline };
    let mut answer = session.link.answer("logged in", endpoint);
    answer.mark = session.mark().await;
    if let Some(since) = since {
        match session.sessions(since, answer.mark.as_ref()).await {
            Some(sessions) => answer.sessions = Some(sessions),
            None => answer.detail.push_str("; it does not tell which sessions there are"),
        }
    }
    // Without it the server would log a connection that broke.
    let _ = timeout(LEAVE_TIMEOUT, session.packets.quit()).await;
    Ok(answer)
}

impl MysqlSession {
    /// The rows of a query's result, if they come in time and the user may have them.
    async fn rows(&mut self, query: &str) -> Option<Vec<Vec<Option<String>>>> {
        let work = self.packets.query(query);
        timeout_at(self.deadline, work).await.ok()?.ok()?.ok()
    }

    /// Which connection of which server this is.
    async fn mark(&mut self) -> Option<ConnectionMark> {
        let rows = self.rows("SELECT CONNECTION_ID(), CONCAT(@@hostname, ':', @@port)").await?;
        let [Some(connection), Some(server)] = rows.first()?.as_slice() else { return None };
        Some(ConnectionMark { server: server.clone(), connection: connection.parse().ok()? })
    }

    async fn sessions(
        &mut self,
        since: &SessionsSince,
        own: Option<&ConnectionMark>,
    ) -> Option<Sessions> {
        let own = own?;
        // A server that started again counts from one again.
        let is_usable =
            |mark: &&ConnectionMark| mark.server == own.server && mark.connection < own.connection;
        let mark = since.mark.as_ref().filter(is_usable)?;
        let rows = self.rows("SHOW PROCESSLIST").await?;
        let threads: Vec<_> = rows.iter().filter_map(|row| MysqlThread::read(row)).collect();
        let host = host_of(&threads, own.connection)?;
        // It shows names where it resolves addresses.
        let work = lookup_host((host, 0));
        let mut addresses = timeout_at(self.deadline, work).await.ok()?.ok()?;
        let is_own = addresses.any(|address| address.ip().to_canonical() == self.link.local);
        own_sessions(&threads, own.connection, mark.connection, !is_own)
    }
}

/// One attempt: connects, logs in and makes a trivial query.
async fn open(attempt: Attempt<'_>) -> Result<(Packets<Bounded>, Link), Failure> {
    let endpoint = attempt.endpoint;
    let (stream, local) = attempt.connect().await?;
    let mut packets = Packets::new(stream);
    let broken = |error: std::io::Error| Failure::broken(&format!("log in at {endpoint}"), &error);
    let greeting = packets.read().await.map_err(broken)?;
    if let Some(code) = packets::error_code(&greeting) {
        return Err(refusal::of_code(endpoint, code));
    }
    let greeting = ParseBuf(&greeting).parse::<HandshakePacket<'_>>(()).map_err(|_| {
        let detail = format!("log in at {endpoint}: it does not answer like MySQL");
        Failure::unreachable(Unreachable::Protocol, detail)
    })?;
    let offers = greeting.capabilities().contains(CapabilityFlags::CLIENT_SSL);
    let mut capabilities = greeting.capabilities()
        & (CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_PLUGIN_AUTH
            | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
            | CapabilityFlags::CLIENT_LONG_PASSWORD
            | CapabilityFlags::CLIENT_TRANSACTIONS);
    if attempt.wants_tls() && offers {
        capabilities |= CapabilityFlags::CLIENT_SSL;
        let request = SslRequest::new(capabilities, MAX_PACKET_BYTES, COLLATION);
        packets.write_packet(&request).await.map_err(broken)?;
    }
    let (stream, sequence) = packets.into_parts();
    let opened = attempt.secure(stream, local, offers).await?;
    let mut packets = Packets::resume(opened.stream, sequence);
    let link = opened.link;
    authenticate(&mut packets, &attempt, &greeting, capabilities, link.is_encrypted).await?;
    let rows = packets.query("SELECT 1").await.map_err(broken)?;
    rows.map_err(|code| refusal::of_code(endpoint, code))?;
    Ok((packets, link))
}
