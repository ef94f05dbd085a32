//! PostgreSQL in a pod, whose users Vault makes.

use std::collections::BTreeSet;

use e2e::kubectl::{Namespace, apply, kubectl, object, ready_pods};
use e2e::wait;
use serde_json::json;

use crate::harness::STEP_TIMEOUT;
use crate::servers::IMAGE;
use crate::vault_server::VaultForPods;

/// Vault logs in as the user that the server began with, and everybody else with a password.
const SERVER: &str = r#"
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
initdb -D /tmp/data -A trust -U postgres --no-locale -E UTF8
printf 'local all all trust\nhost all postgres all trust\nhost all all all scram-sha-256\n' \
    > /tmp/data/pg_hba.conf
exec postgres -D /tmp/data -c listen_addresses='*' -c unix_socket_directories=/tmp
"#;

/// The users of sessions that Vault has made.
const USERS: &str = r#"
exec /usr/lib/postgresql/*/bin/psql -h /tmp -U postgres -X -At -c \
    "SELECT DISTINCT usename FROM pg_stat_activity WHERE usename LIKE 'v-%'"
"#;

const PORT: u16 = 5432;

/// A PostgreSQL.
pub(crate) struct Database {
    namespace: String,
    /// Its pod's address.
    pub(crate) ip: String,
}

impl Database {
    /// Starts it.
    pub(crate) fn start(namespace: &Namespace) -> Self {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "database", "namespace": namespace.name(), "labels": {"app": "database"}
            },
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "postgres", "image": IMAGE, "imagePullPolicy": "Never",
                    "command": ["sh", "-c", SERVER],
                    "securityContext": {"runAsUser": 65534},
                    "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
                }]
            }
        });
        apply(&pod.to_string()).unwrap();
        let ip = wait::until("PostgreSQL", STEP_TIMEOUT, || {
            if ready_pods(namespace.name(), "app=database")?.is_empty() {
                return Ok(None);
            }
            let pod = object(namespace.name(), "pod", "database")?.unwrap_or_default();
            Ok(pod["status"]["podIP"].as_str().map(str::to_owned))
        })
        .unwrap();
        Self { namespace: namespace.name().to_owned(), ip }
    }

    /// Vault makes its users at a mount of the database engine, with leases that end after `ttl`.
    pub(crate) fn serve(&self, vault: &VaultForPods, mount: &str, role: &str, ttl: &str) {
        vault.post(&format!("sys/mounts/{mount}"), json!({"type": "database"}));
        vault.post(
            &format!("{mount}/config/postgres"),
            json!({
                "plugin_name": "postgresql-database-plugin",
                "allowed_roles": [role],
                "connection_url":
                    format!("postgresql://postgres@{}:{PORT}/postgres?sslmode=disable", self.ip),
            }),
        );
        let create = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' \
                      VALID UNTIL '{{expiration}}'";
        vault.post(
            &format!("{mount}/roles/{role}"),
            json!({
                "db_name": "postgres", "creation_statements": [create],
                "default_ttl": ttl, "max_ttl": ttl,
            }),
        );
    }

    /// Those of Vault's users that have a session.
    pub(crate) fn users(&self) -> anyhow::Result<BTreeSet<String>> {
        let words = ["-n", &self.namespace, "exec", "database", "--", "sh", "-c", USERS];
        Ok(kubectl(&words)?.lines().map(str::to_owned).collect())
    }
}
