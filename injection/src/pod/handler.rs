//! Probes and hooks: what may hold credentials in them, and what a probe of the application asks.

use serde::Deserialize;

use super::JsonStr;

/// What kubelet does for a probe or a hook.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Handler<'a> {
    #[serde(borrow)]
    exec: Option<ExecAction<'a>>,
    // Boxed, since a pod has five handlers for each of any number of containers.
    #[serde(borrow)]
    http_get: Option<Box<HttpGetAction<'a>>>,
    #[serde(borrow)]
    tcp_socket: Option<Box<TcpSocketAction<'a>>>,
    #[serde(borrow)]
    grpc: Option<Box<GrpcAction<'a>>>,
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

/// A GET.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HttpGetAction<'a> {
    #[serde(borrow)]
    pub(crate) scheme: Option<JsonStr<'a>>,
    #[serde(borrow)]
    pub(crate) host: Option<JsonStr<'a>>,
    #[serde(borrow)]
    pub(crate) port: Option<ProbePort<'a>>,
    #[serde(borrow)]
    pub(crate) path: Option<JsonStr<'a>>,
    #[serde(borrow)]
    http_headers: Option<Vec<HttpHeader<'a>>>,
}

/// A connection.
#[derive(Debug, Deserialize)]
pub(crate) struct TcpSocketAction<'a> {
    #[serde(borrow)]
    pub(crate) host: Option<JsonStr<'a>>,
    #[serde(borrow)]
    pub(crate) port: Option<ProbePort<'a>>,
}

#[derive(Debug, Deserialize)]
struct GrpcAction<'a> {
    #[serde(borrow)]
    port: Option<ProbePort<'a>>,
}

/// A port, or the name of one of the container's.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum ProbePort<'a> {
    Number(i64),
    Name(#[serde(borrow)] JsonStr<'a>),
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

    /// The request, if it is one.
    pub(crate) fn http_get(&self) -> Option<&HttpGetAction<'_>> {
        self.http_get.as_deref()
    }

    /// The connection, if it is one.
    pub(crate) fn tcp_socket(&self) -> Option<&TcpSocketAction<'_>> {
        self.tcp_socket.as_deref()
    }

    /// The port, if it is a request or a connection to the container.
    pub(super) fn port(&self) -> Option<&ProbePort<'_>> {
        let of_get = self.http_get().filter(|it| is_own(it.host.as_deref()));
        let of_get = of_get.and_then(|it| it.port.as_ref());
        let of_socket = self.tcp_socket().filter(|it| is_own(it.host.as_deref()));
        let of_socket = of_socket.and_then(|it| it.port.as_ref());
        of_get.or(of_socket).or_else(|| self.grpc.as_ref()?.port.as_ref())
    }

    /// The names and values of the request's headers.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.http_get.iter().flat_map(|get| get.http_headers.iter().flatten());
        headers.map(|header| (&*header.name, &*header.value))
    }
}

/// Whether a probe goes to its own pod, as it does without a host.
fn is_own(host: Option<&str>) -> bool {
    host.is_none_or(str::is_empty)
}
