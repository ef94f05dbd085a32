//! The agent's requests and limits: within the operator's bounds, and so that the pod is admitted
//! and keeps its class of service.

use injection::InjectionConfig;
use serde_json::{Value, json};

use crate::support::{admitted, admitted_by, annotate, config, one, refused, with_spec};

fn agent(pod: &Value) -> Value {
    pod["spec"]["initContainers"][0]["resources"].clone()
}

fn volume(pod: &Value) -> Value {
    pod["spec"]["volumes"][0]["emptyDir"]["sizeLimit"].clone()
}

#[test]
fn a_pod_asks_within_the_operators_bounds() {
    for (asks, requests, limits, size) in [
        // For a LimitRange with a `max` of 32Mi: the volume is charged to the agent.
        ("limits.memory=32Mi", ("5m", "16Mi"), json!({ "memory": "32Mi" }), "16Mi"),
        // The least: the request follows.
        ("limits.memory=16Mi", ("5m", "16Mi"), json!({ "memory": "16Mi" }), "8Mi"),
        ("limits.memory=128Mi", ("5m", "16Mi"), json!({ "memory": "128Mi" }), "32Mi"),
        // For a ratio of 1, and a `min`.
        ("requests.memory=64Mi", ("5m", "64Mi"), json!({ "memory": "64Mi" }), "32Mi"),
        (
            "requests.cpu=50m,limits.cpu=50m",
            ("50m", "16Mi"),
            json!({ "cpu": "50m", "memory": "64Mi" }),
            "32Mi",
        ),
        ("limits.cpu=1m", ("1m", "16Mi"), json!({ "cpu": "1m", "memory": "64Mi" }), "32Mi"),
    ] {
        let (patched, warnings) = admitted(&annotate(one(json!({})), &[("agent-resources", asks)]));
        assert_eq!(warnings, [""; 0], "{asks}");
        let (cpu, memory) = requests;
        let requests = json!({ "cpu": cpu, "memory": memory });
        assert_eq!(agent(&patched), json!({ "requests": requests, "limits": limits }), "{asks}");
        assert_eq!(volume(&patched), size, "{asks}");
    }
}

#[test]
fn what_is_out_of_bounds_is_refused_with_the_bounds() {
    let annotation = "annotation enclii.io/agent-resources: ";
    let of_operator = "(agentMax… in the webhook's configuration)";
    for (asks, message) in [
        (
            "limits.memory=15Mi",
            format!(
                "limits.memory is 15Mi, and may be 16Mi at least and 256Mi at most {of_operator}"
            ),
        ),
        (
            "limits.memory=1Gi",
            format!(
                "limits.memory is 1Gi, and may be 16Mi at least and 256Mi at most {of_operator}"
            ),
        ),
        ("limits.cpu=2", format!("limits.cpu is 2, and may be 1 at most {of_operator}")),
        (
            "requests.cpu=1001m",
            format!("requests.cpu is 1001m, and may be 1 at most {of_operator}"),
        ),
        (
            "limits.memory=32Mi,requests.memory=33Mi",
            "the memory request 33Mi is over the limit 32Mi: raise limits.memory, or lower \
             requests.memory"
                .to_owned(),
        ),
        (
            "limits.cpu=5m,requests.cpu=6m",
            "the cpu request 6m is over the limit 5m: raise limits.cpu, or lower requests.cpu"
                .to_owned(),
        ),
        (
            "memory=32Mi",
            "parse resource \"memory=32Mi\": must be requests.cpu, requests.memory, limits.cpu or \
             limits.memory and its quantity, as limits.memory=32Mi"
                .to_owned(),
        ),
    ] {
        let pod = annotate(one(json!({})), &[("agent-resources", asks)]);
        assert_eq!(refused(&pod), format!("{annotation}{message}"));
    }
    // The operator's own limit is within the bounds, however large.
    let large = InjectionConfig {
        resources: injection::Resources {
            memory_limit: "1Gi".parse().unwrap(),
            ..injection::Resources::default()
        },
        ..config()
    };
    let pod = annotate(one(json!({})), &[("agent-resources", "limits.memory=1Gi")]);
    assert_eq!(agent(&admitted_by(&pod, &large).0)["limits"]["memory"], "1Gi");
}

