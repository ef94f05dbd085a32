//! The webhooks of clouds, meshes and tracers before and after ours, on the same pod: everybody's
//! work is there, the agent is ours, and another pass changes nothing. The cluster's test does it
//! with a real API server and lets the pods start.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod admission;
mod pods;

use std::sync::Arc;

use e2e::other_webhook::{OtherWebhook, Signs};
use injection::{Bundle, BundleLookup, InjectionConfig};
use serde_json::Value;

use admission::{Admission, Admitted, Webhook};
use pods::pods;

struct OneBundle;

impl BundleLookup for OneBundle {
    fn bundle(&self, _namespace: &str, name: &str) -> Option<Arc<Bundle>> {
        let keys = ["DATABASE_URL", "STRIPE_API_KEY"].map(|key| key.parse().unwrap());
        let bundle = Bundle { keys: keys.into(), ..Bundle::default() };
        (name == "api-prod").then(|| Arc::new(bundle))
    }
}

fn config() -> InjectionConfig {
    InjectionConfig::new("enclii/agent:1".into(), "https://switchyard".into(), "PEM\n".into())
}

fn admission(config: &InjectionConfig) -> Admission<'_, OneBundle> {
    Admission { bundles: &OneBundle, config, namespace: "shop-prod" }
}

fn agent(pod: &Value) -> &Value {
    let init = pod["spec"]["initContainers"].as_array().unwrap();
    init.iter().find(|it| it["name"] == "enclii-agent").unwrap()
}

fn elements(of: &Value) -> impl Iterator<Item = &Value> + Clone {
    of.as_array().into_iter().flatten()
}

/// The agent's configuration without the mount points, of which other webhooks need more.
fn configuration(agent: &Value) -> Value {
    let variable = elements(&agent["env"]).find(|it| it["name"] == "ENCLII_AGENT_CONFIG").unwrap();
    let text = variable["value"].as_str().unwrap().replace("$$", "$");
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["files"].as_object_mut().unwrap().remove("mount_points");
    config
}

/// What differs between the agent in this pod and in one that no other webhook has seen, besides
/// what the policy of the API server lets others add.
fn difference(pod: &Value, alone: &Value) -> Option<String> {
    let (found, expected) = (agent(pod), agent(alone));
    let lists = ["env", "volumeMounts"];
    let keys = |it: &Value| it.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for key in keys(found).iter().chain(&keys(expected)) {
        if !lists.contains(&&**key) && found[key] != expected[key] {
            return Some(format!("{key}: {} for {}", found[key], expected[key]));
        }
    }
    if configuration(found) != configuration(expected) {
        return Some(format!("configuration: {}", configuration(found)));
    }
    for mount in elements(&expected["volumeMounts"]) {
        if !elements(&found["volumeMounts"]).any(|it| it == mount) {
            return Some(format!("no mount {mount}"));
        }
    }
    let is_own = |it: &&Value| elements(&expected["volumeMounts"]).any(|own| own == *it);
    for mount in elements(&found["volumeMounts"]).filter(|it| !is_own(it)) {
        let path = mount["mountPath"].as_str().unwrap();
        if !["/var/run/secrets/", "/etc/ssl/", "/etc/pki/"].iter().any(|it| path.starts_with(it)) {
            return Some(format!("a mount at {path}"));
        }
    }
    let names = elements(&found["env"]).map(|it| it["name"].as_str().unwrap());
    let own = names.clone().filter(|it| it.starts_with("ENCLII_")).count();
    let is_refused = |name: &str| ["LD_", "RUST_"].iter().any(|it| name.starts_with(it));
    if own != 2 || names.clone().any(is_refused) {
        return Some(format!("variables {:?}", names.collect::<Vec<_>>()));
    }
    None
}

/// Names of containers before the agent that mount what is ours.
fn too_early(pod: &Value) -> Vec<&str> {
    let before = elements(&pod["spec"]["initContainers"]);
    let before = before.take_while(|it| it["name"] != "enclii-agent");
    let is_ours = |mount: &Value| mount["name"].as_str().unwrap().starts_with("enclii-");
    let early = before.filter(|it| elements(&it["volumeMounts"]).any(is_ours));
    early.map(|it| it["name"].as_str().unwrap()).collect()
}

