//! `enclii inject` on workloads as people publish them (`corpus/*.yaml`), each in several forms.
//! The check knows nothing of the code that makes the patch: it takes out what an injection may add
//! and compares the rest with what went in.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::CliHarness;

const KEYS: [&str; 6] =
    ["DATABASE_URL", "DB_PASSWORD", "STRIPE_API_KEY", "REDIS_PASSWORD", "SMTP_PASSWORD", "tls.key"];

const FILES: [&str; 4] = [
    include_str!("corpus/databases.yaml"),
    include_str!("corpus/web.yaml"),
    include_str!("corpus/platforms.yaml"),
    include_str!("corpus/kinds.yaml"),
];

/// How a manifest is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// As in the file.
    Plain,
    /// As `kubectl get -o json` prints it.
    Json,
    /// In a List, with another object before it.
    List,
    /// With the line ends of Windows.
    CarriageReturns,
    /// Each value on a line of its own.
    Block,
    /// As Helm prints it: comments, and documents without content.
    Helm,
    /// With an alias for a value.
    Alias,
    /// With fields that nobody knows yet.
    UnknownFields,
}

impl Form {
    const ALL: [Self; 8] = [
        Self::Plain,
        Self::Json,
        Self::List,
        Self::CarriageReturns,
        Self::Block,
        Self::Helm,
        Self::Alias,
        Self::UnknownFields,
    ];

    /// The text in this form, and the object that it describes.
    fn of(self, text: &str) -> (String, Value) {
        let object: Value = serde_saphyr::from_str(text).unwrap();
        let block = || serde_saphyr::to_string(&object).unwrap();
        match self {
            Self::Plain => (text.to_owned(), object),
            Self::Json => (serde_json::to_string_pretty(&object).unwrap(), object),
            Self::List => {
                let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "yes"}});
                let list = json!({"apiVersion": "v1", "kind": "List", "items": [map, object]});
                (serde_saphyr::to_string(&list).unwrap(), list)
            }
            Self::CarriageReturns => (text.replace('\n', "\r\n"), object),
            Self::Block => (block(), object),
            Self::Helm => {
                (format!("---\n# Source: chart/templates/x.yaml\n{text}\n---\n# none\n"), object)
            }
            Self::Alias => {
                let image = pod(&object)["spec"]["containers"][0]["image"].clone();
                let mut anchored = object.clone();
                anchored["x-image"] = image.clone();
                let line = format!("image: {}", image.as_str().unwrap());
                let alias = block().replacen(&line, "image: *image", 1);
                (format!("x-image: &image {image}\n{alias}"), anchored)
            }
            Self::UnknownFields => {
                let mut object = object;
                let unknown = json!({"a": [1, 2.5, null, "no", true], "B-c": {"": "x"}});
                object["status"] = unknown.clone();
                let pod = pod_mut(&mut object);
                pod["spec"]["futureField"] = unknown.clone();
                pod["metadata"]["futureField"] = unknown.clone();
                for container in pod["spec"]["containers"].as_array_mut().unwrap() {
                    container["futureField"] = unknown.clone();
                    let env = container.get_mut("env").and_then(Value::as_array_mut);
                    for variable in env.into_iter().flatten() {
                        // What replaces a variable has nothing of it.
                        if !KEYS.contains(&variable["name"].as_str().unwrap()) {
                            variable["futureField"] = unknown.clone();
                        }
                    }
                }
                (serde_saphyr::to_string(&object).unwrap(), object)
            }
        }
    }
}

/// Where the pod of a workload is.
fn pod_path(object: &Value) -> &'static str {
    match object["kind"].as_str().unwrap() {
        "Pod" => "",
        "PodTemplate" => "/template",
        "CronJob" => "/spec/jobTemplate/spec/template",
        "List" => panic!("a list has items"),
        _ => "/spec/template",
    }
}

fn pod(object: &Value) -> &Value {
    object.pointer(pod_path(object)).unwrap()
}

fn pod_mut(object: &mut Value) -> &mut Value {
    let path = pod_path(object);
    object.pointer_mut(path).unwrap()
}

