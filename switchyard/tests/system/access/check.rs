//! `POST /v1/access/check`: the answer is what a request gets, for every kind of principal, and
//! nobody learns by it what they may not see.

use std::collections::{BTreeMap, BTreeSet};

use e2e::random::SeededRng;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{make_token, status};
use crate::agent::TestAgent;
use crate::harness::Harness;
use crate::identity_provider::IdentityProvider;

const SCOPES: [&str; 6] =
    ["shop", "shop.prod", "shop.prod.api", "shop.prod.web", "shop.dev", "shop.dev.api"];
const NAMES: [&str; 3] = ["A", "B", "C"];

/// Who is asked about, and the credential of its requests.
pub(super) struct Subject {
    pub(super) question: Value,
    pub(super) credential: String,
}

async fn post(harness: &Harness, token: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let (status, _, answer) =
        harness.ask(Method::POST, path, Some(token), body.to_string().as_bytes()).await;
    (status, serde_json::from_slice(&answer).unwrap())
}

pub(super) async fn check(
    harness: &Harness,
    token: &str,
    who: &Value,
    verb: &str,
    target: &str,
) -> Value {
    let (scope, secret) = target.split_once('/').unwrap_or((target, ""));
    let mut body = json!({ "verb": verb });
    for (field, value) in [("scope", scope), ("secret", secret)] {
        if !value.is_empty() {
            body[field] = value.into();
        }
    }
    if !who.is_null() {
        body["principal"] = who.clone();
    }
    let (status, answer) = post(harness, token, "/v1/access/check", &body).await;
    assert_eq!(status, 200, "{body}: {answer}");
    let allowed = answer["allowed"].as_bool().unwrap();
    assert_eq!(answer["remedy"].is_null(), allowed, "{answer}");
    assert!(!answer["rule"].as_str().unwrap().is_empty(), "{answer}");
    answer
}

/// Whether a request that needs `verb` on the target is refused by the rules.
async fn is_allowed(harness: &Harness, token: &str, verb: &str, target: &str, at: usize) -> bool {
    let (scope, secret) = target.split_once('/').unwrap_or((target, ""));
    let path = match verb {
        "list" => format!("/v1/secrets/{scope}/"),
        "audit" => format!("/v1/audit?scope={scope}&limit=1"),
        "grant" => "/v1/grants".to_owned(),
        "token" => "/v1/tokens".to_owned(),
        "destroy" => format!("/v1/secrets/{scope}/{secret}/destroy"),
        "administer" => "/v1/admin/rekey".to_owned(),
        _ => format!("/v1/secrets/{scope}/{secret}"),
    };
    let body = match verb {
        "grant" => json!({"subject": {"kind": "user", "name": "nobody"}, "scope": scope,
            "access": "read"}),
        "token" => json!({"name": format!("by-{at}"), "role": "readonly", "scope": scope,
            "ttl_seconds": 60}),
        "destroy" => json!({"versions": [4711]}),
        _ => Value::Null,
    };
    let method = match verb {
        "list" | "audit" | "read" | "administer" => Method::GET,
        "write" => Method::DELETE,
        _ => Method::POST,
    };
    let authorization = format!("Bearer {token}");
    // A condition that is never met: the rights come first.
    let headers: &[(&str, &str)] = &[("authorization", &authorization), ("if-match", "\"4711\"")];
    let headers = if verb == "write" { headers } else { &headers[..1] };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, _, answer) = harness.by(method, &path, headers, body.as_bytes()).await;
    match status.as_u16() {
        200 | 201 | 404 | 409 | 410 | 412 => true,
        403 => false,
        other => panic!("{verb} {target}: {other} {}", String::from_utf8_lossy(&answer)),
    }
}

pub(super) struct World<'a> {
    pub(super) harness: &'a Harness,
    pub(super) random: SeededRng,
}

