use proptest::prelude::*;

use super::*;
use crate::file_path::MAX_PATHS;

fn parse(pairs: &[(&str, &str)]) -> Result<Option<Annotations>, AnnotationErrors> {
    Annotations::parse(pairs.iter().copied())
}

#[test]
fn metrics_are_a_port_and_a_path() {
    let metrics = |value: &str| parse(&[(SECRETS, "api-prod"), (METRICS, value)]);
    let found = metrics(" 9090/metrics ").unwrap().unwrap().metrics.unwrap();
    assert_eq!(found.to_string(), "9090/metrics");
    let message = metrics("http://10.0.0.1/metrics").unwrap_err().to_string();
    assert!(message.starts_with("annotation enclii.io/metrics: parse metrics"), "{message}");
}

#[test]
fn the_agents_own_metrics_are_a_port() {
    let port = |value: &str| parse(&[(SECRETS, "api-prod"), (AGENT_METRICS, value)]);
    assert_eq!(port(" 9876\n").unwrap().unwrap().agent_metrics.unwrap().get(), 9876);
    assert_eq!(parse(&[(SECRETS, "api-prod")]).unwrap().unwrap().agent_metrics, None);
    assert_eq!(
        port("443").unwrap_err().to_string(),
        "annotation enclii.io/agent-metrics: parse port \"443\": must be 1024 to 65535, as 9876"
    );
}

#[test]
fn a_pod_that_does_not_ask_gets_nothing() {
    assert_eq!(parse(&[]), Ok(None));
    assert_eq!(parse(&[("enclii.io/reload", "none"), ("app", "x")]), Ok(None));
}

#[test]
fn everything_at_once() {
    let found = parse(&[
        (SECRETS, "api-prod, shared-prod"),
        (RELOAD, "http=http://127.0.0.1:80/reload"),
        (RELOAD_CONTAINER, "app"),
        (RELOAD_TIMEOUT, " 60s"),
        (VERIFY, "tls=8443,sni=a; postgres=DB"),
        (DELIVER, "env, TLS=files"),
        (ENV, "A,B"),
        (PLAIN_ENV, "C"),
        (CONTAINERS, "app,migrate"),
        (PLACEMENT, "first"),
        (AGENT_METRICS, "9876"),
        (AGENT_RESOURCES, "limits.memory=32Mi, requests.cpu=10m"),
        (FILE_MODE, "0440"),
        (STATUS, "x"),
        ("enclii.io/relaod", "none"),
        ("enclii.io/something-else", "1"),
        ("example.com/secrets", "x"),
    ])
    .unwrap()
    .unwrap();
    assert_eq!(
        found.bundles.iter().map(BundleRef::as_str).collect::<Vec<_>>(),
        ["api-prod", "shared-prod"]
    );
    assert_eq!(found.reload.to_string(), "http=http://127.0.0.1:80/reload");
    assert_eq!(found.reload_container.as_deref(), Some("app"));
    assert_eq!(found.reload_timeout_seconds, Some(60));
    let checks: Vec<_> = found.verify.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(checks, ["tls=8443,sni=a", "postgres=DB"]);
    assert_eq!(found.deliver.to_string(), "env,TLS=files");
    assert_eq!(found.env.iter().map(String::as_str).collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!(found.containers.unwrap().len(), 2);
    assert_eq!(found.placement, Some(Placement::First));
    assert_eq!(found.agent_metrics.unwrap().get(), 9876);
    assert_eq!(found.agent_resources.to_string(), "requests.cpu=10m,limits.memory=32Mi");
    assert_eq!(found.file_mode.unwrap().bits(), 0o440);
    let warnings: Vec<_> = found.unknown.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings[0],
        "annotation enclii.io/relaod is not known and has no effect; did you mean enclii.io/reload?"
    );
    assert_eq!(warnings[1], "annotation enclii.io/something-else is not known and has no effect");
}

