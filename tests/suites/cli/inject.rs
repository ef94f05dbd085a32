//! `enclii inject`: what it prints of a pod, and errors that name the file that is at fault.

use contract::annotations;

use crate::harness::CliHarness;

const POD: &[u8] = b"
apiVersion: v1
kind: Pod
metadata: {name: api, annotations: {enclii.io/secrets: api-prod}}
spec: {containers: [{name: api, image: api}]}
";

#[test]
fn a_bad_ca_file_is_not_reported_as_a_bad_manifest() {
    let harness = CliHarness::start();
    let manifest = harness.file("pod.yaml", POD);
    let ca = harness.file("not-a-ca", b"this is not PEM");
    let error = harness.fails(1, &["inject", "--file", &manifest, "--cacert", &ca]);
    assert!(error.contains(&format!("parse CA file {ca}: ")), "{error}");
    assert!(error.contains("must hold CA certificates in PEM"), "{error}");
    assert!(!error.contains("pod.yaml"), "{error}");

    let absent = harness.directory.path().join("absent");
    let error =
        harness.fails(1, &["inject", "--file", &manifest, "--cacert", absent.to_str().unwrap()]);
    assert!(error.contains(&format!("read CA file {}: ", absent.display())), "{error}");
}

#[test]
fn the_help_names_every_annotation() {
    let help = CliHarness::start().ok(&["inject", "--help"], b"");
    let of_files = annotations::FILE_KEYS.iter().map(|(key, _)| format!("{key}FILE\n"));
    let single = annotations::KEYS.iter().map(|(key, _)| format!("{key}\n"));
    for key in single.chain(of_files) {
        assert!(help.contains(&key), "{key:?}: {help}");
    }
}

/// What a file of several documents makes: standard output and standard error.
fn inject(harness: &CliHarness, code: i32, text: &str) -> (String, String) {
    let words = ["inject", "-f", "-", "--bundle", "api-prod=DATABASE_URL"];
    let done = harness.run(&words, text.as_bytes());
    assert_eq!(done.code, Some(code), "{}", done.err);
    (String::from_utf8(done.out).unwrap(), done.err)
}

#[test]
fn the_operators_file_is_read_as_the_webhook_reads_it() {
    let harness = CliHarness::start();
    let manifest = harness.file("pod.yaml", POD);
    let bundle = ["--bundle", "api-prod=DATABASE_URL"];
    let inject = |code: i32, more: &[&str]| {
        let words = [&["inject", "-f", &manifest][..], &bundle, more].concat();
        let done = harness.run(&words, b"");
        assert_eq!(done.code, Some(code), "{}", done.err);
        (String::from_utf8(done.out).unwrap(), done.err)
    };
    let file = harness.file("webhook.yaml", b"# sizes\nvolumeSize: 9Mi\nagentImage: mine:1\n");
    let (out, _) = inject(0, &["--config", &file]);
    assert!(out.contains("sizeLimit: 9Mi") && out.contains("image: mine:1"), "{out}");
    let (out, _) = inject(0, &["--config", &file, "--agent-image", "mine:2"]);
    assert!(out.contains("image: mine:2"), "{out}");
    let comments = harness.file("empty.yaml", b"# volumeSize: 9Mi\n");
    assert!(inject(0, &["--config", &comments]).0.contains("sizeLimit: 32Mi"));

    let first = harness.file("first.yaml", b"agentPlacement: first\n");
    let (out, _) = inject(0, &["--config", &first]);
    assert!(!out.contains("initContainers") && out.contains("enclii-agent"), "{out}");
    let job = "kind: Job\nspec: {template: {spec: {restartPolicy: Never, serviceAccountName: api, \
        containers: [{name: api, image: api}]}, metadata: {annotations: {enclii.io/secrets: \
        api-prod}}}}\n";
    let job = harness.file("job.yaml", job.as_bytes());
    let words = [&["inject", "-f", &job, "--config", &first][..], &bundle].concat();
    let done = harness.run(&words, b"");
    assert!(String::from_utf8(done.out).unwrap().contains("initContainers"), "{}", done.err);

    for (text, words) in
        [("volumeSizes: 9Mi\n", "volumeSizes"), ("volumeSize: 1Gi\n", "over the agent's memory")]
    {
        let file = harness.file("wrong.yaml", text.as_bytes());
        let (_, error) = inject(1, &["--config", &file]);
        assert!(error.contains(&file) && error.contains(words), "{error}");
    }
}

