//! A component is down: running pods go on, new ones are refused if they must be, and everything
//! recovers by itself.

use std::time::Duration;

use e2e::kubectl::{Namespace, apply, keep_logs, kubectl, object, rejection, rolled_out};
use e2e::wait;
use serde_json::json;

use crate::app::{App, LoadClient, pod, pod_spec, service_account};
use crate::harness::{STEP_TIMEOUT, SYSTEM, exclusive, project, value};

#[test]
fn while_the_webhook_is_down_only_pods_that_ask_are_refused() {
    let (cluster, _guard) = exclusive();
    let project = project("hooks");
    let namespace = Namespace::create(
        &format!("{project}-prod"),
        &[("enclii.io/project", &project), ("enclii.io/environment", "prod")],
    )
    .unwrap();
    let scope = format!("{project}.prod.api");
    service_account(namespace.name(), "api").unwrap();
    cluster.set(&scope, "API_TOKEN", value("hooks").as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "API_TOKEN").unwrap();

    keep_logs(SYSTEM);
    kubectl(&["-n", SYSTEM, "scale", "deployment/enclii-webhook", "--replicas=0"]).unwrap();
    let result = std::panic::catch_unwind(|| {
        wait::until("the webhook's pods to end", STEP_TIMEOUT, || {
            Ok(e2e::kubectl::objects(SYSTEM, "pods", "app.kubernetes.io/name=enclii-webhook")?
                .is_empty()
                .then_some(()))
        })
        .unwrap();
        let asks = pod(namespace.name(), "asks", pod_spec(&[("API_TOKEN", "x")]));
        let message = rejection(&asks.to_string()).unwrap();
        assert!(message.contains("pods.enclii.io"), "{message}");

        let mut plain = pod(namespace.name(), "plain", pod_spec(&[("A", "x")]));
        plain["metadata"]["annotations"] = json!({});
        apply(&plain.to_string()).unwrap();
        asks.to_string()
    });
    kubectl(&["-n", SYSTEM, "scale", "deployment/enclii-webhook", "--replicas=2"]).unwrap();
    rolled_out(SYSTEM, "deployment/enclii-webhook", STEP_TIMEOUT).unwrap();
    let asks = result.unwrap();
    wait::until("the pod that asks to be admitted", STEP_TIMEOUT, || Ok(apply(&asks).ok()))
        .unwrap();
    let found = object(namespace.name(), "pod", "asks").unwrap().unwrap();
    assert_eq!(found["spec"]["initContainers"][0]["name"], "enclii-agent");
}

#[test]
fn switchyard_may_die_and_come_back() {
    let (cluster, _guard) = exclusive();
    let project = project("away");
    let namespace = Namespace::create(
        &format!("{project}-prod"),
        &[("enclii.io/project", &project), ("enclii.io/environment", "prod")],
    )
    .unwrap();
    let scope = format!("{project}.prod.api");
    let first = value("first");
    cluster.set(&scope, "DATABASE_URL", first.as_bytes()).unwrap();
    cluster.set(&scope, "STRIPE_API_KEY", value("key").as_bytes()).unwrap();
    cluster.wait_for_bundle(namespace.name(), "api-prod", "STRIPE_API_KEY").unwrap();
    let app = App::new(namespace.name(), "signal=SIGHUP");
    app.deploy().unwrap();
    app.holds("DATABASE_URL", &first).unwrap();
    let pods = app.pods().unwrap();
    let load = LoadClient::start(namespace.name(), 200).unwrap();

    keep_logs(SYSTEM);
    kubectl(&["-n", SYSTEM, "scale", "deployment/switchyard", "--replicas=0"]).unwrap();
    kubectl(&[
        "-n",
        SYSTEM,
        "delete",
        "pod",
        "-l",
        "app.kubernetes.io/name=switchyard",
        "--grace-period=0",
        "--force",
    ])
    .unwrap();
    let away = std::panic::catch_unwind(|| {
        wait::until("switchyard's pod to end", STEP_TIMEOUT, || {
            Ok(e2e::kubectl::objects(SYSTEM, "pods", "app.kubernetes.io/name=switchyard")?
                .is_empty()
                .then_some(()))
        })
        .unwrap();
        std::thread::sleep(Duration::from_secs(5));
        for state in app.holds("DATABASE_URL", &first).unwrap() {
            assert_eq!(state.reloads, 0);
        }
        load.without_failure().unwrap();
    });
    kubectl(&["-n", SYSTEM, "scale", "deployment/switchyard", "--replicas=1"]).unwrap();
    rolled_out(SYSTEM, "deployment/switchyard", STEP_TIMEOUT).unwrap();
    cluster.drop_port_forward();
    away.unwrap();

    let second = value("second");
    cluster.set(&scope, "DATABASE_URL", second.as_bytes()).unwrap();
    for state in app.holds("DATABASE_URL", &second).unwrap() {
        assert_eq!(state.reloads, 1, "reconnecting is not a rotation");
    }
    assert_eq!(app.pods().unwrap(), pods, "a pod was replaced");
    load.without_failure().unwrap();
}
