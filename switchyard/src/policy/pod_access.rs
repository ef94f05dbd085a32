//! Whether the pods of a service account get a secret: by which bundle, and if not, what would let
//! them.
//!
//! A pod reads bundles, never a secret by itself. So the question goes to [`decide_bundle`] for
//! each bundle that could hold it, and to the filter of its answer.

use std::collections::BTreeSet;

use contract::{BundleRef, Scope, SecretName};

use super::{
    BundleAllowed, BundleGrant, NamespaceBinding, Reach, ServiceAccountRef, decide_bundle,
};

/// The current rights of a service account.
#[derive(Clone, Debug)]
pub struct PodRights {
    /// Where its namespace belongs.
    pub binding: Option<NamespaceBinding>,
    /// Its grants.
    pub grants: Vec<BundleGrant>,
}

/// What a pod is asked to read.
#[derive(Clone, Copy, Debug)]
pub struct PodTarget<'a> {
    /// The scope of the secrets.
    pub scope: &'a Scope,
    /// One of them. `None` is all of that very scope.
    pub secret: Option<&'a SecretName>,
    /// The narrower scopes that have a secret of this name. Their pods get that one.
    pub narrower: &'a BTreeSet<Scope>,
    /// The service scopes that have a bundle, of those that matter.
    pub bundles: &'a BTreeSet<Scope>,
}

/// The pods do not get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodDenied {
    /// Why, as the audit log has it.
    pub rule: String,
    /// What would let them.
    pub remedy: String,
}

impl BundleAllowed {
    /// The rule and what it leaves out, for the audit log.
    #[must_use]
    pub fn printed(&self) -> String {
        self.rule.with(&self.filter)
    }
}

/// Why the pods of a service account do not get something from one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleGap {
    /// They may read the bundle, and their grants leave it out.
    LeftOut(Box<BundleAllowed>),
    /// This narrower scope has a secret of that name, which the bundle has instead.
    Narrower(Scope),
    /// They may read the bundle, which does not exist yet.
    NoBundle,
    /// They may not read the bundle.
    NotAllowed,
}

/// Decides whether the pods of `account` get `target` from the bundle of service scope `of`.
///
/// # Errors
/// If they do not.
pub fn decide_pod_bundle(
    account: ServiceAccountRef<'_>,
    rights: &PodRights,
    target: PodTarget<'_>,
    of: &Scope,
) -> Result<BundleAllowed, BundleGap> {
    let PodTarget { scope, secret, narrower, bundles } = target;
    let (Some(service), Some(environment)) = (of.service(), of.environment()) else {
        return Err(BundleGap::NotAllowed);
    };
    let name = BundleRef::of(service, environment);
    let allowed = decide_bundle(account, &name, rights.binding.as_ref(), &rights.grants)
        .map_err(|_| BundleGap::NotAllowed)?;
    // The name is resolved in the namespace, and may mean another bundle there.
    if allowed.scope != *of || !scope.contains(of) {
        return Err(BundleGap::NotAllowed);
    }
    let selects = match secret {
        Some(secret) => allowed.filter.matches(secret, scope),
        None => allowed.filter.all_names_of(scope),
    };
    if !selects {
        return Err(BundleGap::LeftOut(Box::new(allowed)));
    }
    if !bundles.contains(of) {
        return Err(BundleGap::NoBundle);
    }
    let instead = narrower.iter().filter(|it| scope != *it && it.contains(of));
    match instead.min_by_key(|it| Reach::of(it)) {
        Some(instead) => Err(BundleGap::Narrower(instead.clone())),
        None => Ok(allowed),
    }
}

