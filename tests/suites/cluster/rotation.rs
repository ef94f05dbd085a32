//! The main path: from `enclii secrets set` into the application, and rotations under load.

use e2e::kubectl::{Namespace, kubectl};
use serde_json::Value;

use crate::app::{App, LoadClient, TEMPLATE_KEY, TEMPLATE_URL};
use crate::etcd;
use crate::harness::{self, shared, value};

fn namespace(name: &str, project: &str) -> Namespace {
    Namespace::create(name, &[("enclii.io/project", project), ("enclii.io/environment", "prod")])
        .unwrap()
}

fn restarts(pods: &[Value]) -> u64 {
    pods.iter()
        .flat_map(|pod| {
            [&pod["status"]["containerStatuses"], &pod["status"]["initContainerStatuses"]]
        })
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|it| it["restartCount"].as_u64())
        .sum()
}

/// Rotates three times under load: every application gets each value in the way that it chose, no
/// pod or container restarts, and no request fails.
fn rotates(project: &str, reload: &str, how: &str) {
    let (cluster, _guard) = shared();
    let project = &harness::project(project);
    let namespace = namespace(&format!("{project}-prod"), project);
    let scope = format!("{project}.prod.api");
    let (url, key) = (value("url"), value("key"));
    cluster.set(&scope, "DATABASE_URL", url.as_bytes()).unwrap();
    cluster.set(&scope, "STRIPE_API_KEY", key.as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "STRIPE_API_KEY").unwrap();

    let app = App::new(namespace.name(), reload);
    app.deploy().unwrap();
    app.holds("DATABASE_URL", &url).unwrap();
    app.holds("STRIPE_API_KEY", &key).unwrap();
    no_trace_in_the_pods(&app);
    let pods = app.pods().unwrap();
    assert_eq!(pods.len(), 2, "{pods:?}");

    let load = LoadClient::start(namespace.name(), 200).unwrap();
    for round in 1..=3u64 {
        let rotated = value("rotated");
        cluster.set(&scope, "DATABASE_URL", rotated.as_bytes()).unwrap();
        let states = app.holds("DATABASE_URL", &rotated).unwrap();
        for state in states {
            assert_eq!(state.reloads, round, "one reload for one rotation");
            assert_eq!(state.reload_trigger.as_deref(), Some(how));
        }
        let before = load.without_failure().unwrap();
        e2e::wait::until("more requests", harness::STEP_TIMEOUT, || {
            Ok(Some(load.now()?).filter(|it| it.sent > before.sent + 100))
        })
        .unwrap();
        load.without_failure().unwrap();
    }
    assert_eq!(app.pods().unwrap(), pods, "a pod was replaced");
    assert_eq!(restarts(&e2e::kubectl::objects(namespace.name(), "pods", "app=api").unwrap()), 0);
    let last = load.without_failure().unwrap();
    println!("{project}: {} requests, {} failed, p99 {} µs", last.sent, last.failed, last.p99_us);
}

/// Checks the running pods' specs, from the API server and from etcd: no plaintext, and everything
/// else unchanged.
fn no_trace_in_the_pods(app: &App) {
    for pod in app.pods().unwrap() {
        let json = kubectl(&["-n", &app.namespace, "get", "pod", &pod, "-o", "json"]).unwrap();
        let spec: Value = serde_json::from_str(&json).unwrap();
        let container = &spec["spec"]["containers"][0];
        let env = |name: &str| {
            container["env"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned()
        };
        assert_eq!(env("LOG_LEVEL").unwrap()["value"], "info");
        assert_eq!(env("DATABASE_URL_FILE").unwrap()["value"], "/run/secrets/DATABASE_URL");
        assert_eq!(env("STRIPE_API_KEY_FILE").unwrap()["value"], "/run/secrets/STRIPE_API_KEY");
        assert!(env("DATABASE_URL").is_none() && env("STRIPE_API_KEY").is_none());
        for literal in [TEMPLATE_URL, TEMPLATE_KEY] {
            assert!(!json.contains(literal), "pod {pod} holds {literal}");
        }
        let Some(stored) =
            etcd::stored(&format!("/registry/pods/{}/{pod}", app.namespace)).unwrap()
        else {
            continue;
        };
        let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("DATABASE_URL_FILE"), "this is not the pod that etcd stores");
        assert!(!holds(TEMPLATE_URL) && !holds(TEMPLATE_KEY), "etcd's pod {pod} holds plaintext");
    }
}

#[test]
fn a_signal_reaches_the_application() {
    rotates("hangup", "signal=SIGHUP", "signal");
}

#[test]
fn a_post_reaches_the_application() {
    rotates("post", "http=http://127.0.0.1:8080/-/reload", "http");
}
