//! Decides which bundle a pod may read, and which secrets of it.
//!
//! Service account `api` in a namespace of project `shop` and environment `prod` is service `api`
//! and reads bundle `api-prod`. A grant lets another service account of one namespace read it too,
//! or single secrets of it. No access crosses environments: the name of a bundle is resolved in the
//! project and environment of the namespace, so a pod cannot even name another one's bundle.

use std::fmt;

use contract::{BundleRef, Label, Scope, SecretName};

use super::{MemberFilter, Reach};

/// The project and environment of a namespace, from its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceBinding {
    /// The project.
    pub project: Label,
    /// The environment.
    pub environment: Label,
}

/// A service account of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceAccountRef<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The service account's name in it.
    pub name: &'a str,
}

impl fmt::Display for ServiceAccountRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A grant of a bundle to a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleGrant {
    /// The namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// The bundle's service scope.
    pub bundle: Scope,
    /// The only secret that is granted. `None` grants all.
    pub secret: Option<SecretName>,
    /// The widest scope whose secrets are granted: no wider than the grantor could grant.
    pub reach: Reach,
}

/// The pod may read the bundle or some of its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAllowed {
    /// The bundle's service scope.
    pub scope: Scope,
    /// Which members of it the pod may read.
    pub filter: MemberFilter,
    /// The rule that allows it.
    pub rule: BundleRule,
}

/// The rules that allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum BundleRule {
    /// A grant of the whole bundle.
    Grant,
    /// Grants of single secrets.
    GrantOfSecrets,
    /// The service account has the service's name.
    OwnService,
}

impl BundleRule {
    /// The name of the rule in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The rule with what its grants select, for the audit log.
    #[must_use]
    pub fn with(self, filter: &MemberFilter) -> String {
        let (rule, selected) = (self.as_str(), filter.to_string());
        if selected.is_empty() { rule.to_owned() } else { format!("{rule}: {selected}") }
    }
}

/// The pod may not read the bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("service account {account} may not read bundle {bundle}: {reason}")]
pub struct BundleDenied {
    /// The service account, as `namespace/name`.
    pub account: String,
    /// The bundle.
    pub bundle: BundleRef,
    /// The reason.
    pub reason: BundleDenyReason,
}

/// Why a pod may not read a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleDenyReason {
    /// The namespace has no project and environment labels.
    #[error(
        "namespace {namespace} belongs to no project; its admin sets the labels enclii.io/project \
            and enclii.io/environment"
    )]
    Unbound {
        /// The namespace.
        namespace: String,
    },
    /// The bundle's name does not end in the namespace's environment.
    #[error(
        "namespace {namespace} is environment {environment} of project {project}, and the bundle \
            is not of that environment"
    )]
    OtherEnvironment {
        /// The namespace.
        namespace: String,
        /// Its environment.
        environment: Label,
        /// Its project.
        project: Label,
    },
    /// The bundle of another service, without a grant.
    #[error(
        "it is the bundle of service {service}, which service account {service} reads, and no \
            grant names this one"
    )]
    OtherService {
        /// The bundle's service.
        service: Label,
    },
}

