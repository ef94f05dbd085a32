//! An HTTPS server that takes events as lines; a 2xx says that it has them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use audit::{Format, Record};
use contract::Redacted;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use runtime::logs::ErrorChain;
use rustls::ClientConfig;

use super::SendError;

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
        let builder =
            reqwest::Client::builder().https_only(true).redirect(reqwest::redirect::Policy::none());
        let builder = builder.user_agent(concat!("switchyard/", env!("CARGO_PKG_VERSION")));
        let builder = match tls {
            Some(tls) => builder.tls_backend_preconfigured(ClientConfig::clone(&tls)),
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
        // The URL may hold a token, so errors go without it.
        let place = self.url.split(['?', '@']).next().unwrap_or_default().to_owned();
        let answer = request.send().await.map_err(|error| SendError::Http {
            place: place.clone(),
            source: error.without_url(),
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(SendError::Status { place, status: status.as_u16(), rest: rest(answer.headers()) })
    }
}

/// How long the server asks to be left alone, where it says so in seconds.
fn rest(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// Read each time: whoever renews it need not tell us.
async fn authorization(path: &std::path::Path) -> Result<HeaderValue, SendError> {
    let place = path.display().to_string();
    let own = path.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read(own)).await;
    let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let token = Redacted::new(read.map_err(|source| SendError::Io {
        step: "read",
        place: place.clone(),
        source,
    })?);
    let mut header = HeaderValue::from_bytes(&[b"Bearer ", token.expose().trim_ascii()].concat())
        .map_err(|_| SendError::Token { path: place })?;
    header.set_sensitive(true);
    Ok(header)
}
