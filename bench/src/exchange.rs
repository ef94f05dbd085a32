//! One HTTP/1.1 connection that repeats a request. It shares the processors with the server that it
//! measures, so it does no more than it must: the request is written from memory, and of the answer
//! it reads the status, the length and the body.

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// More than any head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;

const READ_BYTES: usize = 16 << 10;

/// A connection and its request.
pub(crate) struct Exchange<S> {
    stream: S,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// The parts of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    status: u16,
    body: Range<usize>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    /// Repeats a request on `stream`.
    pub(crate) fn new(stream: S, request: Vec<u8>) -> Self {
        Self { stream, request, answer: Vec::new() }
    }

    /// Sends the request and returns the body of its answer.
    ///
    /// # Errors
    /// If the status is not 200, or the connection fails.
    pub(crate) async fn once(&mut self) -> Result<&[u8]> {
        self.stream.write_all(&self.request).await.context("send request")?;
        self.stream.flush().await.context("send request")?;
        self.answer.clear();
        loop {
            if let Some(Parts { status, body }) = parts(&self.answer)? {
                ensure!(body.end == self.answer.len(), "bytes follow the answer");
                let body = &self.answer[body];
                ensure!(status == 200, "answered {status}: {}", String::from_utf8_lossy(body));
                return Ok(body);
            }
            self.answer.reserve(READ_BYTES);
            let read = self.stream.read_buf(&mut self.answer).await.context("read answer")?;
            ensure!(read > 0, "read answer: the server closed the connection");
        }
    }
}

/// The parts of an answer, once it is complete.
fn parts(answer: &[u8]) -> Result<Option<Parts>> {
    let Some(end) = answer.windows(4).position(|it| it == b"\r\n\r\n") else {
        ensure!(answer.len() < MAX_HEAD_BYTES, "read answer: its head has no end");
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..end]).context("read head of answer")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("read answer: it has no length");
        }
    }
    let (status, length) =
        (status.context("read status of answer")?, length.context("read length of answer")?);
    let body = end + 4..end + 4 + length;
    Ok((answer.len() >= body.end).then_some(Parts { status, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_the_last_byte_of_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx: y\r\n\r\n{}";
        for end in 0..answer.len() {
            assert_eq!(parts(&answer[..end]).unwrap(), None, "{end}");
        }
        let body = answer.len() - 2..answer.len();
        assert_eq!(parts(answer).unwrap(), Some(Parts { status: 200, body }));
    }

    #[test]
    fn an_answer_without_a_length_is_an_error() {
        for head in ["", "content-length: x\r\n", "Transfer-Encoding: chunked\r\n"] {
            assert!(parts(format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes()).is_err(), "{head}");
        }
        assert!(parts(&vec![b'x'; MAX_HEAD_BYTES]).is_err());
    }
}
