//! What the agent checks after a reload: `enclii.io/verify`, else the readiness probe of the pod.

use serde_json::{Value, json};

use crate::support::{admitted, annotate, one, pod, refused, with_spec};

fn config(pod: &Value) -> Value {
    let agent = &pod["spec"]["initContainers"][0];
    let text = agent["env"][0]["value"].as_str().unwrap().replace("$$", "$");
    serde_json::from_str(&text).unwrap()
}

fn readiness(pod: &Value) -> Value {
    let (patched, _) = admitted(pod);
    assert_eq!(admitted(&patched).0, patched, "another pass");
    config(&patched)["readiness"].clone()
}

#[test]
fn the_agent_gets_the_checks_and_the_time() {
    let pod = annotate(
        one(json!({ "readinessProbe": { "tcpSocket": { "port": 80 } } })),
        &[
            ("reload", "http=http://127.0.0.1:80/reload"),
            ("reload-timeout", "60s"),
            ("verify", "tls=8443,sni=a.b\npostgres=DATABASE_URL,timeout=5s\n"),
        ],
    );
    let (patched, warnings) = admitted(&pod);
    assert_eq!(warnings, [""; 0]);
    let config = config(&patched);
    assert_eq!(config["verify"], json!(["tls=8443,sni=a.b", "postgres=DATABASE_URL,timeout=5s"]));
    assert_eq!(config["reload_timeout_seconds"], 60);
    // Who names checks has them alone.
    assert_eq!(config["readiness"], Value::Null);
    assert_eq!(admitted(&patched).0, patched);
}

#[test]
fn the_agent_gets_the_metrics_unless_it_ends() {
    let pod = annotate(one(json!({})), &[("metrics", "9090/metrics")]);
    let (patched, _) = admitted(&pod);
    assert_eq!(config(&patched)["metrics"], "9090/metrics");
    assert_eq!(admitted(&patched).0, patched);
    let once = annotate(pod, &[("deliver", "init")]);
    assert_eq!(config(&admitted(&once).0)["metrics"], Value::Null);
}

