//! As much of HTTP/1.1 as a proxy needs that passes one request and its answer on.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a load balancer says when there is nobody behind it.
pub(super) const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/html\r\ncontent-length: 26\r\nconnection: close\r\n\r\n<html>no server</html>\r\n\r\n";

/// What a server says that failed on the way, in the shape that Vault has.
pub(super) const FAILED: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 34\r\nconnection: close\r\n\r\n{\"errors\":[\"1 error occurred: x\"]}";

const LIMIT: usize = 16 << 20;

/// Reads one whole request, or nothing where the client went before it sent one.
pub(super) async fn request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut promised = false;
    loop {
        if let Some(head) = head(&bytes) {
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let whole = if header(&text, "transfer-encoding")
                .is_some_and(|value| value.contains("chunked"))
            {
                // Enough for a body whose chunks hold no such text, which JSON without blank lines
                // does not.
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
        if bytes.len() > LIMIT {
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

/// The request with a word to the server that it is the connection's last, so that the answer ends
/// where the connection does.
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

/// How many bytes the head has, its blank line included.
fn head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim())
}