#[test]
fn no_manifest_of_the_corpus_is_changed_wrongly() {
    let harness = CliHarness::start();
    let keys = format!("api-prod={}", KEYS.join(","));
    let inject = |text: &str| {
        let done = harness.run(&["inject", "-f", "-", "--bundle", &keys], text.as_bytes());
        assert_eq!(done.code, Some(0), "{}\n{text}", done.err);
        String::from_utf8(done.out).unwrap()
    };
    let mut count = 0;
    for text in FILES.into_iter().flat_map(|file| file.split("\n---\n")) {
        for form in Form::ALL {
            let (text, before) = form.of(text);
            let printed = inject(&text);
            let after: Vec<Value> = serde_saphyr::from_multiple(&printed)
                .unwrap_or_else(|error| panic!("{error}: {printed}"));
            let after: Vec<_> = after.into_iter().filter(|it| !it.is_null()).collect();
            // A List is printed as its items.
            let (others, before) = match before["items"].as_array() {
                Some(items) => (&items[..1], &items[1]),
                None => (&[][..], &before),
            };
            let name = before["metadata"]["name"].as_str().unwrap_or("unnamed").to_owned();
            let at = format!("{form:?} of {name}");
            let Some((last, rest)) = after.split_last() else { panic!("{at}: nothing printed") };
            assert_eq!(rest.iter().collect::<Vec<_>>(), others.iter().collect::<Vec<_>>(), "{at}");
            check(before, last, &at);
            assert_eq!(inject(&printed), printed, "{at}: a second injection changes it");
            count += 1;
        }
    }
    assert!(count >= 300, "{count}");
}

/// What an injection added must be right, and everything else as it was.
fn check(before: &Value, after: &Value, at: &str) {
    let mut rest = after.clone();
    let annotations = &pod(before)["metadata"]["annotations"];
    let chosen = annotations["enclii.io/containers"]
        .as_str()
        .map(|list| list.split(',').map(str::trim).map(str::to_owned).collect::<BTreeSet<_>>());
    let listed = annotations["enclii.io/env"].as_str().unwrap_or_default();
    let is_signalled =
        annotations["enclii.io/reload"].as_str().is_some_and(|it| it.starts_with("signal="));
    let status = pod_mut(&mut rest)["metadata"]["annotations"].as_object_mut().unwrap();
    assert!(status.remove("enclii.io/status").is_some(), "{at}: no status");
    let spec = &mut pod_mut(&mut rest)["spec"];
    let old = &pod(before)["spec"];

    take_agent(spec, old, at);
    if is_signalled && old["shareProcessNamespace"].is_null() {
        assert_eq!(
            spec.as_object_mut().unwrap().remove("shareProcessNamespace"),
            Some(json!(true))
        );
    }
    for list in ["initContainers", "containers"] {
        let (Some(now), Some(then)) =
            (spec.get_mut(list).and_then(Value::as_array_mut), old[list].as_array())
        else {
            continue;
        };
        assert_eq!(now.len(), then.len(), "{at}: {list}");
        for (now, then) in now.iter_mut().zip(then) {
            let name = then["name"].as_str().unwrap();
            let is_of_mesh = ["istio-init", "istio-proxy", "linkerd-proxy"].contains(&name);
            let gets = chosen.as_ref().map_or(!is_of_mesh, |chosen| chosen.contains(name));
            take_mount(now, then, gets, &format!("{at}, container {name}"));
            take_variables(now, then, gets.then_some(listed), &format!("{at}, container {name}"));
        }
    }
    assert_eq!(rest, *before, "{at}: something else was changed");
}

/// Takes out the agent and its volumes.
fn take_agent(spec: &mut Value, old: &Value, at: &str) {
    let containers = spec["initContainers"].as_array_mut().unwrap();
    let place = containers.iter().position(|it| it["name"] == "enclii-agent").unwrap();
    let agent = containers.remove(place);
    // First, or after the proxies of meshes.
    if let Some(last) = containers[..place].last() {
        assert_eq!(last["restartPolicy"], "Always", "{at}: the agent is not first");
    }
    for before in &containers[..place] {
        let name = before["name"].as_str().unwrap();
        let is_of_mesh = ["istio-", "linkerd-"].iter().any(|mesh| name.starts_with(mesh));
        assert!(is_of_mesh, "{at}: {name} is before the agent");
    }
    assert!(containers.iter().all(|it| it["name"] != "enclii-agent"), "{at}: two agents");
    assert_eq!(agent["restartPolicy"], "Always", "{at}");
    let security = &agent["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false, "{at}");
    assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}), "{at}");
    if old["initContainers"].is_null() {
        assert!(containers.is_empty());
        spec.as_object_mut().unwrap().remove("initContainers");
    }
    let volumes = spec["volumes"].as_array_mut().unwrap();
    let mut take = |name: &str| {
        let index = volumes.iter().position(|it| it["name"] == name);
        volumes.remove(index.unwrap_or_else(|| panic!("{at}: no volume {name}")))
    };
    assert_eq!(take("enclii-secrets")["emptyDir"]["medium"], "Memory", "{at}");
    let token = take("enclii-token");
    let source = &token["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(source["audience"], "enclii.io", "{at}");
    if old["volumes"].is_null() {
        assert!(volumes.is_empty());
        spec.as_object_mut().unwrap().remove("volumes");
    }
    let text = spec.to_string();
    assert!(!text.contains("enclii-token"), "{at}: somebody else has the agent's token");
}