#[test]
fn each_bad_value_names_its_key() {
    for (key, value) in [
        (SECRETS, ""),
        (SECRETS, "api-prod,"),
        (SECRETS, "api"),
        (SECRETS, "api-prod,api-prod"),
        (SECRETS, "../api-prod"),
        (RELOAD, "reboot"),
        (RELOAD, "signal=SIGKILL"),
        (RELOAD_CONTAINER, ""),
        (RELOAD_CONTAINER, "a,b"),
        (RELOAD_TIMEOUT, "60s"),
        (RELOAD_TIMEOUT, "60"),
        (VERIFY, ""),
        (VERIFY, "\n;"),
        (VERIFY, "exec=true"),
        (VERIFY, "none;tls=1"),
        (VERIFY, "tls=1\ntls=1,timeout=5s"),
        (DELIVER, "volume"),
        (DELIVER, "env,exec"),
        (ENV, "A B"),
        (PLAIN_ENV, ","),
        (CONTAINERS, "App"),
        (PLACEMENT, "last"),
        (AGENT_METRICS, ""),
        (AGENT_METRICS, "0"),
        (AGENT_METRICS, "1023"),
        (AGENT_METRICS, "65536"),
        (AGENT_METRICS, "9876/metrics"),
        (AGENT_RESOURCES, "memory=32Mi"),
        (AGENT_RESOURCES, ""),
        (FILE_MODE, "0777"),
        (FILE_MODE, "400x"),
        (FILE_MODE, "0044"),
        (FILE_MODE, "4"),
    ] {
        let mut pairs = vec![(SECRETS, "api-prod")];
        pairs.retain(|(it, _)| *it != key);
        pairs.push((key, value));
        let errors = parse(&pairs).unwrap_err();
        let error = errors.iter().next().unwrap();
        assert_eq!((error.key, errors.iter().count()), (key, 1), "{value:?}");
        let message = errors.to_string();
        assert!(message.starts_with(&format!("annotation {key}: ")), "{message}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let errors = parse(&[
        (SECRETS, "api-prod,Api,api-prod"),
        (RELOAD, "reboot"),
        (CONTAINERS, "app,,Side Car"),
        (FILE_MODE, "0777"),
        (ENV, "A B"),
    ])
    .unwrap_err();
    let keys: Vec<_> = errors.iter().map(|error| error.key).collect();
    assert_eq!(keys, [SECRETS, SECRETS, RELOAD, ENV, CONTAINERS, CONTAINERS, FILE_MODE]);
    let message = errors.to_string();
    for part in ["\"Api\"", "listed twice", "\"reboot\"", "\"A B\"", "\"Side Car\"", "\"0777\""] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

proptest! {
    #[test]
    fn no_input_panics(pairs: Vec<(String, String)>, secrets: String, mode: String) {
        let pairs = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let more = [(SECRETS, secrets.as_str()), (FILE_MODE, mode.as_str())];
        let _ = Annotations::parse(pairs.chain(more));
    }
}

#[test]
fn what_anybody_can_write_is_bounded() {
    let long = "A,".repeat(MAX_VALUE_BYTES);
    let names =
        |count: usize| (0..count).map(|at| format!("b{at}-prod")).collect::<Vec<_>>().join(",");
    let (many, bad) = (names(MAX_BUNDLES + 1), "?,".repeat(1000));
    for (annotations, messages) in [
        (vec![(SECRETS, "api-prod"), (ENV, long.as_str())], 1),
        (vec![(SECRETS, long.as_str())], 1),
        (vec![(SECRETS, many.as_str())], 1),
        // One bad entry after the other, of which the first ones are enough.
        (vec![(SECRETS, "api-prod"), (ENV, bad.as_str())], 16),
    ] {
        let errors = Annotations::parse(annotations).unwrap_err();
        assert_eq!(errors.iter().count(), messages, "{errors}");
        assert!(errors.to_string().len() < 4096, "{errors}");
    }
    let all = names(MAX_BUNDLES);
    assert_eq!(Annotations::parse([(SECRETS, all.as_str())]).unwrap().unwrap().bundles.len(), 16);
    let unknown: Vec<String> =
        (0..100).map(|at| format!("enclii.io/{}{at}", "x".repeat(200))).collect();
    let mut annotations: Vec<(&str, &str)> = vec![(SECRETS, "api-prod")];
    annotations.extend(unknown.iter().map(|key| (key.as_str(), "")));
    let parsed = Annotations::parse(annotations).unwrap().unwrap();
    assert_eq!(parsed.unknown.len(), 16);
    assert!(parsed.unknown.iter().all(|it| it.to_string().len() < 200));
}

#[test]
fn checks_are_separated_by_semicolons_and_lines() {
    let verify = |value: &str| parse(&[(SECRETS, "api-prod"), (VERIFY, value)]);
    for (value, expected) in [
        ("none", &[][..]),
        (" none\n", &[]),
        ("tls=8443", &["tls=8443"]),
        ("tls=8443,sni=b.c\nredis=URL,timeout=5s\n", &["tls=8443,sni=b.c", "redis=URL,timeout=5s"]),
        ("\n tls=1 ;; tls=2\r\n", &["tls=1", "tls=2"]),
        // The same port, but not the same check.
        ("tls=1,sni=a;tls=1,sni=b", &["tls=1,sni=a", "tls=1,sni=b"]),
    ] {
        let found = verify(value).unwrap().unwrap().verify.unwrap();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{value:?}");
    }
    assert_eq!(parse(&[(SECRETS, "api-prod")]).unwrap().unwrap().verify, None);
    let all = |count: usize| (1..=count).map(|port| format!("tls={port}\n")).collect::<String>();
    assert_eq!(verify(&all(16)).unwrap().unwrap().verify.unwrap().len(), 16);
    assert!(verify(&all(17)).unwrap_err().to_string().contains("lists 17 checks"));
}

#[test]
fn every_mistake_in_a_list_of_checks_is_named() {
    let value = "tls=0;exec=ls;tls=1;tls = 1;http=http://10.0.0.1:80/;redis=A,timeout=99s";
    let errors = parse(&[(SECRETS, "api-prod"), (VERIFY, value)]).unwrap_err();
    let messages: Vec<_> = errors.iter().map(AnnotationError::message).collect();
    let parts = ["port \"0\"", "\"exec=ls\"", "check tls=1 is listed twice", "10.0.0.1", "\"99s\""];
    assert_eq!(messages.len(), parts.len(), "{messages:?}");
    for (message, part) in messages.iter().zip(parts) {
        assert!(message.starts_with("annotation enclii.io/verify: "), "{message}");
        assert!(message.contains(part), "{message}");
    }
}

/// Somebody may write the address itself in place of the secret that holds it.
#[test]
fn a_mistake_in_a_check_does_not_show_a_password() {
    for value in [
        "postgres=postgres://app:hunter2@db/shop",
        "postgres://app:hunter2@db/shop",
        "pg=postgres://app:hunter2@db/shop",
        "http=http://app:hunter2@127.0.0.1:80/",
        "http=https://127.0.0.1:80/?token=hunter2",
        "tls=443,sni=x://app:hunter2@db",
        "tls=443,x://app:hunter2@db=1",
        // The separators of checks and options, in a password.
        "postgres=postgres://app:a,hunter2@db/shop",
        "postgres=postgres://app:a;hunter2@db/shop",
    ] {
        let message = parse(&[(SECRETS, "api-prod"), (VERIFY, value)]).unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn only_a_post_has_a_time_to_be_answered() {
    let post = "http=http://127.0.0.1:80/";
    for (reload, timeout, expected) in [
        (post, "1s", Ok(1)),
        (post, "300s", Ok(300)),
        (post, "301s", Err("\"301s\" is not a time of 1s to 300s; write it as 60s")),
        (post, "0s", Err("\"0s\" is not a time")),
        (post, "1m", Err("\"1m\" is not a time")),
        (post, "+5s", Err("\"+5s\" is not a time")),
        ("none", "5s", Err("only a POST is answered: set enclii.io/reload to http=…")),
        ("signal=SIGHUP", "5s", Err("only a POST is answered")),
        // What it should have been is not known.
        ("reboot", "5s", Err("parse reload \"reboot\"")),
    ] {
        let found = parse(&[(SECRETS, "api-prod"), (RELOAD, reload), (RELOAD_TIMEOUT, timeout)]);
        match (found, expected) {
            (Ok(Some(found)), Ok(seconds)) => {
                assert_eq!(found.reload_timeout_seconds, Some(seconds), "{timeout}");
            }
            (Err(errors), Err(part)) => {
                assert_eq!(errors.iter().count(), 1, "{errors}");
                assert!(errors.to_string().contains(part), "{errors}");
            }
            (found, expected) => panic!("{reload} {timeout}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn files_to_render() {
    use crate::rendered::{Format, RequestedContents};
    let found = parse(&[
        (SECRETS, "api-prod"),
        ("enclii.io/template-db.ini", "user={{ USER }}\n"),
        ("enclii.io/template-web.conf", "configmap=web/conf"),
        ("enclii.io/format-app.env", "dotenv"),
    ])
    .unwrap()
    .unwrap();
    assert!(found.unknown.is_empty());
    assert_eq!(found.rendered["app.env"], RequestedContents::Format(Format::Dotenv));
    assert_eq!(
        found.rendered["db.ini"],
        RequestedContents::Template("user={{ USER }}\n".to_owned())
    );
    let map = RequestedContents::ConfigMap { name: "web".to_owned(), key: "conf".to_owned() };
    assert_eq!(found.rendered["web.conf"], map);
}

#[test]
fn mistakes_in_files_to_render_are_named() {
    let long = "x".repeat(30_000);
    for (annotations, part) in [
        (&[("enclii.io/format-.env", "dotenv")][..], "parse file \".env\""),
        (&[("enclii.io/format-", "dotenv")], "parse file \"\""),
        (&[("enclii.io/format-a", "yaml")], "enclii.io/format-…: parse format \"yaml\""),
        (&[("enclii.io/template-a", "configmap=x")], "must be configmap=NAME/KEY"),
        (
            &[("enclii.io/template-a", "x"), ("enclii.io/format-a", "json")],
            "file a has a format and a template",
        ),
        (
            &[("enclii.io/template-a", &*long), ("enclii.io/template-b", &*long)],
            "templates have 60004 bytes together",
        ),
    ] {
        let mut all = annotations.to_vec();
        all.push((SECRETS, "api-prod"));
        let message = parse(&all).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    let keys: Vec<_> = (0..17).map(|at| format!("enclii.io/format-f{at}")).collect();
    let mut all: Vec<_> = keys.iter().map(|key| (key.as_str(), "json")).collect();
    all.push((SECRETS, "api-prod"));
    assert!(parse(&all).unwrap_err().to_string().contains("16 rendered files at most"));
}

#[test]
fn files_at_other_paths() {
    let found = parse(&[
        (SECRETS, "api-prod"),
        ("enclii.io/path-tls.key", " nginx/server.key "),
        ("enclii.io/path-app.env", ".config/env"),
        (FILE_MODE, "0440"),
    ])
    .unwrap()
    .unwrap();
    let paths: Vec<_> =
        found.paths.iter().map(|(file, path)| (file.as_str(), path.as_str())).collect();
    assert_eq!(paths, [("app.env", ".config/env"), ("tls.key", "nginx/server.key")]);
    assert!(found.unknown.is_empty() && found.needs_volume());
}

#[test]
fn paths_that_no_file_can_have_are_named() {
    for (annotations, part) in [
        (&[("enclii.io/path-.x", "a")][..], "enclii.io/path-…: parse file \".x\""),
        (&[("enclii.io/path-A", "/etc/a")], "parse path \"/etc/a\": must be relative"),
        (&[("enclii.io/path-A", "a/../../b")], "parse path"),
        (&[("enclii.io/path-A", "..data/b")], "parse path"),
        (&[("enclii.io/path-A", "")], "parse path"),
        (&[("enclii.io/path-A", ".env/A")], "path .env/A is the agent's own"),
        (&[("enclii.io/path-A", ".container/app")], "path .container/app is the agent's own"),
        (&[("enclii.io/path-A", "kubernetes.io/x")], "path kubernetes.io/x is the agent's own"),
        (&[("enclii.io/path-A", "a"), ("enclii.io/path-B", "a")], "paths a and a exclude"),
        (&[("enclii.io/path-A", "a"), ("enclii.io/path-B", "a/b")], "paths a and a/b exclude"),
        (&[("enclii.io/path-A", "a/b"), ("enclii.io/path-B", "a")], "paths a/b and a exclude"),
    ] {
        let mut all = annotations.to_vec();
        all.push((SECRETS, "api-prod"));
        let message = parse(&all).unwrap_err().to_string();
        assert!(message.contains(part), "{annotations:?}: {message}");
    }
    let keys: Vec<_> = (0..=MAX_PATHS).map(|at| format!("enclii.io/path-f{at}")).collect();
    let mut all: Vec<_> = keys.iter().map(|key| (key.as_str(), &key[15..])).collect();
    all.push((SECRETS, "api-prod"));
    assert!(parse(&all).unwrap_err().to_string().contains("64 of them at most"));
    all.swap_remove(0);
    assert_eq!(parse(&all).unwrap().unwrap().paths.len(), MAX_PATHS);
}
