//! What the process knows at this moment, swapped under the reviews that read it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use runtime::readiness::Gate;

use crate::catalog::Catalog;
use crate::review::{Answer, World, respond};
use injection::config::InjectionConfig;

/// Everything that a decision is made with. Clones share it.
#[derive(Clone, Debug)]
pub struct Known {
    catalog: Catalog,
    listed: Gate,
    trusted: Gate,
    operator: Arc<InjectionConfig>,
    injection: Arc<ArcSwapOption<InjectionConfig>>,
}

impl Known {
    /// Knows what the operator has set; `listed` says whether the catalog is complete and `trusted`
    /// whether switchyard's CA was seen.
    #[must_use]
    pub fn new(catalog: Catalog, operator: InjectionConfig, listed: Gate, trusted: Gate) -> Self {
        Self { catalog, listed, trusted, operator: Arc::new(operator), injection: Arc::default() }
    }

    /// From now on agents are told to trust these CAs.
    pub fn trust(&self, pem: &str) {
        let config =
            InjectionConfig { trust: pem.to_owned(), ..InjectionConfig::clone(&self.operator) };
        self.injection.store(Some(Arc::new(config)));
    }

    /// Answers a review with what is known now.
    #[must_use]
    pub fn respond(&self, body: &[u8]) -> Answer {
        let config = self.injection.load();
        let injection = match config.as_deref() {
            Some(_) if !self.listed.is_ready() => Err(self.listed.name()),
            Some(config) => Ok(config),
            None => Err(self.trusted.name()),
        };
        respond(body, &World { bundles: &self.catalog, injection })
    }
}
