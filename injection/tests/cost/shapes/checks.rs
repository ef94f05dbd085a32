//! Pods with much of what decides how the application is told and checked.

use super::pods::{annotation, pod};

/// The name of each shape, and its pod.
pub(super) fn all() -> Vec<(&'static str, String)> {
    let many = |count: usize, item: &dyn Fn(usize) -> String| {
        (0..count).map(item).collect::<Vec<_>>().join(",")
    };
    let container = |fields: &str| format!(r#"[{{"name":"api",{fields}}}]"#);
    vec![
        ("5,000 checks", pod(&annotation("verify", &"tls=1;".repeat(5000)), "[]")),
        ("16 checks of secrets that are not there", {
            let check = |at: usize| format!("redis=N{at:0>240};");
            pod(&annotation("verify", &(0..16).map(check).collect::<String>()), "[]")
        }),
        ("a check of 32 KB", {
            let check = format!("http=http://127.0.0.1:80/{}", "a,".repeat(16_000));
            pod(&annotation("verify", &check), "[]")
        }),
        ("10,000 ports, and a probe of the last one", {
            let ports = many(10_000, &|at| format!(r#"{{"name":"p{at}","containerPort":{at}}}"#));
            let probe =
                format!(r#"{{"httpGet":{{"port":"p9999","path":"/{}"}}}}"#, "a".repeat(1 << 20));
            pod("", &container(&format!(r#""ports":[{ports}],"readinessProbe":{probe}"#)))
        }),
        (
            "200 containers with five probes each",
            pod(
                "",
                &format!(
                    "[{}]",
                    many(200, &|at| {
                        let get = r#"{"httpGet":{"port":"a","host":"b","scheme":"c","path":"d"}}"#;
                        format!(
                            r#"{{"name":"c{at}","livenessProbe":{get},"readinessProbe":{get},"startupProbe":{get},"lifecycle":{{"postStart":{get},"preStop":{get}}}}}"#
                        )
                    })
                ),
            ),
        ),
        (
            "13,000 containers, each with a probe",
            pod(
                "",
                &format!(
                    "[{}]",
                    many(13_000, &|_| r#"{"readinessProbe":{"httpGet":{"port":1}}}"#.to_owned())
                ),
            ),
        ),
        ("a script of 2 MB that is signalled", {
            let script = format!("{} exec java", "a;".repeat(1 << 20));
            let signal = annotation("reload", "signal=SIGHUP");
            let words = container(&format!(
                r#""command":["sh","-c","{script}"],"securityContext":{{"runAsUser":1}}"#
            ));
            pod(&signal, &words)
        }),
    ]
}