/// Decides whether `account` may read `bundle`. `binding` comes from the labels of its namespace
/// and is `None` if they are missing or invalid.
///
/// # Errors
/// If no rule allows it.
pub fn decide_bundle(
    account: ServiceAccountRef<'_>,
    bundle: &BundleRef,
    binding: Option<&NamespaceBinding>,
    grants: &[BundleGrant],
) -> Result<BundleAllowed, BundleDenied> {
    let denied =
        |reason| BundleDenied { account: account.to_string(), bundle: bundle.clone(), reason };
    let namespace = || account.namespace.to_owned();
    let Some(NamespaceBinding { project, environment }) = binding else {
        return Err(denied(BundleDenyReason::Unbound { namespace: namespace() }));
    };
    let Some(service) = bundle.service_in(environment) else {
        let (environment, project) = (environment.clone(), project.clone());
        return Err(denied(BundleDenyReason::OtherEnvironment {
            namespace: namespace(),
            environment,
            project,
        }));
    };
    let scope = Scope::Service(project.clone(), environment.clone(), service.clone());
    if service.as_str() == account.name {
        return Ok(BundleAllowed {
            scope,
            filter: MemberFilter::everything(),
            rule: BundleRule::OwnService,
        });
    }
    let applies = |it: &&BundleGrant| {
        it.namespace == account.namespace
            && it.service_account == account.name
            && it.bundle == scope
    };
    let mut filter = MemberFilter::default();
    for grant in grants.iter().filter(applies) {
        filter.add(grant.secret.as_ref(), grant.reach);
    }
    if filter.is_empty() {
        return Err(denied(BundleDenyReason::OtherService { service }));
    }
    let rule = if filter.has_all_names() { BundleRule::Grant } else { BundleRule::GrantOfSecrets };
    Ok(BundleAllowed { scope, filter, rule })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binding(project: &str, environment: &str) -> NamespaceBinding {
        NamespaceBinding {
            project: project.parse().unwrap(),
            environment: environment.parse().unwrap(),
        }
    }

    fn grant(namespace: &str, service_account: &str, bundle: &str, secret: &str) -> BundleGrant {
        let secret = (!secret.is_empty()).then(|| secret.parse().unwrap());
        BundleGrant {
            namespace: namespace.into(),
            service_account: service_account.into(),
            bundle: bundle.parse().unwrap(),
            secret,
            reach: Reach::Project,
        }
    }

    fn ask(
        namespace: &str,
        name: &str,
        bundle: &str,
        binding: Option<&NamespaceBinding>,
        grants: &[BundleGrant],
    ) -> Result<BundleAllowed, BundleDenied> {
        decide_bundle(
            ServiceAccountRef { namespace, name },
            &bundle.parse().unwrap(),
            binding,
            grants,
        )
    }

    #[test]
    fn access_by_account_bundle_and_grants() {
        let (prod, dev) = (binding("shop", "prod"), binding("shop", "dev"));
        let grants = [
            grant("shop-prod", "jobs", "shop.prod.api", ""),
            grant("shop-dev", "jobs", "shop.prod.api", ""),
            grant("shop-prod", "cron", "shop.prod.api", "A"),
        ];
        let rows = [
            ("shop-prod", "api", "api-prod", Some(&prod), Some(BundleRule::OwnService)),
            ("shop-prod", "web", "api-prod", Some(&prod), None),
            ("shop-prod", "jobs", "api-prod", Some(&prod), Some(BundleRule::Grant)),
            ("shop-prod", "jobs", "web-prod", Some(&prod), None),
            ("shop-prod", "cron", "api-prod", Some(&prod), Some(BundleRule::GrantOfSecrets)),
            // A grant of a prod bundle to a dev namespace has no effect.
            ("shop-dev", "jobs", "api-prod", Some(&dev), None),
            ("shop-dev", "api", "api-prod", Some(&dev), None),
            ("shop-dev", "api", "api-dev", Some(&dev), Some(BundleRule::OwnService)),
            ("unlabelled", "api", "api-prod", None, None),
            // Another namespace with the same labels is the same project: its admin said so.
            ("shop-prod-2", "api", "api-prod", Some(&prod), Some(BundleRule::OwnService)),
            ("shop-prod-2", "jobs", "api-prod", Some(&prod), None),
            // Similar names are different names.
            ("shop-prod", "API", "api-prod", Some(&prod), None),
            ("shop-prod", "api ", "api-prod", Some(&prod), None),
            ("shop-prod", "api-prod", "api-prod", Some(&prod), None),
            ("shop-prod", "api", "api-prod-prod", Some(&prod), None),
        ];
        for (namespace, account, bundle, binding, rule) in rows {
            let answer = ask(namespace, account, bundle, binding, &grants);
            assert_eq!(
                answer.as_ref().ok().map(|it| it.rule),
                rule,
                "{namespace}/{account} {bundle}: {answer:?}"
            );
        }
    }

    #[test]
    fn a_denial_names_account_bundle_and_reason() {
        let prod = binding("shop", "prod");
        assert_eq!(
            ask("shop-prod", "web", "api-prod", Some(&prod), &[]).unwrap_err().to_string(),
            "service account shop-prod/web may not read bundle api-prod: it is the bundle of \
                service api, which service account api reads, and no grant names this one"
        );
        assert_eq!(
            ask("unlabelled", "api", "api-prod", None, &[]).unwrap_err().to_string(),
            "service account unlabelled/api may not read bundle api-prod: namespace unlabelled \
                belongs to no project; its admin sets the labels enclii.io/project and \
                enclii.io/environment"
        );
        let dev = binding("shop", "dev");
        assert_eq!(
            ask("shop-dev", "api", "api-prod", Some(&dev), &[]).unwrap_err().to_string(),
            "service account shop-dev/api may not read bundle api-prod: namespace shop-dev is \
                environment dev of project shop, and the bundle is not of that environment"
        );
    }

    #[test]
    fn grants_of_single_secrets_add_up() {
        let prod = binding("shop", "prod");
        let rows = |names: &[&str]| {
            names
                .iter()
                .map(|name| grant("shop-prod", "cron", "shop.prod.api", name))
                .collect::<Vec<_>>()
        };
        let filter = |grants: &[BundleGrant]| {
            ask("shop-prod", "cron", "api-prod", Some(&prod), grants).unwrap().filter
        };
        assert_eq!(filter(&rows(&["A", "B"])).to_string(), "A,B");
        assert_eq!(filter(&rows(&["A", ""])), MemberFilter::everything());
        // A pod reads all of its own bundle, whatever grants exist.
        let own = ask(
            "shop-prod",
            "api",
            "api-prod",
            Some(&prod),
            &[grant("shop-prod", "api", "shop.prod.api", "A")],
        )
        .unwrap();
        assert_eq!((own.filter, own.rule), (MemberFilter::everything(), BundleRule::OwnService));
    }

    /// An independent model that works on text only: a bundle is `<service>-<environment>`. Returns
    /// whether `secret` of it may be read.
    fn model(
        namespace: &str,
        account: &str,
        bundle: &str,
        secret: &str,
        labels: Option<(&str, &str)>,
        grants: &[BundleGrant],
    ) -> bool {
        let Some((project, environment)) = labels else { return false };
        if bundle == format!("{account}-{environment}") {
            return true;
        }
        grants.iter().any(|grant| {
            let scope = grant.bundle.to_string();
            let parts: Vec<&str> = scope.split('.').collect();
            grant.namespace == namespace
                && grant.service_account == account
                && parts[0] == project
                && parts[1] == environment
                && bundle == format!("{}-{}", parts[2], parts[1])
                && grant.secret.as_ref().is_none_or(|it| it.as_str() == secret)
        })
    }

    fn word() -> impl Strategy<Value = String> {
        // Few and similar, so that they collide; with dashes, so that a name can be split in
        // several ways.
        prop::sample::select(vec!["a", "a-b", "b", "prod", "dev", "b-prod", "prod-dev", "a-prod"])
            .prop_map(str::to_owned)
    }

    proptest! {
        #[test]
        fn the_decision_agrees_with_the_model(
            namespace in word(), account in word(), service in word(), named_environment in word(),
            labels in prop::option::of((word(), word())),
            secret in prop::sample::select(vec!["A", "B"]),
            rows in prop::collection::vec((word(), word(), word(), word(), word(),
                prop::sample::select(vec!["", "A", "B"])), 0..6),
        ) {
            let bundle = format!("{service}-{named_environment}");
            let grants: Vec<BundleGrant> = rows.iter().map(|(n, s, p, e, v, one)| grant(n, s,
                &format!("{p}.{e}.{v}"), one)).collect();
            let bound = labels.as_ref().map(|(project, environment)| binding(project, environment));
            let answer = ask(&namespace, &account, &bundle, bound.as_ref(), &grants);
            let expected = model(&namespace, &account, &bundle, secret, labels.as_ref().map(|(p,
                e)| (p.as_str(), e.as_str())), &grants);
            let read = answer.as_ref().is_ok_and(|it| {
                let widest = Scope::Project(it.scope.project().clone());
                it.filter.matches(&secret.parse().unwrap(), &widest)
            });
            prop_assert_eq!(read, expected, "{:?}", answer);
            if let (Ok(allowed), Some((project, environment))) = (answer, labels) {
                // The scope always belongs to the project and environment of the namespace.
                prop_assert_eq!(allowed.scope.project().as_str(), project);
                prop_assert_eq!(allowed.scope.environment().unwrap().as_str(), environment);
            }
        }
    }
}
