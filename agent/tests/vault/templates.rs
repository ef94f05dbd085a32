//! Templates of Vault Agent, rendered by the real program from what a real Vault answers.

use contract::rendered::{Contents, RenderedFile};
use contract::vault_template::{VaultTemplateCall, VaultTemplateOptions};
use contract::{SecretName, VaultTemplate};
use serde_json::json;

use crate::harness::{Cluster, KV_POLICY, VaultPod};

/// Has the agent render `app.ini`, and nothing else, from the entry in `_app`.
fn render(pod: &mut VaultPod, text: &str) {
    let call = VaultTemplateCall {
        path: "secret/data/shop/app".to_owned(),
        parameters: [].into(),
        secret: "_app".parse::<SecretName>().unwrap(),
    };
    let options = VaultTemplateOptions {
        error_on_missing_key: true,
        calls: vec![call],
        ..VaultTemplateOptions::default()
    };
    let contents = Contents::VaultTemplate(VaultTemplate { text: text.to_owned(), options });
    let files = pod.files();
    files.rendered_only = true;
    files.rendered = vec![RenderedFile { file: "app.ini".parse().unwrap(), contents }];
}

#[test]
fn a_template_sees_all_of_an_answer_and_follows_it() {
    e2e::process::program("enclii-render").unwrap();
    let cluster = Cluster::start(KV_POLICY, ("1h", "1h"));
    cluster.put("shop/app", json!({"user": "canary-u1", "n": 17}));
    let whole = json!({"type": "kv", "mount": "secret", "path": "shop/app", "field": "*"});
    let mut pod = cluster.pod(json!({"_app": whole}));
    let template = "{{ with secret \"secret/data/shop/app\" }}{{ range $k, $v := .Data.data }}\
        {{ $k }}={{ $v }};{{ end }}{{ .Data.data.user | toUpper }} v{{ .Data.metadata.version }}\
        {{ end }}";
    render(&mut pod, template);
    pod.start();
    pod.until_file("app.ini", "n=17;user=canary-u1;CANARY-U1 v1");
    assert!(pod.file("_app").is_none(), "the answer itself is a file");

    cluster.put("shop/app", json!({"user": "canary-u2"}));
    pod.until_file("app.ini", "user=canary-u2;CANARY-U2 v2");

    // What the template needs is gone: the file stays, and the reason is said without a value.
    cluster.put("shop/app", json!({"other": "canary-x"}));
    pod.until_logged("render template app.ini: line 1: there is no key user");
    assert_eq!(pod.file("app.ini").unwrap(), "user=canary-u2;CANARY-U2 v2");
    assert!(!pod.log().contains("canary"), "{}", pod.log());
}
