//! Bundles and configurations for a decision.

use std::sync::Arc;

use contract::SecretName;
use injection::{
    AgentUser, Bundle, BundleLookup, InjectionConfig, KeyNames, KubernetesVersion, PlacementPolicy,
};
use serde_json::json;

/// The namespace of the pods.
pub const NAMESPACE: &str = "shop-prod";

/// The bundles that exist.
const BUNDLES: [&str; 3] = ["api-prod", "shared-prod", "clash-prod"];

/// The keys of the bundle `api-prod`; `clash-prod` has the second one too.
const KEYS: [&str; 2] = ["DATABASE_URL", "STRIPE_API_KEY"];

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
                ..Bundle::default()
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

/// A cluster of Kubernetes 1.29; the newest, where a pod learns no key that it does not name; and
/// one whose operator has chosen everything that leads to other code.
#[must_use]
pub fn configurations() -> [InjectionConfig; 3] {
    let references = json!([
        { "from": "vault:secret/api", "bundle": "api-prod" },
        { "from": "op://Shop/Db", "bundle": "shared-prod", "keys": { "url": "REDIS_URL" } },
    ]);
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
        InjectionConfig {
            placement: PlacementPolicy::First,
            agent_user: AgentUser::Namespace,
            foreign_references: serde_json::from_value(references).expect("the rules are valid"),
            ..config()
        },
    ]
}
