//! Asks the application on the loopback whether it is well.

use contract::{LoopbackUrl, Readiness};
use http::{Method, StatusCode};
use http_body_util::Empty;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls;
use crate::error::error_chain;
use crate::loopback::{self, HttpAnswer, addresses, exchange};

/// The longest answer of which a field is looked at, in bytes.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Where kubelet's probes are asked.
const PROBED_HOST: &str = "localhost";

/// A GET at an address. Ok says what was seen.
pub(super) async fn get(
    url: &LoopbackUrl,
    field: Option<&str>,
    generations: &[String],
) -> Result<String, String> {
    let tcp = connect(url.host(), url.port()).await?;
    let max_body = if field.is_some() { MAX_BODY_BYTES } else { 0 };
    let answer = ask(tcp, (url.host(), url.port(), url.path()), max_body).await?;
    if !answer.status.is_success() {
        return Err(format!("the application answered {}, expected 2xx", answer.status));
    }
    let Some(field) = field else { return Ok(format!("answered {}", answer.status)) };
    let body = answer
        .body
        .ok_or_else(|| format!("the answer has no body of at most {MAX_BODY_BYTES} bytes"))?;
    compare_field(&body, field, generations)
}

/// The readiness probe of a pod's spec. Ok says what was seen.
pub(super) async fn probe(readiness: &Readiness) -> Result<String, String> {
    match readiness {
        Readiness::Tcp { port } => {
            connect(PROBED_HOST, *port).await?;
            Ok("accepted a connection".to_owned())
        }
        Readiness::Http { port, path, tls: false } => {
            let tcp = connect(PROBED_HOST, *port).await?;
            is_ready(ask(tcp, (PROBED_HOST, *port, path), 0).await?.status)
        }
        Readiness::Http { port, path, tls: true } => {
            let tls =
                tls::connect((*port, None), None).await.map_err(|error| error_chain(&error))?;
            is_ready(ask(tls, (PROBED_HOST, *port, path), 0).await?.status)
        }
    }
}

fn is_ready(status: StatusCode) -> Result<String, String> {
    // Kubelet takes redirects as ready too.
    match status.is_success() || status.is_redirection() {
        true => Ok(format!("answered {status}")),
        false => Err(format!("the application answered {status}")),
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let connected = TcpStream::connect(&*addresses(host, port)).await;
    connected.map_err(|error| format!("connect port {port}: {error}"))
}

async fn ask(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    (host, port, path): (&str, u16, &str),
    max_body: usize,
) -> Result<HttpAnswer, String> {
    let request = loopback::request(Method::GET, host, port, path)
        .body(Empty::new())
        .map_err(|error| format!("build request: {error}"))?;
    exchange(io, request, max_body).await.map_err(|error| error_chain(&error))
}

/// Whether the field of a JSON object, found through the names between its dots, has the number of
/// a generation.
fn compare_field(body: &[u8], field: &str, generations: &[String]) -> Result<String, String> {
    let json: serde_json::Value =
        serde_json::from_slice(body).map_err(|_| "the answer is not JSON".to_owned())?;
    let found = field.split('.').try_fold(&json, |value, name| value.get(name));
    let number = match found {
        Some(serde_json::Value::Number(number)) => number.as_u64(),
        Some(serde_json::Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let wanted = generations.join(" or ");
    // Another value of the field may be anything, so it is not shown.
    let number = number.ok_or_else(|| format!("{field} has no number, expected {wanted}"))?;
    match generations.contains(&number.to_string()) {
        true => Ok(format!("{field} is {number}")),
        false => Err(format!("{field} is {number}, expected {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_names_the_generation() {
        let generations = ["12".to_owned(), "3".to_owned()];
        for (body, expected) in [
            (r#"{"a":{"generation":12}}"#, Ok("a.generation is 12")),
            (r#"{"a":{"generation":"3"}}"#, Ok("a.generation is 3")),
            (r#"{"a":{"generation":11}}"#, Err("a.generation is 11, expected 12 or 3")),
            (r#"{"a":{"generation":-1}}"#, Err("a.generation has no number, expected 12 or 3")),
            (
                r#"{"a":{"generation":"s3cret"}}"#,
                Err("a.generation has no number, expected 12 or 3"),
            ),
            (r#"{"generation":12}"#, Err("a.generation has no number, expected 12 or 3")),
            (r#"[12]"#, Err("a.generation has no number, expected 12 or 3")),
            ("s3cret", Err("the answer is not JSON")),
        ] {
            let found = compare_field(body.as_bytes(), "a.generation", &generations);
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{body}");
        }
    }

    #[test]
    fn ready_is_what_kubelet_takes_as_ready() {
        for (status, expected) in
            [(200, true), (302, true), (399, true), (404, false), (503, false)]
        {
            assert_eq!(is_ready(StatusCode::from_u16(status).unwrap()).is_ok(), expected);
        }
    }
}