/// Decides whether the pods of `account` get `target`, and from which bundle.
///
/// # Errors
/// If they get it from no bundle.
pub fn decide_pod(
    account: ServiceAccountRef<'_>,
    rights: &PodRights,
    target: PodTarget<'_>,
) -> Result<BundleAllowed, PodDenied> {
    let PodTarget { scope, secret, .. } = target;
    let mut gap = (scope.clone(), BundleGap::NotAllowed);
    for candidate in candidate_bundles(account, rights, scope) {
        match decide_pod_bundle(account, rights, target, &candidate) {
            Ok(allowed) => return Ok(allowed),
            Err(BundleGap::NotAllowed) => {}
            Err(other) => gap = (candidate, other),
        }
    }
    let name = secret.map_or_else(|| scope.to_string(), |secret| format!("{scope}/{secret}"));
    let (of, gap) = gap;
    Err(match gap {
        BundleGap::Narrower(instead) => PodDenied {
            rule: format!(
                "rule narrower-scope-wins: the bundle of {of} has the secret of {instead} instead"
            ),
            remedy: format!("delete the secret of {instead}"),
        },
        BundleGap::LeftOut(allowed) => PodDenied {
            rule: format!("rule grant-reaches: {} of {of} leaves out {name}", allowed.printed()),
            remedy: remedy(account, &of, scope, secret),
        },
        BundleGap::NoBundle => PodDenied {
            rule: format!("rule no-bundle: nothing was written to {of}, so it has no bundle"),
            remedy: format!("write a secret to {of}"),
        },
        BundleGap::NotAllowed => denied(account, rights, scope, secret),
    })
}

/// The bundles that could bring secrets of `scope` to the pods: that of the service account's own
/// service, and those of its grants.
#[must_use]
pub fn candidate_bundles(
    account: ServiceAccountRef<'_>,
    rights: &PodRights,
    scope: &Scope,
) -> BTreeSet<Scope> {
    let own = rights.binding.as_ref().and_then(|binding| own_service(account, binding));
    let granted = rights.grants.iter().map(|it| it.bundle.clone());
    granted.chain(own).filter(|it| scope.contains(it)).collect()
}

fn own_service(account: ServiceAccountRef<'_>, binding: &NamespaceBinding) -> Option<Scope> {
    let NamespaceBinding { project, environment } = binding;
    let service = account.name.parse().ok()?;
    Some(Scope::Service(project.clone(), environment.clone(), service))
}

/// Where a namespace belongs is not told: the answer is the same for one without labels.
fn denied(
    account: ServiceAccountRef<'_>,
    rights: &PodRights,
    scope: &Scope,
    secret: Option<&SecretName>,
) -> PodDenied {
    let namespace = account.namespace;
    let here = rights.binding.as_ref().is_some_and(|NamespaceBinding { project, environment }| {
        project == scope.project() && scope.environment().is_none_or(|it| it == environment)
    });
    if !here {
        return PodDenied {
            rule: format!("rule own-environment-only: namespace {namespace} is not of {scope}"),
            remedy: format!(
                "no grant reaches it; only the labels enclii.io/project and \
                    enclii.io/environment of namespace {namespace} say where its pods belong"
            ),
        };
    }
    PodDenied {
        rule: "rule own-service: the service account has another name, and no grant names it"
            .to_owned(),
        remedy: remedy(account, scope, scope, secret),
    }
}

