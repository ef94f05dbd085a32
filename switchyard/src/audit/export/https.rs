//! An HTTPS sink. It posts events as lines; a 2xx response confirms them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use audit::{Format, Record};
use contract::Redacted;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use runtime::bearer;
use runtime::http_client::HttpClientBuilder;
use runtime::logs::ErrorChain;
use rustls::ClientConfig;

use super::{SEND_TIMEOUT, SendError};

#[derive(Clone, Debug)]
pub(super) struct HttpsSink {
    url: String,
    http: reqwest::Client,
    token_file: Option<PathBuf>,
    format: Format,
}

impl HttpsSink {
    pub(super) fn new(
        url: String,
        tls: Option<Arc<ClientConfig>>,
        token_file: Option<PathBuf>,
        format: Format,
    ) -> Result<Self, String> {
        let builder = HttpClientBuilder::new(concat!("switchyard/", env!("CARGO_PKG_VERSION")))
            .timeout(SEND_TIMEOUT)
            .environment_proxy();
        let builder = match tls {
            Some(tls) => builder.tls_config(ClientConfig::clone(&tls)),
            None => builder,
        };
        let http = builder.build().map_err(|error| ErrorChain(&error).to_string())?;
        Ok(Self { url, http, token_file, format })
    }

    pub(super) async fn send(&self, records: &[Record]) -> Result<(), SendError> {
        let mut body = String::new();
        for record in records {
            body.push_str(&self.format.line(record));
            body.push('\n');
        }
        let mut request =
            self.http.post(&self.url).header(CONTENT_TYPE, self.format.media_type()).body(body);
        if let Some(path) = &self.token_file {
            request = request.header(AUTHORIZATION, authorization(path).await?);
        }
        // The URL may contain a token, so errors omit its query and credentials.
        let target = self.url.split(['?', '@']).next().unwrap_or_default().to_owned();
        let answer = request.send().await.map_err(|error| SendError::Http {
            target: target.clone(),
            source: error.without_url(),
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(SendError::Status {
            target,
            status: status.as_u16(),
            retry_after: retry_after(answer.headers()),
        })
    }
}

/// The server's `Retry-After`, if it is in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// Reads the token for each request, so that it can be rotated.
async fn authorization(path: &std::path::Path) -> Result<HeaderValue, SendError> {
    let target = path.display().to_string();
    let own = path.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read(own)).await;
    let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let token = Redacted::new(read.map_err(|source| SendError::Io {
        step: "read",
        target: target.clone(),
        source,
    })?);
    bearer::header_value(token.expose().trim_ascii()).map_err(|_| SendError::Token { path: target })
}
