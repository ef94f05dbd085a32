//! The manager over a Secret, against a server that answers as the API server does and allows only
//! what the role in the manifests allows.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]
#![allow(dead_code, reason = "each test file uses a part of the support")]

mod support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use certs::bundle::TrustBundle;
use certs::followed_secret::FollowedSecret;
use certs::manager::{CertManager, CertManagerError, Settings};
use certs::publish::CertPublisher;
use certs::renewal::RenewalStep;
use certs::store::directory::DirectoryCertStore;
use certs::store::secret::SecretCertStore;
use runtime::logs::ErrorChain;
use runtime::readiness::Readiness;
use runtime::tasks::Tasks;
use runtime::tls::{Limits, serve_plain};
use support::{ManualClock, eventually, settings};

const COLLECTION: &str = "/api/v1/namespaces/enclii-system/secrets";
const NAME: &str = "webhook-tls";

/// One Secret in one namespace.
#[derive(Clone)]
struct ApiServer {
    // Version and content; the version also grows when the Secret goes away.
    secret: Arc<watch::Sender<(u64, Option<Value>)>>,
    requests: Arc<Mutex<Vec<String>>>,
    may_create: bool,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl ApiServer {
    fn new(may_create: bool) -> Self {
        let server = Self {
            secret: Arc::new(watch::Sender::new((1, None))),
            requests: Arc::default(),
            may_create,
        };
        server.put(json!({ "note": "a2VwdA==" }));
        server
    }

    fn put(&self, data: Value) {
        self.secret.send_modify(|(version, secret)| {
            *version += 1;
            let metadata = json!({ "name": NAME, "resourceVersion": version.to_string() });
            *secret = Some(json!({ "metadata": metadata, "data": data, "type": "Opaque" }));
        });
    }

    fn delete(&self) {
        self.secret.send_modify(|(version, secret)| {
            *version += 1;
            *secret = None;
        });
    }

    fn data(&self) -> Option<Value> {
        let held = self.secret.borrow();
        held.1.as_ref().map(|secret| secret["data"].clone())
    }

    fn has(&self, key: &str) -> bool {
        self.data().is_some_and(|data| data[key].is_string())
    }

    fn asked(&self, part: &str) -> usize {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|line| line.contains(part)).count()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let query = uri.query().unwrap_or_default().to_owned();
        let line = format!("{method} {} {query}", uri.path());
        self.requests.lock().unwrap().push(line);
        let named = uri.path() == format!("{COLLECTION}/{NAME}");
        let content_type = request.headers().get("content-type").cloned();
        let applies = content_type.is_some_and(|it| it == "application/apply-patch+yaml");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if named && method == Method::GET {
            return self.found();
        }
        if named && method == Method::PATCH {
            return if applies { self.apply(&body) } else { self.patch(&body) };
        }
        let one = format!("fieldSelector=metadata.name%3D{NAME}");
        if uri.path() == COLLECTION && query.contains("watch=true") && query.contains(&one) {
            return self.watch(&query);
        }
        refuse(403, "Forbidden")
    }

    fn found(&self) -> Response<Body> {
        match &self.secret.borrow().1 {
            Some(secret) => json_body(200, secret),
            None => refuse(404, "NotFound"),
        }
    }

    fn patch(&self, patch: &Value) -> Response<Body> {
        let Some(mut data) = self.data() else {
            return refuse(404, "NotFound");
        };
        let version = self.secret.borrow().0.to_string();
        if patch["metadata"]["resourceVersion"] != version {
            return refuse(409, "Conflict");
        }
        for (key, value) in patch["data"].as_object().unwrap() {
            if value.is_null() {
                data.as_object_mut().unwrap().remove(key);
            } else {
                data[key] = value.clone();
            }
        }
        self.put(data);
        self.found()
    }

    /// Server-side apply of an object without content. The API server asks for the right to create
    /// this name if there is no object; a POST would need it for every name.
    fn apply(&self, secret: &Value) -> Response<Body> {
        assert_eq!((&secret["metadata"]["name"], &secret["data"]), (&json!(NAME), &Value::Null));
        if self.secret.borrow().1.is_none() {
            if !self.may_create {
                return refuse(403, "Forbidden");
            }
            self.put(json!({}));
        }
        self.found()
    }