/// The grant that would let the pods read it.
fn remedy(
    account: ServiceAccountRef<'_>,
    bundle: &Scope,
    scope: &Scope,
    secret: Option<&SecretName>,
) -> String {
    let option = secret.map(|it| format!(" --secret {it}")).unwrap_or_default();
    let bundle = match bundle.service() {
        Some(_) => bundle.to_string(),
        None => format!("<a service of {bundle}>"),
    };
    format!(
        "somebody who may grant in {scope} can allow it: enclii grants add \
            service-account:{account} read {bundle}{option}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: ServiceAccountRef<'_> =
        ServiceAccountRef { namespace: "shop-prod", name: "jobs" };

    fn rights(binding: Option<(&str, &str)>, grants: &[(&str, &str, Reach)]) -> PodRights {
        let binding = binding.map(|(project, environment)| NamespaceBinding {
            project: project.parse().unwrap(),
            environment: environment.parse().unwrap(),
        });
        let grant = |(bundle, secret, reach): &(&str, &str, Reach)| BundleGrant {
            namespace: "shop-prod".into(),
            service_account: "jobs".into(),
            bundle: bundle.parse().unwrap(),
            secret: (!secret.is_empty()).then(|| secret.parse().unwrap()),
            reach: *reach,
        };
        PodRights { binding, grants: grants.iter().map(grant).collect() }
    }

    #[test]
    fn the_answer_names_the_bundle_or_what_is_missing() {
        let here = Some(("shop", "prod"));
        let web = |secret, reach| ("shop.prod.web", secret, reach);
        let whole = [web("", Reach::Project)];
        let narrow = [web("", Reach::Service)];
        let single = [web("A", Reach::Environment)];
        let absent = [("shop.prod.none", "", Reach::Project)];
        let shadow = ["shop.prod.web"];
        let own = ["shop.prod.jobs"];
        for (binding, grants, target, narrower, expected) in [
            (here, &[][..], "shop.prod.jobs/A", &[][..], Ok("shop.prod.jobs own-service")),
            (here, &[], "shop/A", &[], Ok("shop.prod.jobs own-service")),
            (here, &[], "shop.prod.jobs", &[], Ok("shop.prod.jobs own-service")),
            (here, &[], "shop/A", &own, Err("rule narrower-scope-wins")),
            // Another service's secret of that name shadows nothing here.
            (here, &[], "shop/A", &shadow, Ok("shop.prod.jobs own-service")),
            (here, &whole, "shop/A", &own, Ok("shop.prod.web grant")),
            (here, &[], "shop.prod.web/A", &[], Err("rule own-service")),
            (here, &whole, "shop.prod.web/A", &[], Ok("shop.prod.web grant")),
            (here, &narrow, "shop.prod.web/A", &[], Ok("shop.prod.web grant: of the service")),
            (here, &narrow, "shop.prod.web", &[], Ok("shop.prod.web grant: of the service")),
            (here, &single, "shop.prod.web", &[], Err("rule grant-reaches")),
            (here, &single, "shop.prod.web/B", &[], Err("rule grant-reaches")),
            (
                here,
                &single,
                "shop.prod.web/A",
                &[],
                Ok("shop.prod.web grant-of-secrets: A of environment and service"),
            ),
            (here, &[], "shop.dev.jobs/A", &[], Err("rule own-environment-only")),
            (Some(("shop", "dev")), &whole, "shop.prod.web/A", &[], Err("rule own-environment")),
            (None, &whole, "shop.prod.web/A", &[], Err("rule own-environment-only")),
            (None, &[], "shop/A", &[], Err("rule own-environment-only")),
            (here, &absent, "shop.prod.none/A", &[], Err("rule no-bundle")),
        ] {
            let (scope, secret) = target.split_once('/').unwrap_or((target, ""));
            let (scope, secret) = (scope.parse().unwrap(), secret.parse().ok());
            let narrower = narrower.iter().map(|it| it.parse().unwrap()).collect();
            let bundles = ["shop.prod.jobs", "shop.prod.web"];
            let bundles = bundles.iter().map(|it| it.parse().unwrap()).collect();
            let target = PodTarget {
                scope: &scope,
                secret: secret.as_ref(),
                narrower: &narrower,
                bundles: &bundles,
            };
            let found = decide_pod(ACCOUNT, &rights(binding, grants), target);
            let printed = found
                .map(|it| format!("{} {}", it.scope, it.printed()))
                .map_err(|it| format!("{}; {}", it.rule, it.remedy));
            match (&printed, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{target:?}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{target:?}: {found}"),
                _ => panic!("{target:?} {grants:?}: {printed:?}, not {expected:?}"),
            }
        }
    }
}
