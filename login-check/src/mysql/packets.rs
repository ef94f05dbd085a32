//! MySQL's packets: three bytes of length, a number that counts them, and what they carry.

use std::io;

use mysql_common::constants::Command;
use mysql_common::io::ParseBuf;
use mysql_common::proto::MySerialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest packet that is read, in bytes.
pub(super) const MAX_PACKET_BYTES: u32 = 64 << 10;

/// The most columns of a result.
const MAX_COLUMNS: u64 = 32;

const OK: u8 = 0x00;
const NULL: u8 = 0xfb;
const END: u8 = 0xfe;
const ERROR: u8 = 0xff;

/// The rows of a result, or the code of the error that the server answered.
pub(super) type QueryResult = Result<Vec<Vec<Option<String>>>, u16>;

/// A connection as packets.
pub(super) struct Packets<S> {
    stream: S,
    sequence: u8,
}

impl<S> Packets<S> {
    /// From the start of a connection.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, sequence: 0 }
    }

    /// After TLS was put under them.
    pub(super) fn resume(stream: S, sequence: u8) -> Self {
        Self { stream, sequence }
    }

    /// The connection, and the number of the next packet.
    pub(super) fn into_parts(self) -> (S, u8) {
        (self.stream, self.sequence)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Packets<S> {
    /// The next packet. It is never empty.
    pub(super) async fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).await?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        if length == 0 || length > MAX_PACKET_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.sequence = header[3].wrapping_add(1);
        let mut packet = vec![0; usize::try_from(length).unwrap_or_default()];
        self.stream.read_exact(&mut packet).await?;
        Ok(packet)
    }

    /// Sends what a packet carries.
    pub(super) async fn write(&mut self, carried: &[u8]) -> io::Result<()> {
        let length = u32::try_from(carried.len())
            .ok()
            .filter(|length| *length <= MAX_PACKET_BYTES)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let [low, middle, high, _] = length.to_le_bytes();
        // One write: in two, the kernel might send two segments.
        let mut packet = vec![low, middle, high, self.sequence];
        packet.extend_from_slice(carried);
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&packet).await?;
        self.stream.flush().await
    }

    /// Sends one of the library's packets.
    pub(super) async fn write_packet(&mut self, packet: &impl MySerialize) -> io::Result<()> {
        let mut carried = Vec::new();
        packet.serialize(&mut carried);
        self.write(&carried).await
    }

    /// Says goodbye.
    pub(super) async fn quit(&mut self) -> io::Result<()> {
        self.sequence = 0;
        self.write(&[Command::COM_QUIT as u8]).await
    }

    /// The result of a query.
    pub(super) async fn query(&mut self, query: &str) -> io::Result<QueryResult> {
        self.sequence = 0;
        let mut command = vec![Command::COM_QUERY as u8];
        command.extend_from_slice(query.as_bytes());
        self.write(&command).await?;
        let first = self.read().await?;
        if let Some(code) = error_code(&first) {
            return Ok(Err(code));
        }
        if first[0] == OK {
            return Ok(Ok(Vec::new()));
        }
        let columns = ParseBuf(&first).checked_eat_lenenc_int();
        let columns =
            columns.filter(|count| *count <= MAX_COLUMNS).ok_or(io::ErrorKind::InvalidData)?;
        for _ in 0..columns {
            self.read().await?;
        }
        if !is_end(&self.read().await?) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut rows = Vec::new();
        loop {
            let packet = self.read().await?;
            if let Some(code) = error_code(&packet) {
                return Ok(Err(code));
            }
            if is_end(&packet) {
                return Ok(Ok(rows));
            }
            rows.push(row(&packet, columns).ok_or(io::ErrorKind::InvalidData)?);
        }
    }
}

/// The code in a packet that says an error.
pub(super) fn error_code(packet: &[u8]) -> Option<u16> {
    match packet {
        [ERROR, low, high, ..] => Some(u16::from_le_bytes([*low, *high])),
        _ => None,
    }
}

fn is_end(packet: &[u8]) -> bool {
    // A longer one is a row whose first value has more than 16 MiB.
    packet.first() == Some(&END) && packet.len() < 9
}

fn row(packet: &[u8], columns: u64) -> Option<Vec<Option<String>>> {
    let mut rest = ParseBuf(packet);
    let mut row = Vec::new();
    for _ in 0..columns {
        if rest.0.first() == Some(&NULL) {
            rest.skip(1);
            row.push(None);
            continue;
        }
        let value = rest.checked_eat_lenenc_str()?;
        row.push(Some(String::from_utf8_lossy(value).into_owned()));
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_damaged_ones_are_not() {
        let text = |text: &str| Some(text.to_owned());
        for (packet, expected) in [
            (&b"\x02ab\xfb\x00"[..], Some(vec![text("ab"), None, text("")])),
            (b"\x02ab\xfb", None),
            (b"\x09ab\xfb\x00", None),
            (b"", None),
        ] {
            assert_eq!(row(packet, 3), expected, "{packet:?}");
        }
        assert_eq!(error_code(b"\xff\x15\x04text"), Some(1045));
        assert_eq!(error_code(b"\xff\x15"), None);
    }

    #[tokio::test]
    async fn a_packet_over_the_limit_is_not_read() {
        let mut packets = Packets::new(tokio::io::join(&b"\xff\xff\xff\x00aa"[..], Vec::new()));
        assert_eq!(packets.read().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
