//! The subset of HTTP/1.1 that the proxy needs.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The answer of a load balancer without a server.
pub(super) const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/html\r\ncontent-length: \
         26\r\nconnection: close\r\n\r\n<html>no server</html>\r\n\r\n";

/// An internal error, in Vault's format.
pub(super) const FAILED: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: \
         34\r\nconnection: close\r\n\r\n{\"errors\":[\"1 error occurred: x\"]}";

const MAX_REQUEST_BYTES: usize = 16 << 20;

/// Reads one whole request. `None` if the client disconnects first.
pub(super) async fn request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut promised = false;
    loop {
        if let Some(head) = head(&bytes) {
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let whole = if header(&text, "transfer-encoding")
                .is_some_and(|value| value.contains("chunked"))
            {
                // Sufficient for JSON, whose chunks do not contain this text.
                bytes.ends_with(b"0\r\n\r\n")
            } else {
                let length: usize = header(&text, "content-length")
                    .and_then(|value| value.parse().ok())
                    .unwrap_or(0);
                bytes.len() >= head + length
            };
            if whole {
                return Ok(Some(bytes));
            }
            if !promised && header(&text, "expect").is_some() {
                client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                promised = true;
            }
        }
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(io::Error::other("the request is too large"));
        }
        let mut buffer = [0; 16 << 10];
        let read = client.read(&mut buffer).await?;
        if read == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
}

/// Adds `connection: close`, so that the end of the connection marks the end of the answer.
pub(super) fn closing(request: Vec<u8>) -> Vec<u8> {
    let Some(head) = head(&request) else { return request };
    let text = String::from_utf8_lossy(&request[..head]);
    let kept = text
        .trim_end()
        .split("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut closing: String = kept.flat_map(|line| [line, "\r\n"]).collect();
    closing.push_str("connection: close\r\n\r\n");
    let mut closing = closing.into_bytes();
    closing.extend_from_slice(&request[head..]);
    closing
}

/// The length of the head, including its blank line.
fn head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim())
}