#[test]
fn no_check_is_made_where_the_pod_wants_none() {
    let probed = one(json!({ "readinessProbe": { "tcpSocket": { "port": 80 } } }));
    let config = config(&admitted(&annotate(probed, &[("verify", "none")])).0);
    assert_eq!((&config["verify"], &config["readiness"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_check_of_a_secret_that_the_pod_lacks_is_refused() {
    let with = |more: &[(&str, &str)]| annotate(one(json!({})), more);
    assert_eq!(
        refused(&with(&[("verify", "tls=443,certificate=tls.crt;redis=REDIS_URL,timeout=5s")])),
        "2 problems keep this pod from getting its secrets:\n\
         - annotation enclii.io/verify: tls=443,certificate=tls.crt: tls.crt is no key of the \
         pod's bundles: write it with `enclii secrets set tls.crt=- --service api --env prod \
         --project shop`\n\
         - annotation enclii.io/verify: redis=REDIS_URL,timeout=5s: REDIS_URL is no key of the \
         pod's bundles: write it with `enclii secrets set REDIS_URL=- --service api --env prod \
         --project shop`"
    );
    for more in [
        &[("verify", "redis=REDIS_URL"), ("secrets", "api-prod,shared-prod")][..],
        &[("verify", "redis=REDIS_URL"), ("env", "REDIS_URL")],
        &[("verify", "tls=443;http=http://127.0.0.1:80/")],
    ] {
        let (patched, _) = admitted(&with(more));
        assert!(config(&patched)["verify"].is_array());
    }
    // The keys of a bundle that is not there yet are not known.
    let message = refused(&with(&[("verify", "redis=X"), ("secrets", "api-prod,none-prod")]));
    assert!(message.contains("does not exist") && !message.contains("verify"), "{message}");
}

#[test]
fn an_agent_that_ends_checks_nothing() {
    let probed = one(json!({ "readinessProbe": { "tcpSocket": { "port": 80 } } }));
    let once =
        |more: &[(&str, &str)]| annotate(annotate(probed.clone(), more), &[("deliver", "init")]);
    assert_eq!(
        refused(&once(&[("verify", "tls=443")])),
        "annotation enclii.io/verify: checks need an agent beside the application, and \
         enclii.io/deliver: init leaves none: remove one of them"
    );
    assert_eq!(readiness(&once(&[])), Value::Null);
    assert_eq!(readiness(&once(&[("verify", "none")])), Value::Null);
}

#[test]
fn without_checks_the_readiness_probe_is_one() {
    let http = |port: u16, path: &str| json!({ "type": "http", "port": port, "path": path });
    let long = "x".repeat(1025);
    for (probe, expected) in [
        (json!({ "httpGet": { "port": 80, "path": "/ready?a=b" } }), http(80, "/ready?a=b")),
        (json!({ "httpGet": { "port": "web" } }), http(8080, "/")),
        (json!({ "httpGet": { "port": 80, "path": "ready" } }), http(80, "/ready")),
        (
            json!({ "httpGet": { "port": 80, "path": "", "scheme": "HTTP", "host": "" } }),
            http(80, "/"),
        ),
        (
            json!({ "httpGet": { "port": 443, "path": "/a:b", "scheme": "HTTPS" } }),
            json!({ "type": "http", "port": 443, "path": "/a:b", "tls": true }),
        ),
        (json!({ "tcpSocket": { "port": "admin" } }), json!({ "type": "tcp", "port": 9000 })),
        (
            json!({ "tcpSocket": { "port": 1 }, "periodSeconds": 5 }),
            json!({ "type": "tcp", "port": 1 }),
        ),
        // What the agent cannot run as kubelet does.
        (json!({ "exec": { "command": ["true"] } }), Value::Null),
        (json!({ "grpc": { "port": 80 } }), Value::Null),
        (json!({ "httpGet": { "port": 80, "host": "10.0.0.1" } }), Value::Null),
        (json!({ "tcpSocket": { "port": 80, "host": "db" } }), Value::Null),
        (json!({ "httpGet": { "port": 80, "scheme": "GOPHER" } }), Value::Null),
        (
            json!({ "httpGet": { "port": 80, "httpHeaders": [{ "name": "Host", "value": "a" }] } }),
            Value::Null,
        ),
        (json!({ "httpGet": { "port": "unknown" } }), Value::Null),
        (json!({ "httpGet": { "port": 0 } }), Value::Null),
        (json!({ "httpGet": { "port": 65536 } }), Value::Null),
        (json!({ "httpGet": {} }), Value::Null),
        (json!({ "httpGet": { "port": 80, "path": "//evil/x" } }), Value::Null),
        (json!({ "httpGet": { "port": 80, "path": "http://evil/x" } }), Value::Null),
        (json!({ "httpGet": { "port": 80, "path": "/a b\r\n" } }), Value::Null),
        (json!({ "httpGet": { "port": 80, "path": long } }), Value::Null),
        (json!({}), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let found = readiness(&one(json!({
            "ports": [
                { "containerPort": 8080, "name": "web" },
                { "containerPort": 9000, "name": "admin" },
                { "containerPort": 1 },
            ],
            "readinessProbe": probe,
        })));
        assert_eq!(found, expected, "{probe}");
    }
}

#[test]
fn the_probe_is_the_signalled_container_s_else_the_first_with_secrets() {
    let probe = |port: u16| json!({ "tcpSocket": { "port": port } });
    let user = json!({ "runAsUser": 1 });
    let of_three = || {
        with_spec(
            pod(json!([
                { "name": "none", "securityContext": user },
                { "name": "a", "securityContext": user, "readinessProbe": probe(1) },
                { "name": "b", "securityContext": user, "readinessProbe": probe(2) },
                {
                    "name": "c", "securityContext": user,
                    "readinessProbe": { "exec": { "command": ["x"] } },
                },
            ])),
            json!({ "initContainers": [{
                "name": "side", "restartPolicy": "Always", "securityContext": user,
                "readinessProbe": probe(3),
            }] }),
        )
    };
    let signal = |container| [("reload", "signal=SIGHUP"), ("reload-container", container)];
    for (annotations, port) in [
        (&[][..], json!(1)),
        (&[("containers", "b")], json!(2)),
        (&[("containers", "none")], Value::Null),
        (&signal("b"), json!(2)),
        (&signal("side"), json!(3)),
        // It has none, so it is the next one's.
        (&signal("none"), json!(1)),
        // It has one, which the agent cannot run.
        (&signal("c"), Value::Null),
    ] {
        let found = readiness(&annotate(of_three(), annotations));
        assert_eq!(found["port"], port, "{annotations:?}");
    }
}
