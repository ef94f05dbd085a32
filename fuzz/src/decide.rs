//! Bundles and configurations for a decision.

use std::sync::Arc;

use contract::SecretName;
use injection::{Bundle, BundleLookup, InjectionConfig, KeyNames, KubernetesVersion};

/// The namespace of the pods.
pub const NAMESPACE: &str = "shop-prod";

/// The bundles that exist.
pub const BUNDLES: [&str; 3] = ["api-prod", "shared-prod", "clash-prod"];

/// The keys of the bundle `api-prod`; the other two have the second alone.
pub const KEYS: [&str; 2] = ["DATABASE_URL", "STRIPE_API_KEY"];

/// The three bundles.
pub struct Bundles([Arc<Bundle>; 3]);

impl Default for Bundles {
    fn default() -> Self {
        let bundle = |keys: &[&str]| {
            let keys = keys.iter().filter_map(|key| key.parse::<SecretName>().ok()).collect();
            Arc::new(Bundle {
                keys,
                project: "shop".parse().ok(),
                environment: "prod".parse().ok(),
            })
        };
        Self([bundle(&KEYS), bundle(&["REDIS_URL"]), bundle(&KEYS[1..])])
    }
}

impl BundleLookup for Bundles {
    fn bundle(&self, namespace: &str, name: &str) -> Option<Arc<Bundle>> {
        let at = BUNDLES.iter().position(|bundle| *bundle == name)?;
        (namespace == NAMESPACE).then(|| Arc::clone(&self.0[at]))
    }
}

/// The default configuration, and one that tells the names of keys to nobody and knows the newest
/// Kubernetes.
#[must_use]
pub fn configurations() -> [InjectionConfig; 2] {
    let config = || {
        InjectionConfig::new(
            "enclii/agent:1".into(),
            "https://switchyard.enclii-system.svc".into(),
            "PEM\n".into(),
        )
    };
    [
        InjectionConfig { kubernetes: KubernetesVersion::from_parts("1", "29"), ..config() },
        InjectionConfig { key_names: KeyNames::OfThePod, ..config() },
    ]
}
