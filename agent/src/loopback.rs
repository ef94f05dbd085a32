//! HTTP on the pod's loopback: one request on a connection of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;

use bytes::Bytes;
use http::request::Builder;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// An answer.
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    /// The body, if it is not too long.
    pub(crate) body: Option<Bytes>,
}

/// Where a host is, in the order of the attempts. `localhost` is both loopback addresses (RFC
/// 6761), whatever the image's `/etc/hosts` says.
pub(crate) fn addresses(host: &str, port: u16) -> Vec<SocketAddr> {
    let hosts = match host.parse::<IpAddr>() {
        Ok(host) => vec![host],
        Err(_) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
    };
    hosts.into_iter().map(|host| SocketAddr::new(host, port)).collect()
}

/// A request without a body, on a connection that is closed after it.
pub(crate) fn request(method: Method, host: &str, port: u16, path: &str) -> Builder {
    let authority =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, crate::source::USER_AGENT)
        .header(header::CONNECTION, "close")
}

/// Sends a request and reads its answer, with up to `max_body` bytes of its body; 0 reads none.
pub(crate) async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
    max_body: usize,
) -> hyper::Result<HttpAnswer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        if max_body == 0 {
            return Ok(HttpAnswer { status, body: None });
        }
        let body = Limited::new(response.into_body(), max_body).collect().await;
        Ok(HttpAnswer { status, body: body.ok().map(|body| body.to_bytes()) })
    });
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        end = &mut connection => {
            // The server may close right after its answer, which has then arrived already.
            end?;
            answer.await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_both_loopback_addresses() {
        for (host, expected) in [
            ("127.0.0.1", &["127.0.0.1:80"][..]),
            ("::1", &["[::1]:80"]),
            ("localhost", &["127.0.0.1:80", "[::1]:80"]),
        ] {
            let found: Vec<_> = addresses(host, 80).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        }
    }
}
