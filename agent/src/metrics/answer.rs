//! The answer to one HTTP request for metrics. Pure.

use std::fmt::Write;

use http::{StatusCode, Uri};

use super::exposition::CONTENT_TYPE;

const TEXT: &str = "text/plain; charset=utf-8";

/// The answer to a request with this head, as it goes over the wire. The connection ends after it.
pub(super) fn answer(head: &[u8], metrics: impl FnOnce() -> String) -> Vec<u8> {
    let line = head.split(|byte| *byte == b'\r').next().and_then(|it| str::from_utf8(it).ok());
    let mut words = line.unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return refusal(StatusCode::BAD_REQUEST);
    };
    let uri = target.parse::<Uri>().ok().filter(|_| version.starts_with("HTTP/1."));
    match (method, uri.as_ref().map(Uri::path)) {
        (_, None) => refusal(StatusCode::BAD_REQUEST),
        ("GET" | "HEAD", Some("/metrics")) => {
            response(StatusCode::OK, CONTENT_TYPE, &metrics(), method == "GET")
        }
        // RFC 9110, section 9.3.2: no answer to HEAD has a body.
        ("HEAD", Some(_)) => response(StatusCode::NOT_FOUND, TEXT, "", false),
        ("GET", Some(_)) => refusal(StatusCode::NOT_FOUND),
        _ => refusal(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// A short answer that says what is wrong.
pub(super) fn refusal(status: StatusCode) -> Vec<u8> {
    let text = match status {
        StatusCode::NOT_FOUND => "only /metrics\n",
        StatusCode::METHOD_NOT_ALLOWED => "only GET\n",
        _ => "no request for metrics\n",
    };
    response(status, TEXT, text, true)
}

fn response(status: StatusCode, kind: &str, body: &str, has_body: bool) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut text = String::with_capacity(256 + body.len());
    // A text takes all that is written into it.
    let _ = write!(text, "HTTP/1.1 {} {reason}\r\ncontent-type: {kind}\r\n", status.as_u16());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        text.push_str("allow: GET, HEAD\r\n");
    }
    let _ = write!(text, "content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    if has_body {
        text.push_str(body);
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(head: &str) -> String {
        String::from_utf8(answer(head.as_bytes(), || "x 1\n".to_owned())).unwrap()
    }

    #[test]
    fn only_a_get_of_the_metrics_gets_them() {
        for (line, status) in [
            ("GET /metrics HTTP/1.1", "200 OK"),
            ("GET /metrics HTTP/1.0", "200 OK"),
            ("GET /metrics?name[]=x HTTP/1.1", "200 OK"),
            ("GET http://10.0.0.1:9876/metrics HTTP/1.1", "200 OK"),
            ("GET / HTTP/1.1", "404 Not Found"),
            ("GET /metrics/ HTTP/1.1", "404 Not Found"),
            ("GET /../metrics HTTP/1.1", "404 Not Found"),
            ("HEAD /x HTTP/1.1", "404 Not Found"),
            ("POST /metrics HTTP/1.1", "405 Method Not Allowed"),
            ("get /metrics HTTP/1.1", "405 Method Not Allowed"),
            ("OPTIONS * HTTP/1.1", "405 Method Not Allowed"),
            ("PRI * HTTP/2.0", "400 Bad Request"),
            ("GET /metrics", "400 Bad Request"),
            ("GET  /metrics HTTP/1.1", "400 Bad Request"),
            ("GET /metrics HTTP/1.1 x", "400 Bad Request"),
            ("\u{16}\u{3}\u{1}", "400 Bad Request"),
            ("", "400 Bad Request"),
        ] {
            let found = of(&format!("{line}\r\nhost: x\r\n\r\n"));
            assert!(found.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{line}: {found}");
            assert_eq!(found.ends_with("\r\n\r\nx 1\n"), status == "200 OK", "{line}: {found}");
            assert_eq!(found.contains("\r\nallow: GET, HEAD\r\n"), status.starts_with("405"));
        }
    }

    #[test]
    fn the_answer_says_its_length_and_that_it_is_the_last() {
        assert_eq!(
            of("GET /metrics HTTP/1.1\r\n\r\n"),
            "HTTP/1.1 200 OK\r\n\
             content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
             content-length: 4\r\nconnection: close\r\n\r\nx 1\n"
        );
        let head = of("HEAD /metrics HTTP/1.1\r\n\r\n");
        assert!(head.contains("content-length: 4\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(of("HEAD /x HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_answered(head: Vec<u8>) {
            prop_assert!(answer(&head, String::new).starts_with(b"HTTP/1.1 "));
        }
    }
}
