//! Dynamic credentials of a real PostgreSQL, over many lifetimes of their leases.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use e2e::postgres::Postgres;
use e2e::wait;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Cluster, PATIENCE};

const POLICY: &str = r#"path "database/creds/app" { capabilities = ["read"] }"#;

/// Vault makes users of this PostgreSQL, with leases of these lifetimes.
fn configure(cluster: &Cluster, postgres: &Postgres, (ttl, max_ttl): (&str, &str)) {
    cluster.post("sys/mounts/database", json!({"type": "database"}));
    let url = postgres.url();
    let (user, rest) = url.strip_prefix("postgres://").unwrap().split_once(':').unwrap();
    let (password, _) = rest.split_once('@').unwrap();
    let port = postgres.port();
    let template =
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{port}/enclii");
    cluster.post(
        "database/config/postgres",
        json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": ["app"],
            "connection_url": format!("{template}?sslmode=disable"),
            "username": user,
            "password": password,
        }),
    );
    let create = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' \
                  VALID UNTIL '{{expiration}}'";
    cluster.post(
        "database/roles/app",
        json!({
            "db_name": "postgres",
            "creation_statements": [create],
            "default_ttl": ttl,
            "max_ttl": max_ttl,
        }),
    );
}

/// One query of an application that reads both files of one generation.
fn query(postgres: &Postgres, volume: &Path) -> Result<String, String> {
    let generation = volume.join(std::fs::read_link(volume.join("..data")).unwrap());
    let read = |name: &str| std::fs::read_to_string(generation.join(name)).unwrap();
    let user = read("USER");
    let mut psql = postgres.client("psql");
    psql.args(["-X", "-q", "-At", "-d", "enclii", "-c", "SELECT current_user"]);
    psql.env("PGUSER", &user).env("PGPASSWORD", read("PASSWORD"));
    let output = psql.output().unwrap();
    match output.status.success() {
        true => Ok(user),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn no_query_fails_over_many_lifetimes_of_leases_and_tokens() {
    let postgres = Postgres::start().unwrap();
    // The leases end with 3 s after at most 8 s, and the token that they hang on after 17 s.
    let cluster = Cluster::start(POLICY, ("6s", "17s"));
    configure(&cluster, &postgres, ("3s", "8s"));
    let secret =
        |field: &str| json!({"type": "dynamic", "path": "database/creds/app", "field": field});
    let mut pod = cluster.pod(json!({"USER": secret("username"), "PASSWORD": secret("password")}));
    pod.source().revoke_on_shutdown = true;
    pod.start();
    pod.until("a user", |pod| pod.file("PASSWORD").is_some());

    let (volume, stop) = (pod.volume(), AtomicBool::new(false));
    let leases = || cluster.list("sys/leases/lookup/database/creds/app").len();
    let (users, queries, failed, most) = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let (mut users, mut queries, mut failed) = (Vec::new(), 0, Vec::new());
            while !stop.load(Ordering::Relaxed) {
                queries += 1;
                match query(&postgres, &volume) {
                    Ok(user) => users.push(user),
                    Err(error) => failed.push(error),
                }
            }
            users.dedup();
            (users, queries, failed)
        });
        let (end, mut most) = (Instant::now() + Duration::from_secs(30), 0);
        while Instant::now() < end {
            most = most.max(leases());
            std::thread::sleep(Duration::from_millis(300));
        }
        stop.store(true, Ordering::Relaxed);
        let (users, queries, failed) = client.join().unwrap();
        (users, queries, failed, most)
    });
    assert!(failed.is_empty(), "{} of {queries}: {failed:?}\n{}", failed.len(), pod.log());
    assert!(users.len() >= 4 && queries > 100, "{} users, {queries} queries", users.len());
    // The one in use and those that the application has just left.
    assert!(most <= 3, "{most} leases at once");
    let log = pod.log();
    assert!(log.contains("lease renewed") && log.matches("logged in").count() >= 2, "{log}");

    // Everything ends with the pod.
    pod.end(Signal::TERM);
    wait::until("the end of the leases", PATIENCE, || Ok((leases() == 0).then_some(()))).unwrap();
    assert!(query(&postgres, &volume).is_err());
}

#[test]
fn a_killed_agent_leaves_one_lease_that_ends_with_its_token() {
    let postgres = Postgres::start().unwrap();
    let cluster = Cluster::start(POLICY, ("5s", "1h"));
    configure(&cluster, &postgres, ("1h", "2h"));
    let secret =
        |field: &str| json!({"type": "dynamic", "path": "database/creds/app", "field": field});
    let mut pod = cluster.pod(json!({"USER": secret("username"), "PASSWORD": secret("password")}));
    pod.start();
    pod.until("a user", |pod| pod.file("PASSWORD").is_some());
    let first = pod.file("USER").unwrap();
    let leases = || cluster.list("sys/leases/lookup/database/creds/app").len();
    for _ in 0..3 {
        pod.end(Signal::KILL);
        let before = pod.file("USER");
        pod.start();
        pod.until("another user", |pod| pod.file("USER") != before);
        query(&postgres, &pod.volume()).unwrap();
    }
    assert_ne!(pod.file("USER").unwrap(), first);
    assert_eq!(leases(), 4);
    // Nobody renews the tokens of the agents that are gone.
    wait::until("the end of their leases", PATIENCE, || Ok((leases() == 1).then_some(()))).unwrap();
    query(&postgres, &pod.volume()).unwrap();
}
