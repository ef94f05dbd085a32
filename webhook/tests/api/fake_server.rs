//! A fake API server with one object: list, watch and JSON patch over HTTP.
//!
//! A watch starts at the `resourceVersion` of its request, so a change between a list and a watch,
//! or between two watches, is not lost.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use certs::certificate::Certificate;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use kube::{Client, Config};
use runtime::tasks::Tasks;
use runtime::tls::{Limits, serve_plain};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

type Reply = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// How the server ends every open watch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WatchEnd {
    /// As after its timeout.
    Complete,
    /// The connection breaks.
    Torn,
    /// With the error 410: the client's version is too old, so it has to list again.
    Gone,
}

/// Requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestCount {
    pub(crate) lists: usize,
    pub(crate) watches: usize,
}

#[derive(Debug, Default)]
struct StoredObject {
    version: u64,
    /// The version since which the object exists.
    created: u64,
    object: Option<Value>,
    /// How many times the open watches were ended, and how the last time.
    watch_ends: (usize, Option<WatchEnd>),
}

impl StoredObject {
    fn event(&self, since: u64) -> Value {
        let kind = if self.created > since { "ADDED" } else { "MODIFIED" };
        json!({ "type": kind, "object": self.object })
    }
}

/// Clones share the object.
#[derive(Clone)]
pub(crate) struct FakeApiServer {
    /// The path of the object's collection.
    collection: &'static str,
    name: &'static str,
    stored: watch::Sender<StoredObject>,
    /// How many of the next patches fail.
    pub(crate) patches_to_fail: Arc<Mutex<usize>>,
    pub(crate) patches: Arc<Mutex<Vec<Value>>>,
    requests: Arc<Mutex<RequestCount>>,
}

impl FakeApiServer {
    /// A server without an object.
    pub(crate) fn new(collection: &'static str, name: &'static str) -> Self {
        Self {
            collection,
            name,
            stored: watch::Sender::new(StoredObject { version: 1, ..StoredObject::default() }),
            patches_to_fail: Arc::default(),
            patches: Arc::default(),
            requests: Arc::default(),
        }
    }

    /// Serves on a port of localhost, and returns a client.
    pub(crate) async fn start(&self, tasks: &Tasks) -> Client {
        runtime::provider::install().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.clone();
        let handler = move |request| server.clone().answer(request);
        let serving = serve_plain(listener, Limits::default(), handler, tasks.clone());
        tasks.spawn("server", serving);
        Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap()
    }

    /// Creates or replaces the object, and notifies the watches.
    pub(crate) fn put(&self, object: Value) {
        self.stored.send_modify(|stored| {
            stored.version += 1;
            if stored.object.is_none() {
                stored.created = stored.version;
            }
            let object = stored.object.insert(object);
            object["metadata"]["resourceVersion"] = json!(stored.version.to_string());
        });
    }

    /// Changes the object and notifies the watches.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut object = self.object();
        change(&mut object);
        self.put(object);
    }

    pub(crate) fn object(&self) -> Value {
        self.stored.borrow().object.clone().unwrap()
    }

    pub(crate) async fn wait_for(&self, condition: impl Fn(&Value) -> bool) {
        let mut changes = self.stored.subscribe();
        changes.wait_for(|stored| stored.object.as_ref().is_some_and(&condition)).await.unwrap();
    }

    pub(crate) fn end_watches(&self, end: WatchEnd) {
        self.stored.send_modify(|stored| {
            stored.watch_ends = (stored.watch_ends.0 + 1, Some(end));
        });
    }

    pub(crate) fn requests(&self) -> RequestCount {
        *self.requests.lock().unwrap()
    }

    async fn answer(self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path();
        if request.method() == Method::PATCH {
            assert_eq!(path, format!("{}/{}", self.collection, self.name));
            return self.patch(request).await;
        }
        assert_eq!((request.method(), path), (&Method::GET, self.collection));
        let query = request.uri().query().unwrap_or_default();
        // RBAC by resourceNames allows only this selector.
        let selector = format!("fieldSelector=metadata.name%3D{}", self.name);
        assert!(query.split('&').any(|part| part == selector), "{query}");
        if query.split('&').any(|part| part == "watch=true") {
            self.requests.lock().unwrap().watches += 1;
            let version = query.split('&').find_map(|part| part.strip_prefix("resourceVersion="));
            self.watch(version.unwrap().parse().unwrap())
        } else {
            self.requests.lock().unwrap().lists += 1;
            self.list()
        }
    }

    fn list(&self) -> Reply {
        let stored = self.stored.borrow();
        let list = json!({
            "metadata": { "resourceVersion": stored.version.to_string() },
            "items": stored.object.as_slice(),
        });
        json_reply(StatusCode::OK, &list)
    }

    /// The changes after the version `since`.
    fn watch(&self, since: u64) -> Reply {
        let changes = self.stored.subscribe();
        let ends = changes.borrow().watch_ends.0;
        let events = stream::unfold(Some((changes, since)), move |watch| async move {
            let (mut changes, since) = watch?;
            let is_news = |stored: &StoredObject| {
                stored.watch_ends.0 > ends || (stored.version > since && stored.object.is_some())
            };
            let stored = changes.wait_for(is_news).await.ok()?;
            let (frame, next) = match stored.watch_ends {
                (count, end) if count > ends => (last_frame(end?)?, None),
                _ => (Ok(line(&stored.event(since))), Some(stored.version)),
            };
            drop(stored);
            Some((frame, next.map(|version| (changes, version))))
        });
        Response::new(StreamBody::new(events.boxed()).boxed_unsync())
    }

    async fn patch(&self, request: Request<Incoming>) -> Reply {
        assert_eq!(request.headers()["content-type"], "application/json-patch+json");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let patch: Value = serde_json::from_slice(&body).unwrap();
        self.patches.lock().unwrap().push(patch.clone());
        let fails = {
            let mut failing = self.patches_to_fail.lock().unwrap();
            let fails = *failing > 0;
            *failing = failing.saturating_sub(1);
            fails
        };
        if fails {
            let status = status(500, "InternalError");
            return json_reply(StatusCode::INTERNAL_SERVER_ERROR, &status);
        }
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        self.change(|object| json_patch::patch(object, &patch).unwrap());
        json_reply(StatusCode::OK, &self.object())
    }
}

/// A self-signed certificate.
pub(crate) fn ca(name: &str) -> Certificate {
    let pem = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem();
    Certificate::from_pem(pem.as_bytes()).unwrap().remove(0)
}

fn last_frame(end: WatchEnd) -> Option<io::Result<Frame<Bytes>>> {
    match end {
        WatchEnd::Complete => None,
        WatchEnd::Torn => Some(Err(io::ErrorKind::ConnectionReset.into())),
        WatchEnd::Gone => {
            Some(Ok(line(&json!({ "type": "ERROR", "object": status(410, "Expired") }))))
        }
    }
}

fn line(event: &Value) -> Frame<Bytes> {
    Frame::data(Bytes::from(format!("{event}\n")))
}

fn status(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no",
    })
}

fn json_reply(status: StatusCode, body: &Value) -> Reply {
    let body = Full::new(Bytes::from(body.to_string()));
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body.map_err(|never| match never {}).boxed_unsync())
        .unwrap()
}
