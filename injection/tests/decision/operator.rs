//! What an operator's configuration changes: containers that are left out, and mirrored images.

use injection::{Decision, InjectionConfig, LEFT_OUT_CONTAINERS};
use serde_json::{Value, json};

use crate::support::{annotate, config, decide_by, one};

fn patched(pod: &Value, config: &InjectionConfig) -> Value {
    let Decision::Inject { patch, .. } = decide_by(pod, config) else { panic!("not injected") };
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch.operations().unwrap()).unwrap();
    patched
}

fn with_mesh(name: &str) -> Value {
    let mut pod = one(json!({ "env": [{ "name": "DATABASE_URL", "value": "x" }] }));
    let mesh = json!({ "name": name, "image": "mesh:1" });
    pod["spec"]["containers"].as_array_mut().unwrap().push(mesh.clone());
    pod["spec"]["initContainers"] = json!([mesh]);
    pod["spec"]["initContainers"][0]["name"] = json!(format!("{name}-2"));
    pod
}

#[test]
fn containers_of_other_webhooks_get_no_secrets_unless_they_are_named() {
    for name in LEFT_OUT_CONTAINERS {
        let pod = with_mesh(name);
        let found = patched(&pod, &config());
        assert_eq!(found["spec"]["containers"][1], pod["spec"]["containers"][1], "{name}");
        assert!(found["spec"]["containers"][0]["volumeMounts"].is_array());
        // Not every container whose name begins alike.
        assert!(found["spec"]["initContainers"][1]["volumeMounts"].is_array(), "{name}");

        let named = annotate(pod, &[("containers", &format!("api,{name}"))]);
        let found = patched(&named, &config());
        assert!(found["spec"]["containers"][1]["volumeMounts"].is_array(), "{name}");
    }
    let none = InjectionConfig { left_out_containers: [].into(), ..config() };
    let found = patched(&with_mesh("istio-proxy"), &none);
    assert!(found["spec"]["containers"][1]["volumeMounts"].is_array());
}

#[test]
fn a_second_pass_accepts_a_mirrored_image_and_puts_every_other_back() {
    let registries = ["mirror.corp".to_owned()].into();
    let config = InjectionConfig { agent_image_registries: registries, ..config() };
    let once = patched(&one(json!({})), &config);
    let image = once["spec"]["initContainers"][0]["image"].as_str().unwrap().to_owned();
    for (other, is_accepted) in [
        (format!("mirror.corp/{image}"), true),
        (format!("evil.corp/{image}"), false),
        ("mirror.corp/evil/agent:1".to_owned(), false),
    ] {
        let mut changed = once.clone();
        changed["spec"]["initContainers"][0]["image"] = json!(other);
        let again = patched(&changed, &config);
        let expected = if is_accepted { &other } else { &image };
        assert_eq!(again["spec"]["initContainers"][0]["image"], json!(expected));
        assert_eq!(patched(&again, &config), again, "a third pass");
    }
}