/// Names of others' containers that mount the secrets.
fn curious(pod: &Value, signs: &[Signs]) -> Vec<String> {
    let others: Vec<_> = signs.iter().flat_map(|it| it.containers).collect();
    let all = elements(&pod["spec"]["containers"]).chain(elements(&pod["spec"]["initContainers"]));
    let named = all.map(|it| (it["name"].as_str().unwrap(), &it["volumeMounts"]));
    let named = named.filter(|(name, _)| others.iter().any(|it| **it == *name));
    let mounting = named.filter(|(_, mounts)| mounts.to_string().contains("enclii-secrets"));
    mounting.map(|(name, _)| name.to_owned()).collect()
}

/// Admits these pods by these webhooks and checks what has become of them.
fn check(pods: &[(&str, Value)], others: &[OtherWebhook], webhooks: &[Webhook]) {
    let config = config();
    let admission = admission(&config);
    let signs: Vec<Signs> = others.iter().copied().map(Signs::of).collect();
    for (name, pod) in pods {
        let order: Vec<&str> = webhooks
            .iter()
            .map(|it| match it {
                Webhook::Ours => "ours",
                Webhook::Other(other) => other.name(),
            })
            .collect();
        let at = format!("{name}, {}", order.join(", "));
        let alone = admission.admit(pod, &[Webhook::Ours]).unwrap();
        let Admitted { pod, warnings } =
            admission.admit(pod, webhooks).unwrap_or_else(|message| panic!("{at}: {message}"));
        for signs in &signs {
            assert_eq!(signs.missing(&pod, "api"), [""; 0], "{at}");
        }
        assert_eq!(difference(&pod, &alone.pod), None, "{at}");
        assert_eq!(too_early(&pod), [""; 0], "{at}");
        assert_eq!(curious(&pod, &signs), [""; 0], "{at}");
        assert_eq!(warnings, alone.warnings, "{at}");
        let (again, _) = admission.ours(&pod).unwrap();
        assert!(again.is_empty(), "{at}: another pass changes {again}");
        for name in ["DATABASE_URL", "STRIPE_API_KEY"] {
            let api = elements(&pod["spec"]["containers"]).find(|it| it["name"] == "api").unwrap();
            let variable = elements(&api["env"]).find(|it| it["name"] == name);
            assert!(variable.is_none_or(|it| it["value"].is_null()), "{at}: {name} is there");
        }
    }
}

#[test]
fn each_of_them_before_ours_and_after() {
    for other in OtherWebhook::ALL {
        check(&pods(), &[other], &[Webhook::Other(other), Webhook::Ours]);
        check(&pods(), &[other], &[Webhook::Ours, Webhook::Other(other)]);
    }
}

#[test]
fn two_of_them_around_ours_and_on_either_side() {
    let chosen = ["many containers", "restarts", "a program"];
    let pods: Vec<_> = pods().into_iter().filter(|(name, _)| chosen.contains(name)).collect();
    for first in OtherWebhook::ALL {
        for second in OtherWebhook::ALL.into_iter().filter(|it| is_another(*it, first)) {
            let [first, second] = [first, second].map(|it| (it, Webhook::Other(it)));
            let both = [first.0, second.0];
            check(&pods, &both, &[first.1, Webhook::Ours, second.1]);
            check(&pods, &both, &[first.1, second.1, Webhook::Ours]);
            check(&pods, &both, &[Webhook::Ours, first.1, second.1]);
        }
    }
}

/// Whether a cluster may have both: two forms of one webhook exclude each other.
fn is_another(second: OtherWebhook, first: OtherWebhook) -> bool {
    let family = |it: OtherWebhook| it.name().split('-').next();
    family(first) != family(second)
}

/// The whole way twice: nothing is added again to what is there.
#[test]
fn a_pod_that_went_through_admission_comes_out_the_same() {
    let config = config();
    let admission = admission(&config);
    for other in OtherWebhook::ALL {
        for webhooks in
            [[Webhook::Other(other), Webhook::Ours], [Webhook::Ours, Webhook::Other(other)]]
        {
            for (name, pod) in pods() {
                let once = admission.admit(&pod, &webhooks).unwrap().pod;
                let twice = admission.admit(&once, &webhooks).unwrap().pod;
                assert_eq!(once, twice, "{name}, {}", other.name());
            }
        }
    }
}
