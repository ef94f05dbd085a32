//! Probes and hooks, as far as they may hold credentials: commands and headers.

use serde::Deserialize;

use super::JsonStr;

/// What kubelet does for a probe or a hook.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Handler<'a> {
    #[serde(borrow)]
    exec: Option<ExecAction<'a>>,
    #[serde(borrow)]
    http_get: Option<HttpGetAction<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lifecycle<'a> {
    #[serde(borrow)]
    post_start: Option<Handler<'a>>,
    #[serde(borrow)]
    pre_stop: Option<Handler<'a>>,
}

#[derive(Debug, Deserialize)]
struct ExecAction<'a> {
    #[serde(borrow)]
    command: Option<Vec<JsonStr<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpGetAction<'a> {
    #[serde(borrow)]
    http_headers: Option<Vec<HttpHeader<'a>>>,
}

#[derive(Debug, Deserialize)]
struct HttpHeader<'a> {
    #[serde(borrow, default)]
    name: JsonStr<'a>,
    #[serde(borrow, default)]
    value: JsonStr<'a>,
}

impl Lifecycle<'_> {
    pub(super) fn post_start(&self) -> Option<&Handler<'_>> {
        self.post_start.as_ref()
    }

    pub(super) fn pre_stop(&self) -> Option<&Handler<'_>> {
        self.pre_stop.as_ref()
    }
}

impl Handler<'_> {
    /// The words of the command; none if it is a request.
    pub(crate) fn command(&self) -> impl Iterator<Item = &str> {
        self.exec.iter().flat_map(|exec| exec.command.iter().flatten()).map(|word| &**word)
    }

    /// The names and values of the request's headers.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.http_get.iter().flat_map(|get| get.http_headers.iter().flatten());
        headers.map(|header| (&*header.name, &*header.value))
    }
}
