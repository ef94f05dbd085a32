//! The state that reviews are answered with. Watches replace parts of it while reviews read it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use injection::{InjectionConfig, KubernetesVersion, PlaintextMode};
use runtime::readiness::Gate;

use crate::catalog::Catalog;
use crate::review::{HttpReply, PlaintextRecord, ReviewContext, respond, respond_plaintext};

/// Everything that a review needs. Clones share it.
#[derive(Clone, Debug)]
pub struct WebhookState {
    catalog: Catalog,
    bundles_listed: Gate,
    trust_known: Gate,
    /// Complete from the start, except for `trust`, and `kubernetes` in a cluster.
    config: Arc<ArcSwap<InjectionConfig>>,
}

impl WebhookState {
    /// The state at startup. `bundles_listed` opens when the catalog is complete, `trust_known`
    /// when the CA is known that agents trust, or if they need none of those that are followed;
    /// `config.trust` is empty until then.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        config: InjectionConfig,
        bundles_listed: Gate,
        trust_known: Gate,
    ) -> Self {
        if !config.needs_trust() {
            trust_known.ready();
        }
        let config = Arc::new(ArcSwap::from_pointee(config));
        Self { catalog, bundles_listed, trust_known, config }
    }

    /// Sets the API server's version, or that it is not known yet.
    pub fn set_kubernetes(&self, kubernetes: Option<KubernetesVersion>) {
        self.config.rcu(|config| InjectionConfig { kubernetes, ..InjectionConfig::clone(config) });
    }

    /// Sets the CA certificates that agents trust for their source, and opens the gate.
    pub fn set_trust(&self, pem: String) {
        self.config.rcu(|config| {
            let config = InjectionConfig::clone(config);
            InjectionConfig { trust: pem.clone(), ..config }
        });
        self.trust_known.ready();
    }

    /// Replaces the operator's settings. What others set stays: the CA that agents trust, the API
    /// server's version.
    pub fn set_config(&self, config: &InjectionConfig) {
        if !config.needs_trust() {
            self.trust_known.ready();
        }
        self.config.rcu(|old| InjectionConfig {
            trust: old.trust.clone(),
            kubernetes: old.kubernetes,
            ..config.clone()
        });
    }

    /// Answers a review with the current state.
    #[must_use]
    pub fn respond(&self, body: &[u8]) -> HttpReply {
        let config = self.config.load();
        let waiting_for = if config.needs_trust() && config.trust.is_empty() {
            Some(self.trust_known.name())
        } else if !self.bundles_listed.is_ready() {
            Some(self.bundles_listed.name())
        } else {
            None
        };
        respond(body, &ReviewContext { bundles: &self.catalog, config: &config, waiting_for })
    }

    /// Answers a review of a namespace with a policy for plaintext. It needs no bundle, so it does
    /// not wait for them.
    #[must_use]
    pub fn respond_plaintext(
        &self,
        body: &[u8],
        mode: PlaintextMode,
    ) -> (HttpReply, PlaintextRecord) {
        respond_plaintext(body, mode, &self.config.load())
    }
}
