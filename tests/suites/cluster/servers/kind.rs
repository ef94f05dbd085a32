//! The servers: how each is started, reloaded and spoken to.

use crate::tls_load::Protocol;

/// The port of each server.
pub(super) const PORT: u16 = 8443;

/// Each certificate served is compared with the file's.
const SERVED: &str = "tls=8443";

/// One kind of server.
#[derive(Clone, Copy)]
pub(super) struct ServerKind {
    /// Its name, and its project's.
    pub(super) name: &'static str,
    pub(super) command: &'static [&'static str],
    /// What is in its folder `/conf`.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Secrets besides its certificate.
    pub(super) secrets: &'static [(&'static str, &'static str)],
    /// A folder of its own that the agent reaches too.
    pub(super) shared: Option<&'static str>,
    /// The user it runs as.
    pub(super) uid: u32,
    pub(super) reload: &'static str,
    pub(super) verify: &'static str,
    pub(super) protocol: Protocol,
}

pub(super) const NGINX: ServerKind = ServerKind {
    name: "nginx",
    command: &["nginx", "-c", "/conf/nginx.conf", "-g", "daemon off;"],
    files: &[("nginx.conf", include_str!("nginx.conf"))],
    secrets: &[],
    shared: None,
    uid: 0,
    reload: "signal=SIGHUP",
    verify: SERVED,
    protocol: Protocol::Http("/"),
};

pub(super) const HAPROXY: ServerKind = ServerKind {
    name: "haproxy",
    command: &["haproxy", "-W", "-f", "/conf/haproxy.cfg"],
    files: &[("haproxy.cfg", include_str!("haproxy.cfg"))],
    secrets: &[],
    shared: None,
    uid: 0,
    reload: "signal=SIGUSR2",
    verify: SERVED,
    protocol: Protocol::Http("/"),
};

/// Over its runtime API, which needs no new process.
pub(super) const HAPROXY_SOCKET: ServerKind = ServerKind {
    name: "haproxy-api",
    command: &["haproxy", "-f", "/conf/haproxy.cfg"],
    files: &[(
        "haproxy.cfg",
        concat!(
            "global\n    stats socket /var/run/haproxy/admin.sock mode 600 level admin\n",
            include_str!("haproxy.cfg")
        ),
    )],
    shared: Some("/var/run/haproxy"),
    uid: 65534,
    reload: "haproxy=/var/run/haproxy/admin.sock",
    ..HAPROXY
};

/// It refuses to run as root, and a key that others may read.
pub(super) const POSTGRES: ServerKind = ServerKind {
    name: "postgres",
    command: &[
        "sh",
        "-c",
        "PATH=$PATH:$(echo /usr/lib/postgresql/*/bin); \
         initdb -D /tmp/data -A trust -U postgres --no-locale -E UTF8 && \
         exec postgres -D /tmp/data -c config_file=/conf/postgresql.conf",
    ],
    files: &[
        ("postgresql.conf", include_str!("postgresql.conf")),
        ("pg_hba.conf", include_str!("pg_hba.conf")),
    ],
    secrets: &[],
    shared: None,
    uid: 65534,
    reload: "signal=SIGHUP",
    verify: "tls=8443,starttls=postgres",
    protocol: Protocol::Postgres,
};

/// By a login.
pub(super) const POSTGRES_LOGIN: ServerKind = ServerKind {
    name: "postgres-login",
    secrets: &[("agent.url", "postgres://postgres@127.0.0.1:8443/postgres?sslmode=disable")],
    reload: "postgres-reload=agent.url",
    ..POSTGRES
};

pub(super) const REDIS: ServerKind = ServerKind {
    name: "redis",
    command: &["redis-server", "/conf/redis.conf"],
    files: &[("redis.conf", include_str!("redis.conf"))],
    secrets: &[("agent.url", "redis://127.0.0.1:6379")],
    shared: None,
    uid: 65534,
    reload: "redis-config=agent.url",
    verify: SERVED,
    protocol: Protocol::Redis,
};

pub(super) const PROMETHEUS: ServerKind = ServerKind {
    name: "prometheus",
    command: &[
        "prometheus",
        "--config.file=/conf/prometheus.yml",
        "--web.config.file=/conf/web.yml",
        "--web.listen-address=:8443",
        "--storage.tsdb.path=/tmp/prometheus",
    ],
    files: &[
        ("prometheus.yml", include_str!("prometheus.yml")),
        ("web.yml", include_str!("web.yml")),
    ],
    secrets: &[],
    shared: None,
    uid: 65534,
    reload: "signal=SIGHUP",
    verify: SERVED,
    protocol: Protocol::Http("/-/healthy"),
};

pub(super) const NODE: ServerKind = ServerKind {
    name: "node",
    command: &["node", "/conf/server.js"],
    files: &[("server.js", include_str!("server.js"))],
    secrets: &[],
    shared: None,
    uid: 65534,
    reload: "signal=SIGHUP",
    verify: SERVED,
    protocol: Protocol::Http("/"),
};

pub(super) const JAVA: ServerKind = ServerKind {
    name: "java",
    command: &["java", "-Xmx64m", "-XX:+UseSerialGC", "/conf/Server.java"],
    files: &[("Server.java", include_str!("Server.java"))],
    secrets: &[],
    shared: None,
    uid: 65534,
    reload: "http=http://127.0.0.1:8081/reload",
    verify: SERVED,
    protocol: Protocol::Http("/"),
};

pub(super) const GUNICORN: ServerKind = ServerKind {
    name: "gunicorn",
    command: &[
        "gunicorn",
        "--bind=0.0.0.0:8443",
        "--certfile=/run/secrets/server.pem",
        "--keyfile=/run/secrets/server.pem",
        "--worker-class=gthread",
        "--threads=16",
        "--keep-alive=60",
        "--chdir=/conf",
        "app:app",
    ],
    files: &[("app.py", include_str!("app.py"))],
    secrets: &[],
    shared: None,
    uid: 65534,
    reload: "signal=SIGHUP",
    verify: SERVED,
    protocol: Protocol::Http("/"),
};
