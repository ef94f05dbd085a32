//! What a decision costs, whatever the pod contains: the API server checks a pod only after the
//! webhook has seen it, so anybody who may create pods can send anything of up to 3 MiB.
//!
//! Memory is counted here. `make bench` measures the time of the same pods.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod shapes;

use std::sync::Arc;

use contract::SecretName;
use injection::{
    Bundle, BundleLookup, Decision, InjectionConfig, OperatorFile, PlaintextMode, Pod,
    ReferenceRules, admit, plaintext_verdict,
};
use peak_alloc::PeakAlloc;
use shapes::{BUNDLE, KEYS, Shape};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What one decision may take beside the pod's text, in bytes.
const MAX_MEMORY: usize = 32 << 20;

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

/// One test, because memory is counted for the whole process.
#[test]
fn no_pod_costs_more_than_32_mib() {
    let keys = (0..KEYS).map(|at| format!("KEY_{at}").parse::<SecretName>().unwrap()).collect();
    let bundle = Bundle { keys, project: None, environment: None };
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
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let (patch, warnings, outcome) = decide(&json, &bundles, &config);
        let peak = MEMORY.peak_usage().saturating_sub(before);
        is_over |= peak > MAX_MEMORY
            || patch > MAX_PATCH
            || outcome.len() > MAX_TEXT
            || warnings > MAX_TEXT;
        let outcome: String = outcome.chars().take(100).collect();
        report.push_str(&format!(
            "{name}: {} KiB of text, {} KiB of memory, {} KiB of patch, {} KiB of text in the \
             answer: {outcome}\n",
            json.len() >> 10,
            peak >> 10,
            patch >> 10,
            (outcome.len() + warnings) >> 10,
        ));
    }
    assert!(!is_over, "{report}");
}