    fn watch(&self, query: &str) -> Response<Body> {
        let mut since: u64 = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("resourceVersion="))
            .unwrap()
            .parse()
            .unwrap();
        let mut changes = self.secret.subscribe();
        let events = async_stream(move || {
            let (version, secret) = changes.borrow_and_update().clone();
            let news = version > since && (since > 0 || secret.is_some());
            since = since.max(version);
            let event = news.then(|| {
                let kind = if secret.is_some() { "MODIFIED" } else { "DELETED" };
                let metadata = json!({ "name": NAME, "resourceVersion": version.to_string() });
                json!({ "type": kind, "object": { "metadata": metadata } })
            });
            (event, changes.clone())
        });
        Response::new(StreamBody::new(events).boxed_unsync())
    }
}

/// Asks `look` at each change and passes on what it finds.
fn async_stream<F>(look: F) -> BoxStream<'static, Result<Frame<Bytes>, Infallible>>
where
    F: FnMut() -> (Option<Value>, watch::Receiver<(u64, Option<Value>)>) + Send + 'static,
{
    futures_util::stream::unfold(look, |mut look| async move {
        loop {
            let (event, mut changes) = look();
            if let Some(event) = event {
                let line = Bytes::from(format!("{event}\n"));
                return Some((Ok(Frame::data(line)), look));
            }
            changes.changed().await.ok()?;
        }
    })
    .boxed()
}

fn json_body(status: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}

fn refuse(code: u16, reason: &str) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "not allowed here", "reason": reason, "code": code,
    });
    json_body(code, &status)
}

async fn start(server: &ApiServer, tasks: &Tasks) -> SecretCertStore {
    runtime::provider::install().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = server.clone();
    let handler = move |request| {
        let server = server.clone();
        async move { server.answer(request).await }
    };
    let serving = serve_plain(listener, Limits::default(), handler, tasks.clone());
    tasks.spawn("apiserver", serving);
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    let client = kube::Client::try_from(config).unwrap();
    SecretCertStore::new(client, "enclii-system", NAME)
}

#[tokio::test]
async fn an_empty_secret_is_filled_and_what_is_beside_it_stays() {
    let (server, tasks, hand) = (ApiServer::new(false), Tasks::new(), ManualClock::new());
    let store = start(&server, &tasks).await;
    let mut manager = CertManager::new(store.clone(), settings(&hand));
    assert_eq!(manager.reconcile().await.unwrap(), [RenewalStep::CreateCa, RenewalStep::RenewLeaf]);
    for key in ["ca.crt", "ca.key", "tls.crt", "tls.key", "note"] {
        assert!(server.has(key), "{key}");
    }
    let mut late = CertManager::new(store, settings(&hand));
    assert_eq!(late.reconcile().await.unwrap(), []);
    assert_eq!(*late.bundle().borrow(), *manager.bundle().borrow());
    assert_eq!(server.asked("PATCH"), 1);
}

#[tokio::test]
async fn of_three_that_start_at_once_one_wins() {
    let (server, tasks, hand) = (ApiServer::new(false), Tasks::new(), ManualClock::new());
    let store = start(&server, &tasks).await;
    let manager = || CertManager::new(store.clone(), settings(&hand));
    let (mut a, mut b, mut c) = (manager(), manager(), manager());
    let (x, y, z) = tokio::join!(a.reconcile(), b.reconcile(), c.reconcile());
    let all = [x.unwrap(), y.unwrap(), z.unwrap()];
    assert_eq!(all.iter().filter(|steps| !steps.is_empty()).count(), 1, "{all:?}");
    assert_eq!(*a.bundle().borrow(), *b.bundle().borrow());
    assert_eq!(*b.bundle().borrow(), *c.bundle().borrow());
    assert!(a.resolver().certificate() == c.resolver().certificate());
}

#[tokio::test]
async fn every_replica_follows_and_a_deleted_secret_comes_back() {
    let (server, tasks, hand) = (ApiServer::new(true), Tasks::new(), ManualClock::new());
    let store = start(&server, &tasks).await;
    let mut resolvers = Vec::new();
    for _ in 0..3 {
        let manager = CertManager::new(store.clone(), settings(&hand));
        resolvers.push((manager.resolver(), manager.bundle()));
        tasks.spawn("manager", manager.run(tasks.stopping()));
    }
    let agree = || {
        let (first, bundle) = &resolvers[0];
        let same = |other: &(Arc<certs::resolver::CertResolver>, watch::Receiver<_>)| {
            other.0.certificate() == first.certificate() && *other.1.borrow() == *bundle.borrow()
        };
        first.is_loaded() && resolvers.iter().all(same)
    };
    eventually("all serve the same", agree).await;
    let trusted = resolvers[0].1.borrow().clone();

    for _ in 0..3 {
        server.delete();
        eventually("secret is back", || server.has("tls.key")).await;
    }
    server.put(json!({}));
    eventually("secret is filled again", || server.has("tls.key")).await;
    eventually("all serve the same", agree).await;
    assert_eq!(*resolvers[0].1.borrow(), trusted, "the same ca, not a new one");

    hand.advance(Duration::from_secs(5 * 24 * 3600));
    let before = resolvers[0].0.certificate();
    server.put(server.data().unwrap());
    eventually("leaf renewed", || resolvers[0].0.certificate() != before).await;
    eventually("all serve the same", agree).await;
    assert_eq!(tasks.drain(Duration::from_secs(5)).await, Ok(()));
    assert_eq!(server.asked(&format!("GET {COLLECTION} ")), server.asked("watch=true"));
}

