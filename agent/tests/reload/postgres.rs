//! A real PostgreSQL with TLS.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::Stdio;

use e2e::postgres::Postgres;

use crate::pair::ServerPair;
use crate::pod::Pod;
use crate::rotated::RotatedPod;
use crate::tls_client::served_by_postgres;

fn secrets<'a>(url: &'a str, pair: &'a ServerPair) -> [(&'a str, &'a [u8]); 3] {
    [
        ("URL", url.as_bytes()),
        ("tls.crt", pair.certificate.as_bytes()),
        ("tls.key", pair.key.as_bytes()),
    ]
}

/// Lets the server's group read the volume, as `fsGroup` does.
fn share(pod: &Pod, postgres: &Postgres) {
    let data = postgres.sql("enclii", "SHOW data_directory").unwrap();
    let group = fs::metadata(data).unwrap().gid();
    let volume = pod.volume();
    chown(&volume, None, Some(group)).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o2750)).unwrap();
    fs::set_permissions(volume.parent().unwrap(), fs::Permissions::from_mode(0o711)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_reach_postgresql_and_a_broken_certificate_does_not() {
    let postgres = Postgres::start().unwrap();
    let (pod, mut current) = (Pod::new(), ServerPair::new());
    share(&pod, &postgres);
    let (port, volume, url) = (postgres.port(), pod.volume(), postgres.url());
    let everybody = |config: &mut contract::AgentConfig| {
        config.files.mode = "0440".parse().unwrap();
    };
    let first = secrets(&url, &current);
    let mut it = RotatedPod::start(pod, "postgres-reload=URL", everybody, &first).await;
    for (setting, value) in [
        ("ssl_cert_file", volume.join("tls.crt").display().to_string()),
        ("ssl_key_file", volume.join("tls.key").display().to_string()),
        ("ssl", "on".to_owned()),
    ] {
        postgres.sql("enclii", &format!("ALTER SYSTEM SET {setting} = '{value}'")).unwrap();
    }

    // The first rotation turns TLS on, too. A session from before survives all of them.
    let mut psql = postgres.client("psql");
    psql.args(["-X", "-q", "-t", "-d", "enclii", "-c", "SELECT pg_sleep(10)", "-c", "SELECT 41+1"]);
    let session = psql.stdout(Stdio::piped()).spawn().unwrap();
    for _ in 0..3 {
        current = ServerPair::new();
        it.rotate(&secrets(&url, &current)).await;
        assert_eq!(served_by_postgres(port).await, Some(current.leaf()));
    }
    let said = it.refused(&secrets(&url, &ServerPair::broken())).await;
    assert!(said.contains("and not its certificate"), "{said}");
    assert_eq!(served_by_postgres(port).await, Some(current.leaf()));
    let output = session.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("42"), "{output:?}");
}
