//! Access rules. Pure: the caller passes the principal, the namespaces and the grants.
//!
//! People and programs have roles, each in a scope and everything below it, and grants of single
//! permissions: [`decide`]. A pod reads the bundle of its own service, and what a grant adds to it:
//! [`decide_bundle`]. Everything else is denied. Every decision names the rule that made it.
//!
//! Scopes and names arrive as parsed types. They are made canonical once, at the edge, and are
//! never compared as text here.

mod audit_reach;
mod decision;
mod delegation;
mod delivered;
mod member_filter;
#[cfg(test)]
mod model_tests;
mod name_right;
mod pod_access;
mod pods;
mod possible;
mod principal;
mod target;
mod verb;

pub use audit_reach::{AuditReach, decide_audit};
pub use decision::{AllowRule, Allowed, Denied, DenyRule, decide, listable_secrets, remedy_for};
pub use delegation::{Delegation, decide_delegation, decide_lifetime, decide_session_end};
pub use delivered::{Delivered, delivered};
pub use member_filter::{MemberFilter, Reach, reach_of_grant};
pub use name_right::{NameRight, name_right};
pub use pod_access::{
    BundleGap, PodDenied, PodRights, PodTarget, candidate_bundles, decide_pod, decide_pod_bundle,
};
pub use pods::{
    BundleAllowed, BundleDenied, BundleDenyReason, BundleGrant, BundleRule, NamespaceBinding,
    ServiceAccountRef, decide_bundle,
};
pub use possible::{decide_some, decide_somewhere};
pub use principal::{AccessGrant, Principal, RoleAssignment, RoleSource};
pub use target::{RoleScope, SecretFilter, Target};
pub use verb::Verb;
