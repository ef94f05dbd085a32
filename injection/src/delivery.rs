//! Whether the pod can have its secrets delivered as it asks.

use contract::{Annotations, Delivery};

use crate::diagnostics::{Diagnostics, Violation};

/// Refuses what this build does not do yet.
pub(crate) fn check(annotations: &Annotations, diagnostics: &mut Diagnostics) {
    let request = &annotations.deliver;
    for delivery in [Delivery::Env, Delivery::Exec] {
        if request.uses(delivery) {
            diagnostics.deny(Violation::DeliveryUnavailable { delivery: delivery.as_str() });
        }
    }
    if request.init_only {
        diagnostics.deny(Violation::DeliveryUnavailable { delivery: "init" });
    }
}
