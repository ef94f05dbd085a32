//! What follows from the platform: the pod's class of service, and its resolver.

use serde_json::{Value, json};

use crate::support::{admitted, one, refused, with_spec};

fn agent(pod: &Value) -> &Value {
    &pod["spec"]["initContainers"][0]
}

#[test]
fn a_guaranteed_pod_stays_guaranteed_and_others_get_no_cpu_limit() {
    let both = json!({ "cpu": "500m", "memory": "1Gi" });
    let with = |resources: Value, init: Value| {
        let annotated = with_spec(
            one(json!({ "resources": resources })),
            json!({ "initContainers": [{ "name": "migrate", "resources": init }] }),
        );
        agent(&admitted(&annotated).0)["resources"].clone()
    };
    let guaranteed = json!({ "limits": both, "requests": both });
    let limits_alone = json!({ "limits": both });
    for first in [&guaranteed, &limits_alone] {
        for second in [&guaranteed, &limits_alone] {
            let of_agent = with(first.clone(), second.clone());
            let expected = json!({ "cpu": "100m", "memory": "64Mi" });
            assert_eq!(of_agent, json!({ "requests": expected, "limits": expected }));
        }
    }
    for other in [
        json!({}),
        json!({ "limits": { "memory": "1Gi" } }),
        json!({ "limits": both, "requests": { "cpu": "5m" } }),
        json!({ "requests": both }),
    ] {
        let of_agent = with(guaranteed.clone(), other.clone());
        assert_eq!(of_agent["limits"], json!({ "memory": "64Mi" }), "{other}");
        assert_eq!(of_agent["requests"], json!({ "cpu": "5m", "memory": "16Mi" }), "{other}");
    }
    // A manifest may have numbers where the API server has texts.
    let number = json!({ "limits": { "cpu": 1, "memory": "1Gi" }, "requests": { "cpu": "1" } });
    assert_eq!(with(number.clone(), number)["limits"]["cpu"], "100m");
}

#[test]
fn a_pod_that_cannot_resolve_switchyard_is_refused_with_the_cure() {
    let with = |spec: Value| with_spec(one(json!({})), spec);
    let cure = ", so the agent does not ask the cluster's resolver, which alone knows the name of \
        the secrets' source: set spec.dnsPolicy to ";
    for (spec, message) in [
        (
            json!({ "hostNetwork": true }),
            format!(
                "spec.hostNetwork: is true, and spec.dnsPolicy is not ClusterFirstWithHostNet\
                 {cure}ClusterFirstWithHostNet"
            ),
        ),
        (
            json!({ "hostNetwork": true, "dnsPolicy": "ClusterFirst" }),
            format!(
                "spec.hostNetwork: is true, and spec.dnsPolicy is not ClusterFirstWithHostNet\
                 {cure}ClusterFirstWithHostNet"
            ),
        ),
        (
            json!({ "dnsPolicy": "Default" }),
            format!("spec.dnsPolicy: is Default{cure}ClusterFirst"),
        ),
        (
            json!({ "hostNetwork": true, "dnsPolicy": "Default" }),
            format!("spec.dnsPolicy: is Default{cure}ClusterFirstWithHostNet"),
        ),
    ] {
        assert_eq!(refused(&with(spec)), message);
    }
    for spec in [
        json!({}),
        json!({ "dnsPolicy": "ClusterFirst" }),
        json!({ "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet" }),
    ] {
        assert_eq!(admitted(&with(spec)).1, Vec::<String>::new());
    }
    assert_eq!(admitted(&with(json!({ "dnsPolicy": "None" }))).1.len(), 1);
}
