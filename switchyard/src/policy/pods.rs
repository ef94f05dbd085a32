//! The decision about a pod: which bundle it may read, and which secrets of it.
//!
//! Service account `api` in a namespace of project `shop` and environment `prod` is service `api`,
//! and reads bundle `api-prod`. A grant lets another service account of one namespace read it too,
//! or single secrets of it. All of it ends where the environment does: a bundle's name is
//! understood in the namespace's own project and environment, so a pod can't even name another's.

use std::collections::BTreeSet;
use std::fmt;

use contract::{BundleRef, Label, Scope, SecretName};

use super::Which;

/// Which project and environment a namespace belongs to, by its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The project.
    pub project: Label,
    /// The environment.
    pub environment: Label,
}

/// A service account of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The service account's name in it.
    pub name: &'a str,
}

impl fmt::Display for Account<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A row that says who may read a bundle besides its own service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleGrant {
    /// The namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// The bundle's service scope.
    pub bundle: Scope,
    /// The one secret of it; all where it is absent.
    pub secret: Option<SecretName>,
}

/// The bundle, or a part of it, may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAllowed {
    /// The bundle's service scope.
    pub scope: Scope,
    /// Which secrets of it. The pod's files hold just these.
    pub which: Which,
    /// Which rule said so.
    pub rule: BundleRule,
}

/// The rules that allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleRule {
    /// An explicit row for the whole bundle.
    Grant,
    /// Explicit rows for single secrets of it.
    GrantOfSecrets,
    /// The service account has the service's name.
    OwnService,
}

impl BundleRule {
    /// The rule in a word, for the audit trail.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::GrantOfSecrets => "grant-of-secrets",
            Self::OwnService => "own-service",
        }
    }
}

/// The bundle may not be read: who was refused what, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("service account {account} may not read bundle {bundle}: {reason}")]
pub struct BundleDenied {
    /// `namespace/service account`.
    pub account: String,
    /// The bundle.
    pub bundle: BundleRef,
    /// Why.
    pub reason: Reason,
}

/// Why a bundle may not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The namespace has no labels of ours.
    #[error(
        "namespace {namespace} belongs to no project; its admin sets the labels enclii.io/project and enclii.io/environment"
    )]
    Unbound {
        /// The namespace.
        namespace: String,
    },
    /// The bundle's name does not end in the namespace's environment.
    #[error(
        "namespace {namespace} is environment {environment} of project {project}, and the bundle is not of that environment"
    )]
    OtherEnvironment {
        /// The namespace.
        namespace: String,
        /// Its environment.
        environment: Label,
        /// Its project.
        project: Label,
    },
    /// Another service's bundle, and no grant.
    #[error(
        "it is the bundle of service {service}, which service account {service} reads, and no grant names this one"
    )]
    OtherService {
        /// The bundle's service.
        service: Label,
    },
}