#[test]
fn a_bundle_that_maps_to_vault_is_injected_offline() {
    let harness = CliHarness::start();
    let manifest = harness.file("pod.yaml", POD);
    let config = harness.file(
        "webhook.yaml",
        b"source: vault\nvaultAddress: https://vault:8200\n\
            vaultRole: '{namespace}_{service_account}'\n",
    );
    let bundle = harness.file(
        "bundle.yaml",
        b"kind: SecretBundle\nmetadata: {name: api-prod}\nspec: {vault: {DATABASE_URL: \
            {type: kv, mount: secret, path: shop/api, field: url}}}\n",
    );
    let inject = |code: i32, more: &[&str]| {
        let words = [&["inject", "-n", "shop-prod", "-f", &manifest][..], more].concat();
        let done = harness.run(&words, b"");
        assert_eq!(done.code, Some(code), "{}", done.err);
        (String::from_utf8(done.out).unwrap(), done.err)
    };
    let (out, _) = inject(0, &["--config", &config, "--bundle-file", &bundle]);
    for words in ["shop/api", "shop-prod_default", "https://vault:8200", "audience: vault"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let (_, error) = inject(1, &["--config", &config, "--bundle", "api-prod=DATABASE_URL"]);
    assert!(error.contains("does not say where its keys are in Vault"), "{error}");
    let (_, error) = inject(1, &["--bundle-file", &bundle]);
    assert!(error.contains("only says where its keys are in Vault"), "{error}");
}

const TEMPLATE: &str = "    metadata: {annotations: {enclii.io/secrets: api-prod}}
    spec: {serviceAccountName: api, containers: [{name: api, image: api}]}
";

#[test]
fn yaml_is_read_as_kubectl_reads_it() {
    let harness = CliHarness::start();
    let text = "
kind: Deployment
metadata: {name: api}
spec:
  paused: no
  replicas: 1
  replicas: 2
  template:
    metadata: {annotations: {enclii.io/secrets: api-prod, a: \"0400\"}}
    spec:
      serviceAccountName: api
      volumes: [{name: v, secret: {secretName: x, defaultMode: 0400}}]
      containers: [{name: api, image: api}]
";
    let (out, err) = inject(&harness, 0, text);
    for line in ["defaultMode: 256", "a: \"0400\"", "paused: false", "replicas: 2"] {
        assert!(out.contains(line), "{line} in {out}");
    }
    assert!(out.contains("enclii-agent"), "{out}");
    assert!(err.contains("Deployment api (line 2): replicas is there twice (line 7)"), "{err}");
}

#[test]
fn a_refused_document_is_named_and_hides_no_other() {
    let harness = CliHarness::start();
    let number = "kind: Job
metadata: {name: port}
spec:
  template:
    spec:
      containers:
      - name: a
        env:
        - name: PORT
          value: 8080
";
    let unknown = "kind: Pod
metadata: {name: lost, annotations: {enclii.io/secrets: other-prod}}
spec: {containers: []}
";
    let good = format!("kind: Rollout\nmetadata: {{name: good}}\nspec:\n  template:\n{TEMPLATE}");
    let (out, err) = inject(&harness, 1, &format!("{number}---\n{unknown}---\na: [\n---\n{good}"));
    assert!(
        err.contains(
            "Job port (line 1): the webhook would refuse this pod: \
             spec.template.spec.containers[0].env[0].value is a number (line 10), and the API \
             server takes a string alone: put it in quotes"
        ),
        "{err}"
    );
    assert!(err.contains("Pod lost (line 12): the webhook would refuse this pod: "), "{err}");
    assert!(err.contains("parse -: not YAML at line"), "{err}");
    assert!(out.contains("kind: Rollout") && out.contains("enclii-agent"), "{out}");
    assert!(!out.contains("kind: Job") && !out.contains("lost"), "{out}");
}

#[test]
fn every_kind_of_template_is_injected() {
    let harness = CliHarness::start();
    for kind in ["Deployment", "Rollout", "DeploymentConfig", "CloneSet", "Service", "ReplicaSet"] {
        let text = format!("kind: {kind}\nmetadata: {{name: x}}\nspec:\n  template:\n{TEMPLATE}");
        let (out, err) = inject(&harness, 0, &text);
        assert!(out.contains("enclii-agent"), "{kind}: {out}{err}");
    }
    let (out, _) = inject(&harness, 0, &format!("kind: PodTemplate\ntemplate:\n{TEMPLATE}"));
    assert!(out.contains("enclii-agent"), "{out}");
    let pod = r#"{"kind":"Pod","metadata":{"annotations":{"enclii.io/secrets":"api-prod"}},"spec":{
        "serviceAccountName":"api","containers":[{"name":"a","image":"a"}]}}"#;
    for text in [format!("[{pod},{pod}]"), format!(r#"{{"kind":"List","items":[{pod},{pod}]}}"#)] {
        let (out, _) = inject(&harness, 0, &text);
        assert_eq!(out.matches("\"name\": \"enclii-agent\"").count(), 2, "{out}");
    }
    let set = "kind: SidecarSet\nmetadata: {name: s}\nspec: {containers: [{name: a}]}\n";
    let (out, err) = inject(&harness, 0, set);
    assert!(
        out.contains("SidecarSet") && err.contains("SidecarSet s (line 1): not injected"),
        "{err}"
    );
}

#[test]
fn what_the_webhook_cannot_see_is_pointed_out() {
    let harness = CliHarness::start();
    let (_, err) = inject(
        &harness,
        0,
        "kind: Deployment
metadata: {name: api, annotations: {enclii.io/secrets: api-prod}}
spec: {template: {spec: {containers: []}}}
",
    );
    assert!(
        err.contains("annotation enclii.io/secrets is on the Deployment itself")
            && err.contains("move it"),
        "{err}"
    );
    let (_, err) = inject(&harness, 0, std::str::from_utf8(POD).unwrap());
    assert!(
        err.contains(
            "runs as service account default, which may not read api-prod without a grant"
        ),
        "{err}"
    );
}

#[test]
fn the_clusters_version_decides_what_can_be_asked_for() {
    let harness = CliHarness::start();
    let text = "
kind: Pod
metadata: {name: api, annotations: {enclii.io/secrets: api-prod, enclii.io/deliver: env}}
spec:
  serviceAccountName: api
  containers: [{name: api, image: api, env: [{name: DATABASE_URL, value: x}]}]
";
    let (out, err) = inject(&harness, 0, text);
    let variable = "    - name: DATABASE_URL
      valueFrom:
        fileKeyRef:
          key: DATABASE_URL
          optional: false
          path: \".env/DATABASE_URL\"
          volumeName: enclii-secrets
";
    assert!(out.contains(variable), "{out}");
    assert!(err.contains("kubectl -n default rollout restart deployment/NAME"), "{err}");
    let words = ["inject", "-f", "-", "--bundle", "api-prod=DATABASE_URL"];
    let words = [&words[..], &["--kubernetes-version", "v1.34.2"]].concat();
    let done = harness.run(&words, text.as_bytes());
    assert_eq!(done.code, Some(1));
    assert!(
        done.err.contains("env needs Kubernetes 1.35, and the cluster has 1.34"),
        "{}",
        done.err
    );
}

#[test]
fn a_template_is_read_before_any_pod_exists() {
    let harness = CliHarness::start();
    let pod = |template: &str| {
        format!(
            "kind: Pod\nmetadata:\n  name: api\n  annotations:\n    enclii.io/secrets: api-prod\n\
             \x20   enclii.io/template-db.ini: '{template}'\n\
             spec: {{containers: [{{name: api, image: api}}]}}\n"
        )
    };
    let (out, _) = inject(&harness, 0, &pod("url={{ DATABASE_URL | json }}"));
    assert!(out.contains("DATABASE_URL | json"), "{out}");
    for (template, cause) in [
        ("{{ DATABASE_URL | jsn }}", "line 1: there is no filter jsn"),
        ("{{ DATABASE_ULR }}", "line 1: DATABASE_ULR is no key of the pod"),
        ("{{ DATABASE_URL", "line 1: syntax error"),
    ] {
        let (_, error) = inject(&harness, 1, &pod(template));
        assert!(error.contains("enclii.io/template-db.ini") && error.contains(cause), "{error}");
    }
}