#[tokio::test]
async fn without_the_right_to_create_a_deleted_secret_is_a_plain_error() {
    let (server, tasks, hand) = (ApiServer::new(false), Tasks::new(), ManualClock::new());
    let store = start(&server, &tasks).await;
    let mut manager = CertManager::new(store, settings(&hand));
    manager.reconcile().await.unwrap();
    server.delete();
    let error = manager.reconcile().await.unwrap_err();
    assert!(matches!(error, CertManagerError::Store(_)));
    let chain = ErrorChain(&error).to_string();
    assert_eq!(chain, "create secret webhook-tls: 403 Forbidden: not allowed here");
    assert!(manager.resolver().is_loaded(), "still serves");
}

#[tokio::test]
async fn an_unreadable_answer_is_not_repeated() {
    let (server, tasks, hand) = (ApiServer::new(false), Tasks::new(), ManualClock::new());
    let store = start(&server, &tasks).await;
    server.put(json!({ "tls.key": "not base64: canary" }));
    let mut manager = CertManager::new(store, settings(&hand));
    let error = manager.reconcile().await.unwrap_err();
    let chain = ErrorChain(&error).to_string();
    assert_eq!(chain, "get secret webhook-tls: unreadable answer");
    assert!(!format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn a_keeper_publishes_what_is_registered_and_a_follower_serves_it() {
    let (server, tasks, hand) = (ApiServer::new(true), Tasks::new(), ManualClock::new());
    let (store, home) = (start(&server, &tasks).await, tempfile::tempdir().unwrap());
    let (readiness, registered) = (Readiness::new(), watch::Sender::new(TrustBundle::default()));
    let (published, served) = (readiness.gate("published"), readiness.gate("served"));

    let settings = Settings { poll_interval: Duration::from_millis(50), ..settings(&hand) };
    let manager = CertManager::new(DirectoryCertStore::new(home.path()), settings);
    let (made, bundle, serving) = (manager.resolver(), manager.bundle(), manager.serving());
    let receiver = registered.subscribe();
    let publisher = CertPublisher::new(store.clone(), serving, receiver, published.clone());
    let follower =
        FollowedSecret::new(store, NAME, "the test", hand.clock()).with_gate(served.clone());
    let shown = follower.resolver();
    tasks.spawn("manager", manager.run(tasks.stopping()));
    tasks.spawn("publisher", publisher.run(tasks.stopping()));
    tasks.spawn("follower", follower.run(tasks.stopping()));

    // Clients do not trust the CA yet.
    eventually("a certificate", || made.is_loaded()).await;
    eventually("the publisher's look", || server.asked("GET") >= 2).await;
    assert!(!server.has("tls.crt") && !published.is_ready() && !shown.is_loaded());
    registered.send_replace(bundle.borrow().clone());
    let agree = || shown.is_loaded() && shown.certificate() == made.certificate();
    eventually("the certificate is followed", agree).await;
    assert!(published.is_ready() && served.is_ready());
    for (key, is_there) in
        [("tls.crt", true), ("tls.key", true), ("ca.crt", true), ("ca.key", false)]
    {
        assert_eq!(server.has(key), is_there, "{key}");
    }

    // Whatever becomes of the Secret, it is written again, and the last good certificate stays.
    let junk = json!({ "tls.crt": "anVuaw==", "tls.key": "anVuaw==", "ca.key": "anVuaw==" });
    for damage in [None, Some(json!({})), Some(junk)] {
        match damage {
            None => server.delete(),
            Some(data) => server.put(data),
        }
        let whole = || server.has("tls.crt") && !server.has("ca.key");
        eventually("the secret is written again", whole).await;
        eventually("the certificate is followed", agree).await;
    }

    hand.advance(Duration::from_secs(5 * 24 * 3600));
    let before = shown.certificate();
    eventually("the next certificate", || shown.certificate() != before && agree()).await;
    assert_eq!(tasks.drain(Duration::from_secs(5)).await, Ok(()));
}
