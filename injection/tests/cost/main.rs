//! What a decision costs, whatever the pod contains: the API server checks a pod only after the
//! webhook has seen it, so anybody who may create pods can send anything of up to 3 MiB.
//!
//! Memory is counted here, and how often some is allocated, which grows with the steps of a
//! decision on any machine alike. `make bench` measures the time of the same pods.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod shapes;

use std::sync::Arc;

use contract::SecretName;
use injection::{
    Bundle, BundleLookup, Decision, InjectionConfig, OperatorFile, PlaintextMode, Pod,
    ReferenceRules, admit, plaintext_verdict,
};
use shapes::{BUNDLE, KEYS, Shape};

/// What one decision may take beside the pod's text, in bytes.
const MAX_MEMORY: u64 = 32 << 20;

/// How often it may allocate. Each time costs some 50 ns and comes with as much other work.
const MAX_ALLOCATIONS: u64 = 250_000;

/// How long the parts of an answer may be, in bytes. In base64, the patch stays below the 3 MiB
/// that the API server reads.
const MAX_PATCH: usize = 2 << 20;
const MAX_TEXT: usize = 64 << 10;

struct OneBundle(Arc<Bundle>);

impl BundleLookup for OneBundle {
    fn bundle(&self, _: &str, name: &str) -> Option<Arc<Bundle>> {
        // Bundles that are not the pod's have the same keys.
        (name == BUNDLE || name.starts_with('b')).then(|| Arc::clone(&self.0))
    }
}

/// The decision in words, or why the text is no pod.
fn decide(json: &str, bundles: &OneBundle, config: &InjectionConfig) -> (usize, usize, String) {
    let pod = match Pod::parse(json) {
        Ok(pod) => pod,
        Err(error) => return (0, 0, error.to_string()),
    };
    if !pod.asks_for_secrets() {
        let verdict = plaintext_verdict(&pod, "spec.template.", PlaintextMode::Deny, config);
        let warned = verdict.warnings.iter().map(String::len).sum();
        return (0, warned, verdict.refusal.unwrap_or_default());
    }
    match admit(&pod, "shop-prod", bundles, config) {
        Decision::Skip(reason) => (0, 0, reason.to_string()),
        Decision::Inject { patch, warnings } => {
            let patch = serde_json::to_vec(&patch).unwrap();
            let warned = warnings.iter().map(String::len).sum();
            (patch.len(), warned, "injected".to_owned())
        }
        Decision::Refuse { message, warnings } => {
            (0, warnings.iter().map(String::len).sum(), message)
        }
    }
}

/// As many rules as there may be, each as deep as it may be.
fn rules() -> ReferenceRules {
    let rule = |at| {
        let path = format!("vault:{}{at}", "abcdefghij/".repeat(15));
        serde_json::json!({ "from": path, "bundle": BUNDLE })
    };
    serde_json::from_value((0..256).map(rule).collect()).unwrap()
}

#[test]
fn no_pod_costs_more_than_a_review_may() {
    let keys = (0..KEYS).map(|at| format!("KEY_{at}").parse::<SecretName>().unwrap()).collect();
    let bundle = Bundle { keys, ..Bundle::default() };
    let bundles = OneBundle(Arc::new(bundle));
    let config = InjectionConfig::new(
        "enclii/agent:1".into(),
        "https://switchyard.enclii-system.svc".into(),
        "PEM\n".into(),
    );
    let config = OperatorFile { foreign_references: Some(rules()), ..OperatorFile::default() }
        .configure(config)
        .unwrap();
    let mut report = String::new();
    let mut is_over = false;
    // Each pod as one that asks for secrets, and as one in a namespace with a policy for plaintext.
    let all = shapes::all().into_iter().flat_map(|Shape { name, json }| {
        let plain = json.replace("enclii.io/secrets", "enclii.io/plain-env");
        [(name.to_string(), json), (format!("{name}, plain"), plain)]
    });
    for (name, json) in all {
        let (mut patch, mut warnings, mut outcome) = (0, 0, String::new());
        let cost = allocation_counter::measure(|| {
            (patch, warnings, outcome) = decide(&json, &bundles, &config);
        });
        let is_costly = cost.bytes_max > MAX_MEMORY
            || cost.count_total > MAX_ALLOCATIONS
            || patch > MAX_PATCH
            || outcome.len() > MAX_TEXT
            || warnings > MAX_TEXT;
        is_over |= is_costly;
        let over = if is_costly { "OVER: " } else { "" };
        let outcome: String = outcome.chars().take(100).collect();
        report.push_str(&format!(
            "{over}{name}: {} KiB of text, {} KiB of memory in {} allocations, {} KiB of patch, {} \
             KiB of text in the answer: {outcome}\n",
            json.len() >> 10,
            cost.bytes_max >> 10,
            cost.count_total,
            patch >> 10,
            (outcome.len() + warnings) >> 10,
        ));
    }
    assert!(!is_over, "{report}");
}