fn take_mount(now: &mut Value, then: &Value, gets: bool, at: &str) {
    let mark = format!(".container/{}", now["name"].as_str().unwrap());
    let mounts = now.get_mut("volumeMounts").and_then(Value::as_array_mut);
    let Some(mounts) = mounts else { return assert!(!gets, "{at}: no mount") };
    // The container that is signalled has a mark.
    mounts.retain(|it| {
        let is_mark = it["mountPath"] == "/run/enclii/container";
        assert!(!is_mark || it["subPath"] == mark, "{at}: {it}");
        !is_mark
    });
    let ours = mounts.iter().position(|it| it["name"] == "enclii-secrets");
    assert_eq!(ours.is_some(), gets, "{at}: mounted");
    if let Some(index) = ours {
        let mount = mounts.remove(index);
        assert_eq!(mount["mountPath"], "/run/secrets", "{at}");
        assert_eq!(mount["readOnly"], true, "{at}: the application could write");
    }
    if mounts.is_empty() && then["volumeMounts"].is_null() {
        now.as_object_mut().unwrap().remove("volumeMounts");
    }
}

/// Puts the variables back that became files. `listed` is None in a container without secrets.
fn take_variables(now: &mut Value, then: &Value, listed: Option<&str>, at: &str) {
    let of_bundle = |it: &&Value| it["secretRef"]["name"] == "api-prod";
    let sources = then["envFrom"].as_array().into_iter().flatten().filter(of_bundle).count();
    let all = now["env"].as_array().cloned().unwrap_or_default();
    let mut files: BTreeSet<String> = BTreeSet::new();
    let mut rest = Vec::new();
    for variable in all {
        let name = variable["name"].as_str().unwrap();
        let secret = name.strip_suffix("_FILE").unwrap_or_default();
        if variable["value"] == format!("/run/secrets/{secret}") {
            assert!(files.insert(secret.to_owned()), "{at}: {name} twice");
        } else if !["ENCLII_CONTAINER", "ENCLII_POD_UID"].contains(&name) {
            rest.push(variable);
        }
    }
    let is_secret = |variable: &Value| {
        let name = variable["name"].as_str().unwrap();
        let is_listed = listed.is_some_and(|it| it.split(',').any(|it| it.trim() == name));
        is_listed || (KEYS.contains(&name) && variable["valueFrom"]["fieldRef"].is_null())
    };
    let old = then["env"].as_array().cloned().unwrap_or_default();
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for variable in old.iter().filter(|it| is_secret(it)) {
        expected.insert(variable["name"].as_str().unwrap().to_owned());
    }
    if sources > 0 {
        expected.extend(KEYS.map(str::to_owned));
    }
    assert_eq!(files, expected, "{at}: which variables became files");
    let kept: Vec<_> = old.into_iter().filter(|it| !is_secret(it)).collect();
    assert_eq!(rest, kept, "{at}: the other variables");
    if then["env"].is_null() {
        now.as_object_mut().unwrap().remove("env");
    } else {
        now["env"] = then["env"].clone();
    }
    if let Some(froms) = now["envFrom"].as_array() {
        assert!(!froms.iter().any(|it| of_bundle(&it)), "{at}: envFrom of the bundle is left");
    }
    if sources > 0 {
        let old = then["envFrom"].as_array().unwrap().iter();
        let kept: Vec<_> = old.filter(|it| !of_bundle(it)).collect();
        assert_eq!(now["envFrom"].as_array().unwrap().iter().collect::<Vec<_>>(), kept, "{at}");
        now["envFrom"] = then["envFrom"].clone();
    }
}