#[test]
fn a_guaranteed_pod_stays_guaranteed_with_what_it_asks() {
    let both = json!({ "cpu": "500m", "memory": "1Gi" });
    let pod = one(json!({ "resources": { "limits": both, "requests": both } }));
    for (asks, cpu, memory) in [
        ("limits.memory=32Mi", "100m", "32Mi"),
        ("limits.cpu=20m", "20m", "64Mi"),
        ("requests.cpu=20m,requests.memory=8Mi", "20m", "64Mi"),
    ] {
        let annotated = annotate(pod.clone(), &[("agent-resources", asks)]);
        let expected = json!({ "cpu": cpu, "memory": memory });
        let found = agent(&admitted(&annotated).0);
        assert_eq!(found, json!({ "requests": expected, "limits": expected }), "{asks}");
    }
}

/// Every form of `spec.resources`. The class of the pod follows from that alone.
#[test]
fn beside_resources_of_the_pod_the_agent_takes_a_share() {
    let own = json!({ "cpu": "5m", "memory": "16Mi" });
    let memory = json!({ "memory": "64Mi" });
    for (of_pod, expected, size) in [
        // Guaranteed: of the pod's limits, and no request of the pod comes from the agent's.
        (json!({ "limits": { "cpu": "1", "memory": "1Gi" } }), json!({}), "32Mi"),
        (
            json!({
                "limits": { "cpu": "1", "memory": "1Gi" },
                "requests": { "cpu": "1", "memory": "1Gi" },
            }),
            json!({}),
            "32Mi",
        ),
        // The volume is charged to the pod.
        (json!({ "limits": { "cpu": 1, "memory": "40Mi" } }), json!({}), "20Mi"),
        (json!({ "limits": { "memory": "1Ti" } }), json!({ "requests": { "cpu": "5m" } }), "32Mi"),
        // The containers' requests may not exceed the pod's together.
        (
            json!({ "requests": { "cpu": "100m", "memory": "100Mi" } }),
            json!({ "requests": { "cpu": "0", "memory": "0" }, "limits": memory }),
            "32Mi",
        ),
        (
            json!({ "requests": { "memory": "100Mi" } }),
            json!({ "requests": { "cpu": "5m", "memory": "0" }, "limits": memory }),
            "32Mi",
        ),
        (
            json!({ "requests": { "cpu": "100m" }, "limits": { "cpu": "1" } }),
            json!({ "requests": { "memory": "16Mi" }, "limits": memory }),
            "32Mi",
        ),
        (json!({}), json!({ "requests": own, "limits": memory }), "32Mi"),
    ] {
        let pod = with_spec(one(json!({})), json!({ "resources": of_pod }));
        let (patched, _) = admitted(&pod);
        assert_eq!(agent(&patched), expected, "{of_pod}");
        assert_eq!(volume(&patched), size, "{of_pod}");
        assert_eq!(patched["spec"]["resources"], of_pod, "the pod's own stay");
        assert_eq!(admitted(&patched).0, patched, "a second pass");
    }
}

#[test]
fn a_limit_range_below_the_agents_limit_is_said_with_the_cure() {
    let annotation = "kubernetes.io/limit-ranger";
    let with = |said: &str, memory: &str| {
        let mut pod = one(json!({ "resources": { "limits": { "memory": memory } } }));
        pod["metadata"]["annotations"][annotation] = json!(said);
        pod
    };
    let said = "LimitRanger plugin set: cpu, memory request for container api; cpu, memory limit \
        for container api";
    assert_eq!(
        admitted(&with(said, "32Mi")).1,
        ["a LimitRange gives container api the memory limit 32Mi, and the agent has 64Mi: if it \
          allows no more, the pod is refused; with enclii.io/agent-resources: limits.memory=32Mi, \
          it is not"]
    );
    for (said, memory) in [
        (said, "64Mi"),
        ("LimitRanger plugin set: cpu limit for container api", "32Mi"),
        ("LimitRanger plugin set: memory request for container api", "32Mi"),
        ("LimitRanger plugin set: memory limit for container other-api", "32Mi"),
        ("x", "32Mi"),
    ] {
        assert_eq!(admitted(&with(said, memory)).1, [""; 0], "{said}");
    }
    let cured = annotate(with(said, "32Mi"), &[("agent-resources", "limits.memory=32Mi")]);
    assert_eq!(admitted(&cured).1, [""; 0]);
}
