//! Who may do what. Pure: who asks, what the namespaces are and which grants there are is handed
//! in.
//!
//! People and programs have roles, each within a scope and all below it, and grants of one thing at
//! a time: [`decide`]. A pod has its own service's bundle, and what a grant adds to that:
//! [`decide_bundle`]. What no rule allows is denied. Every answer names the rule that gave it.
//!
//! Scopes and names come here as parsed types: they were made canonical once, at the edge, and are
//! not looked at as text again.

mod delegation;
mod people;
mod pods;
mod principal;
#[cfg(test)]
mod reference;
mod target;
mod verb;

pub use delegation::{hand_out, lasts_within};
pub use people::{Allowed, Denied, DeniedRule, Rule, decide, listing};
pub use pods::{
    Account, Binding, BundleAllowed, BundleDenied, BundleGrant, BundleRule, Reason, decide_bundle,
};
pub use principal::{Assigned, Permit, Principal, Source};
pub use target::{Reach, Target, Which};
pub use verb::Verb;