impl World<'_> {
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.random.below(of.len() as u64)).unwrap()]
    }

    /// Secrets whose value says where they are from, some of them in several scopes.
    pub(super) async fn write_secrets(&mut self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for scope in SCOPES {
            for name in NAMES {
                // Every service has a bundle.
                if self.random.below(3) > 0 || (name == "A" && scope.split('.').count() == 3) {
                    let target = format!("{scope}/{name}");
                    self.harness.set(scope, &[(name, target.as_bytes())]).await;
                    all.insert(target);
                }
            }
        }
        all
    }

    async fn grant(&mut self, kind: &str, name: &str) {
        let pod = kind == "service_account";
        let access = match pod {
            true => "read",
            false => self.pick(&["read", "write", "readonly", "developer", "admin", "read"]),
        };
        let scope = match pod {
            true => self.pick(&["shop.prod.api", "shop.prod.web"]),
            false => self.pick(&SCOPES),
        };
        let mut request = json!({"subject": {"kind": kind, "name": name}, "scope": scope,
            "access": access});
        if matches!(access, "read" | "write") && self.random.below(2) == 0 {
            request["secret"] = self.pick(&NAMES).into();
        }
        let grantor = match (pod, self.random.below(2)) {
            // Its grants reach its own scope's secrets and no wider ones.
            (true, 0) => {
                make_token(
                    self.harness,
                    &format!("grantor-{}", self.random.next_u64()),
                    "admin",
                    Some(scope),
                )
                .await
            }
            _ => self.harness.token(),
        };
        let (status, answer) = post(self.harness, &grantor, "/v1/grants", &request).await;
        assert!(status == 201 || status == 409, "{answer}");
    }

    /// Tokens, persons and pods with random rights.
    pub(super) async fn subjects(&mut self, provider: &IdentityProvider) -> Vec<Subject> {
        let mut all = Vec::new();
        for at in 0..5 {
            let (name, role) = (format!("t{at}"), self.pick(&["readonly", "developer", "admin"]));
            let scope = self.pick(&SCOPES);
            let credential = make_token(self.harness, &name, role, Some(scope)).await;
            all.push(Subject { question: json!({"kind": "token", "name": name}), credential });
        }
        for group in ["g0", "g1"] {
            self.grant("group", group).await;
        }
        for at in 0..4 {
            let (name, group) = (format!("p{at}"), format!("g{at}"));
            for _ in 0..self.random.below(3) {
                self.grant("user", &name).await;
            }
            let credential = provider.log_in(self.harness, &name, &[&group]).await;
            // The session says the groups of the first two.
            let question = match at {
                0 | 1 => json!({"kind": "user", "name": name}),
                _ => json!({"kind": "user", "name": name, "groups": [group]}),
            };
            all.push(Subject { question, credential });
        }
        // Somebody whose only right is a group's.
        for group in ["g0", "g1", "configured"] {
            let credential =
                provider.log_in(self.harness, &format!("only-{group}"), &[group]).await;
            all.push(Subject { question: json!({"kind": "group", "name": group}), credential });
        }
        all
    }

    /// The pods of the harness's file, by service account.
    pub(super) async fn pods(&mut self) -> BTreeMap<&'static str, &'static str> {
        let pods = [
            ("shop-prod/api", "api-one"),
            ("shop-prod/web", "web"),
            ("shop-dev/api", "dev"),
            ("stranger/api", "stranger"),
        ];
        for account in ["shop-prod/web", "shop-prod/api", "stranger/api"] {
            for _ in 0..self.random.below(3) {
                self.grant("service_account", account).await;
            }
        }
        pods.into()
    }

    /// What the agent of a pod can get, as the values say.
    pub(super) async fn deliveries(&self, credential: &str) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for bundle in ["api-prod", "web-prod", "api-dev"] {
            let delivered = TestAgent::delivered(self.harness, credential, bundle).await;
            let values = delivered.into_iter().flatten();
            all.extend(values.map(|(_, value)| String::from_utf8(value).unwrap()));
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_what_a_request_gets() {
    let provider = IdentityProvider::start();
    let roles = ["configured=developer@shop.prod"];
    // Half of the scopes each, because every answer is compared with a request.
    for seed in [3, 18] {
        let mut flags = provider.flags(&roles);
        flags.extend(["--rate-burst", "100000", "--rate-limit", "100000"]);
        let harness = Harness::start_with(&flags).await;
        let mut world = World { harness: &harness, random: SeededRng::new(seed) };
        let secrets = world.write_secrets().await;
        let subjects = world.subjects(&provider).await;
        let (mut at, mut yes) = (0, 0);
        for Subject { question, credential } in &subjects {
            let skipped = usize::from(seed % 2 == 1);
            for scope in SCOPES.into_iter().skip(skipped).step_by(2) {
                for verb in ["list", "read", "write", "destroy", "grant", "token", "audit"] {
                    let target = match verb {
                        "read" | "write" | "destroy" => format!("{scope}/{}", world.pick(&NAMES)),
                        _ => scope.to_owned(),
                    };
                    at += 1;
                    let answer = check(&harness, &harness.token(), question, verb, &target).await;
                    let own = check(&harness, credential, &Value::Null, verb, &target).await;
                    let actual = is_allowed(&harness, credential, verb, &target, at).await;
                    assert_eq!(answer["allowed"], actual, "{seed} {verb} {target}: {answer}");
                    // The same rule, asked by an owner and by oneself.
                    assert_eq!(
                        (&own["allowed"], &own["rule"]),
                        (&answer["allowed"], &answer["rule"]),
                        "{question}"
                    );
                    yes += usize::from(actual);
                }
            }
            let answer = check(&harness, &harness.token(), question, "administer", "").await;
            let actual = is_allowed(&harness, credential, "administer", "", at).await;
            assert_eq!(answer["allowed"], actual, "{answer}");
        }
        assert!(yes > 15 && yes < at - 15, "{yes} of {at} are allowed");

        let (mut yes, mut no) = (0, 0);
        for (account, credential) in world.pods().await {
            let delivered = world.deliveries(credential).await;
            let question = json!({"kind": "service_account", "name": account});
            for secret in &secrets {
                let answer = check(&harness, &harness.token(), &question, "read", secret).await;
                let actual = delivered.contains(secret);
                assert_eq!(answer["allowed"], actual, "{seed} {account} {secret}: {answer}");
                if actual {
                    yes += 1;
                } else {
                    no += 1;
                }
            }
            let answer = check(&harness, &harness.token(), &question, "write", "shop").await;
            assert_eq!(answer["allowed"], false);
        }
        assert!(yes > 5 && no > 5, "{yes} {no}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_grant_in_a_scope_learns_what_others_may() {
    let provider = IdentityProvider::start();
    let harness = Harness::start_with(&provider.flags(&["devs=developer@shop"])).await;
    harness.set("shop.prod.api", &[("A", b"x")]).await;
    let admin = make_token(&harness, "admin", "admin", Some("shop.prod")).await;
    let developer = make_token(&harness, "dev", "developer", Some("shop.prod")).await;
    make_token(&harness, "beside", "admin", Some("shop.dev")).await;
    make_token(&harness, "wide", "readonly", Some("shop")).await;
    provider.log_in(&harness, "ada", &["devs"]).await;
    let ask = async |token: &str, who: Value, scope: &str| {
        let body = json!({"principal": who, "verb": "read", "scope": scope, "secret": "A"});
        post(&harness, token, "/v1/access/check", &body).await
    };
    let token = |name: &str| json!({"kind": "token", "name": name});
    let user = |groups: &[&str]| json!({"kind": "user", "name": "ada", "groups": groups});
    // Whoever may not grant there: nobody exists.
    for who in [token("admin"), token("none"), user(&[]), json!({"kind": "group", "name": "devs"})]
    {
        for (asking, scope) in [(&developer, "shop.prod.api"), (&admin, "shop"), (&admin, "other")]
        {
            let (status, answer) = ask(asking, who.clone(), scope).await;
            // Its own rights, by its own name, are the exception.
            if who["name"] == "admin" && *asking == admin {
                assert_eq!((status.as_u16(), &answer["allowed"]), (200, &json!(false)));
                continue;
            }
            assert_eq!(status, 404, "{who} {scope}: {answer}");
            assert!(!answer["detail"].as_str().unwrap().contains("role"), "{answer}");
        }
    }
    // An admin of the scope learns of tokens that reach it, and of those that it sees in a list.
    assert_eq!(ask(&admin, token("dev"), "shop.prod.api").await.1["allowed"], true);
    assert_eq!(ask(&admin, token("wide"), "shop.prod.api").await.1["allowed"], false);
    assert_eq!(ask(&admin, token("bootstrap"), "shop.prod.api").await.1["allowed"], true);
    let (hidden, absent) = (
        ask(&admin, token("beside"), "shop.prod.api").await,
        ask(&admin, token("besides"), "shop.prod.api").await,
    );
    assert_eq!((hidden.0, absent.0), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    let text = |answer: &Value, name: &str| answer["detail"].as_str().unwrap().replace(name, "X");
    assert_eq!(text(&hidden.1, "beside"), text(&absent.1, "besides"));
    // The groups of a session are told to who sees sessions.
    let (_, known) = ask(&harness.token(), user(&[]), "shop.prod.api").await;
    assert_eq!((&known["groups_from"], &known["allowed"]), (&json!("session"), &json!(true)));
    assert_eq!(known["rule"], "role developer in shop, of group devs");
    let (_, unknown) = ask(&admin, user(&[]), "shop.prod.api").await;
    assert_eq!((&unknown["groups_from"], &unknown["allowed"]), (&json!("unknown"), &json!(false)));
    let remedy = unknown["remedy"].as_str().unwrap();
    assert!(
        remedy.contains("enclii grants add user:ada read shop.prod.api --secret A"),
        "{remedy}"
    );
    let (_, named) = ask(&admin, user(&["devs"]), "shop.prod.api").await;
    assert_eq!((&named["groups_from"], &named["allowed"]), (&json!("request"), &json!(true)));
    // Where a namespace belongs is not told.
    let pods = |name: &str| json!({"kind": "service_account", "name": name});
    let (_, bound) = ask(&admin, pods("shop-dev/api"), "shop.prod.api").await;
    let (_, unbound) = ask(&admin, pods("stranger/api"), "shop.prod.api").await;
    assert_eq!(text2(&bound, "shop-dev"), text2(&unbound, "stranger"));

    // Each question about others is an event, each refusal too; about oneself there is none.
    let listed = harness.events("list").await;
    let about: Vec<_> = listed.iter().filter(|it| it["resource_type"] == "grant").collect();
    assert!(
        about.iter().any(|it| it["resource_id"] == "user:ada"
            && it["actor_id"] == "admin"
            && it["details"]
                == "may not read shop.prod.api/A; role admin in shop.prod, of the token"),
        "{about:?}"
    );
    assert!(about.iter().all(|it| it["resource_id"] != "token:admin"), "{about:?}");
    let denied = harness.events("denied").await;
    assert!(denied.iter().any(|it| it["resource_id"] == "token:beside"), "{denied:?}");
    let refused = status(&harness, &developer, Method::POST, "/v1/access/check", b"{}").await;
    assert_eq!(refused, 400);
}

fn text2(answer: &Value, namespace: &str) -> [String; 2] {
    ["rule", "remedy"].map(|field| answer[field].as_str().unwrap().replace(namespace, "X"))
}