/// Decides whether `account` may read `bundle`. `binding` is what the labels of its namespace say,
/// and `None` where they say nothing (or nothing that can be understood).
///
/// # Errors
/// Where no rule allows it.
pub fn decide_bundle(
    account: Account<'_>,
    bundle: &BundleRef,
    binding: Option<&Binding>,
    grants: &[BundleGrant],
) -> Result<BundleAllowed, BundleDenied> {
    let denied =
        |reason| BundleDenied { account: account.to_string(), bundle: bundle.clone(), reason };
    let namespace = || account.namespace.to_owned();
    let Some(Binding { project, environment }) = binding else {
        return Err(denied(Reason::Unbound { namespace: namespace() }));
    };
    let Some(service) = bundle.service_in(environment) else {
        let (environment, project) = (environment.clone(), project.clone());
        return Err(denied(Reason::OtherEnvironment {
            namespace: namespace(),
            environment,
            project,
        }));
    };
    let scope = Scope::Service(project.clone(), environment.clone(), service.clone());
    if service.as_str() == account.name {
        return Ok(BundleAllowed { scope, which: Which::All, rule: BundleRule::OwnService });
    }
    let names_it = |it: &&BundleGrant| {
        it.namespace == account.namespace
            && it.service_account == account.name
            && it.bundle == scope
    };
    let mut single = BTreeSet::new();
    for grant in grants.iter().filter(names_it) {
        match &grant.secret {
            None => return Ok(BundleAllowed { scope, which: Which::All, rule: BundleRule::Grant }),
            Some(secret) => single.insert(secret.clone()),
        };
    }
    if single.is_empty() {
        return Err(denied(Reason::OtherService { service }));
    }
    Ok(BundleAllowed { scope, which: Which::Only(single), rule: BundleRule::GrantOfSecrets })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binding(project: &str, environment: &str) -> Binding {
        Binding { project: project.parse().unwrap(), environment: environment.parse().unwrap() }
    }

    fn grant(namespace: &str, service_account: &str, bundle: &str, secret: &str) -> BundleGrant {
        let secret = (!secret.is_empty()).then(|| secret.parse().unwrap());
        BundleGrant {
            namespace: namespace.into(),
            service_account: service_account.into(),
            bundle: bundle.parse().unwrap(),
            secret,
        }
    }

    fn ask(
        namespace: &str,
        name: &str,
        bundle: &str,
        binding: Option<&Binding>,
        grants: &[BundleGrant],
    ) -> Result<BundleAllowed, BundleDenied> {
        decide_bundle(Account { namespace, name }, &bundle.parse().unwrap(), binding, grants)
    }

    #[test]
    fn the_table() {
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
            // The grant of a dev namespace to a prod bundle is a row that means nothing.
            ("shop-dev", "jobs", "api-prod", Some(&dev), None),
            ("shop-dev", "api", "api-prod", Some(&dev), None),
            ("shop-dev", "api", "api-dev", Some(&dev), Some(BundleRule::OwnService)),
            ("stranger", "api", "api-prod", None, None),
            // Another namespace with the same labels is the same project: its admin said so.
            ("shop-prod-2", "api", "api-prod", Some(&prod), Some(BundleRule::OwnService)),
            ("shop-prod-2", "jobs", "api-prod", Some(&prod), None),
            // Names that only look alike.
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
    fn a_refusal_says_who_what_and_why() {
        let prod = binding("shop", "prod");
        assert_eq!(
            ask("shop-prod", "web", "api-prod", Some(&prod), &[]).unwrap_err().to_string(),
            "service account shop-prod/web may not read bundle api-prod: it is the bundle of service api, which service account api reads, and no grant names this one"
        );
        assert_eq!(
            ask("stranger", "api", "api-prod", None, &[]).unwrap_err().to_string(),
            "service account stranger/api may not read bundle api-prod: namespace stranger belongs to no project; its admin sets the labels enclii.io/project and enclii.io/environment"
        );
        let dev = binding("shop", "dev");
        assert_eq!(
            ask("shop-dev", "api", "api-prod", Some(&dev), &[]).unwrap_err().to_string(),
            "service account shop-dev/api may not read bundle api-prod: namespace shop-dev is environment dev of project shop, and the bundle is not of that environment"
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
        let which = |grants: &[BundleGrant]| {
            ask("shop-prod", "cron", "api-prod", Some(&prod), grants).unwrap().which
        };
        assert_eq!(
            which(&rows(&["A", "B"])),
            Which::Only(["A", "B"].map(|it| it.parse().unwrap()).into())
        );
        assert_eq!(which(&rows(&["A", ""])), Which::All);
        // A pod's own bundle is whole, whatever rows there are.
        let own = ask(
            "shop-prod",
            "api",
            "api-prod",
            Some(&prod),
            &[grant("shop-prod", "api", "shop.prod.api", "A")],
        )
        .unwrap();
        assert_eq!((own.which, own.rule), (Which::All, BundleRule::OwnService));
    }

    /// The rule once more, as text alone: a bundle is `<service>-<environment>`, whatever it holds.
    /// Whether `secret` of it may be read.
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
        // Few and alike, so that they meet; with dashes, so that a name can be cut in several ways.
        prop::sample::select(vec!["a", "a-b", "b", "prod", "dev", "b-prod", "prod-dev", "a-prod"])
            .prop_map(str::to_owned)
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_model(
            namespace in word(), account in word(), service in word(), named_environment in word(),
            labels in prop::option::of((word(), word())),
            secret in prop::sample::select(vec!["A", "B"]),
            rows in prop::collection::vec((word(), word(), word(), word(), word(), prop::sample::select(vec!["", "A", "B"])), 0..6),
        ) {
            let bundle = format!("{service}-{named_environment}");
            let grants: Vec<BundleGrant> = rows.iter().map(|(n, s, p, e, v, one)| grant(n, s, &format!("{p}.{e}.{v}"), one)).collect();
            let bound = labels.as_ref().map(|(project, environment)| binding(project, environment));
            let answer = ask(&namespace, &account, &bundle, bound.as_ref(), &grants);
            let expected = model(&namespace, &account, &bundle, secret, labels.as_ref().map(|(p, e)| (p.as_str(), e.as_str())), &grants);
            let read = answer.as_ref().is_ok_and(|it| it.which.has(&secret.parse().unwrap()));
            prop_assert_eq!(read, expected, "{:?}", answer);
            if let (Ok(allowed), Some((project, environment))) = (answer, labels) {
                // Whatever allows it: the scope is of the namespace's own project and environment.
                prop_assert_eq!(allowed.scope.project().as_str(), project);
                prop_assert_eq!(allowed.scope.environment().unwrap().as_str(), environment);
            }
        }
    }
}
