//! Pods that cost a naive reader much: long lists of everything, names that nearly match, text that
//! is scanned again and again. Each is below what the API server accepts as a request's body.

// Named, since `make bench` includes this file from elsewhere.
#[path = "shapes/checks.rs"]
mod checks;
#[path = "shapes/pods.rs"]
mod pods;

use std::fmt::Write as _;

use pods::{annotation, bundles, pod, volumes};

/// The largest body of a request to the API server, in bytes.
pub(crate) const MAX_POD: usize = 3 << 20;

/// The bundle that the pods ask for.
pub(crate) const BUNDLE: &str = "api-prod";

/// How many keys it has: `KEY_0` and so on.
pub(crate) const KEYS: usize = 1000;

/// A pod, and what is special about it.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) json: String,
}

/// All shapes.
pub(crate) fn all() -> Vec<Shape> {
    let shape = |name, json: String| {
        assert!(json.len() <= MAX_POD, "{name} has {} bytes", json.len());
        Shape { name, json }
    };
    let many = |count: usize, item: &dyn Fn(usize) -> String| {
        (0..count).map(item).collect::<Vec<_>>().join(",")
    };
    let container = |fields: &str| format!(r#"[{{"name":"api",{fields}}}]"#);
    let values = |text: &str| pod("", &container(&format!(r#""env":[{text}]"#)));
    let more = checks::all().into_iter().map(|(name, json)| shape(name, json));
    let shapes = vec![
        shape("100,000 bundles", pod(&bundles(100_000), &container(r#""env":[]"#))),
        shape("16 bundles", pod(&bundles(16), &container(r#""env":[]"#))),
        shape("a bundle name of 2 MB", pod(&annotation("secrets", &"a".repeat(2 << 20)), "[]")),
        shape(
            "40,000 listed names and as many variables",
            pod(
                &annotation("env", &many(40_000, &|at| format!("N{at}"))),
                &container(&format!(
                    r#""env":[{}]"#,
                    many(40_000, &|at| format!(r#"{{"name":"V{at}","value":""}}"#))
                )),
            ),
        ),
        shape(
            "5,000 listed names and 8,000 variables",
            pod(
                &annotation("env", &many(5000, &|at| format!("N{at}"))),
                &container(&format!(
                    r#""env":[{}]"#,
                    many(8000, &|at| format!(r#"{{"name":"V{at}","value":""}}"#))
                )),
            ),
        ),
        shape(
            "8,000 names of containers",
            pod(&annotation("containers", &many(8000, &|at| format!("c{at}"))), &{
                format!("[{}]", many(250, &|at| format!(r#"{{"name":"d{at}"}}"#)))
            }),
        ),
        shape(
            "45,000 sources of variables",
            pod(
                "",
                &container(&format!(
                    r#""envFrom":[{}]"#,
                    many(45_000, &|at| {
                        format!(r#"{{"prefix":"P{at}_","secretRef":{{"name":"{BUNDLE}"}}}}"#)
                    })
                )),
            ),
        ),
        shape(
            "1,000 sources of variables, each with a prefix",
            pod(
                "",
                &container(&format!(
                    r#""envFrom":[{}]"#,
                    many(1000, &|at| {
                        format!(r#"{{"prefix":"P{at}_","secretRef":{{"name":"{BUNDLE}"}}}}"#)
                    })
                )),
            ),
        ),
        shape(
            "1,000 sources of the same variables",
            pod(
                "",
                &container(&format!(
                    r#""envFrom":[{}]"#,
                    many(1000, &|_| format!(r#"{{"secretRef":{{"name":"{BUNDLE}"}}}}"#))
                )),
            ),
        ),
        shape(
            "1,000 sources of variables from files, with long prefixes",
            pod(
                &annotation("deliver", "env"),
                &container(&format!(
                    r#""envFrom":[{}]"#,
                    many(1000, &|at| {
                        format!(r#"{{"prefix":"P{at:0>600}","secretRef":{{"name":"{BUNDLE}"}}}}"#)
                    })
                )),
            ),
        ),
        shape(
            "8,000 secrets, each there once more as a file",
            values(&many(4000, &|at| {
                let key = at % KEYS;
                format!(
                    r#"{{"name":"KEY_{key}","value":"x"}},{{"name":"KEY_{key}_FILE","value":"y"}}"#
                )
            })),
        ),
        shape(
            "8,000 secrets, each as a variable from a file",
            pod(
                &annotation("deliver", "env"),
                &container(&format!(
                    r#""env":[{}]"#,
                    many(8000, &|at| format!(r#"{{"name":"KEY_{}","value":"x"}}"#, at % KEYS))
                )),
            ),
        ),
        shape(
            "8 sources of 1,000 variables from files each, before as many entries",
            pod(
                &annotation("deliver", "env"),
                &container(&format!(
                    r#""env":[{}],"envFrom":[{}]"#,
                    many(8000, &|at| format!(r#"{{"name":"N{at}","value":"x"}}"#)),
                    many(8, &|at| {
                        format!(r#"{{"prefix":"P{at}_","secretRef":{{"name":"{BUNDLE}"}}}}"#)
                    })
                )),
            ),
        ),
        shape("8,000 variables from files with long names", {
            let names: Vec<_> = (0..120).map(|at| format!("N{at:0>239}")).collect();
            let variable = |at: usize| format!(r#"{{"name":"{}"}}"#, names[at % names.len()]);
            let annotations =
                [annotation("deliver", "env"), annotation("env", &names.join(","))].concat();
            pod(&annotations, &container(&format!(r#""env":[{}]"#, many(8000, &variable))))
        }),
        shape(
            "8,000 secrets that a program sets, half of them named by an earlier pass",
            pod(
                &annotation("deliver", "exec"),
                &container(&format!(
                    r#""command":["app"],"env":[{},{{"name":"ENCLII_EXEC","value":"{{\\"version\\":1,\\"directory\\":\\"/\\",\\"variables\\":[{}]}}"}}]"#,
                    many(8000, &|at| format!(r#"{{"name":"KEY_{}","value":"x"}}"#, at % KEYS)),
                    many(60_000, &|at| format!(r#"\\"N{at}=KEY_{}\\""#, at % KEYS)),
                )),
            ),
        ),
        shape(
            "8,000 variables of the program's name, and a program before each command",
            pod(
                &annotation("deliver", "exec"),
                &format!(
                    "[{}]",
                    many(200, &|at| format!(
                        r#"{{"name":"c{at}","command":["/run/enclii/bin/enclii-agent","exec","x"],"env":[{{"name":"KEY_1"}},{}]}}"#,
                        many(39, &|_| r#"{"name":"ENCLII_EXEC","value":"{}"}"#.to_owned())
                    ))
                ),
            ),
        ),
        shape(
            "250 containers with every key from a source, set by a program",
            pod(
                &annotation("deliver", "exec"),
                &format!(
                    "[{}]",
                    many(250, &|at| format!(
                        r#"{{"name":"c{at}","command":["app"],"envFrom":[{{"prefix":"{}","secretRef":{{"name":"{BUNDLE}"}}}}]}}"#,
                        "P".repeat(70)
                    ))
                ),
            ),
        ),
        shape(
            "probes and arguments full of references",
            pod(
                "",
                &container(&format!(
                    r#""env":[{}],"command":["sh","-c"],"args":[{}],"livenessProbe":{{"exec":{{"command":["sh","-c",{}]}}}}"#,
                    many(1000, &|at| format!(r#"{{"name":"KEY_{at}","value":"x"}}"#)),
                    many(8000, &|at| format!(r#""$KEY_{at} ${{KEY_{at}}}""#)),
                    many(50_000, &|at| format!(r#""$KEY_{0} $(KEY_{0})""#, at % KEYS)),
                )),
            ),
        ),
        shape(
            "1,900 deliveries of single secrets",
            pod(
                &annotation("deliver", &many(1900, &|at| format!("NAME_{at:04}=env"))),
                &container(r#""env":[]"#),
            ),
        ),
        shape(
            "8,000 references of another tool, as deep as a rule",
            values(&many(8000, &|at| {
                let path = "abcdefghij/".repeat(15);
                format!(r#"{{"name":"V{at}","value":"vault:{path}{at}/b/c/d/e#KEY_{at}"}}"#)
            })),
        ),
        shape(
            "texts that begin as references inside of a text",
            values(&many(3000, &|at| {
                format!(r#"{{"name":"V{at}","value":"{}"}}"#, "${vault:".repeat(100))
            })),
        ),
        shape(
            "4,000 volumes of the Secret",
            volumes(&many(4000, &|at| {
                format!(r#"{{"name":"v{at}","secret":{{"secretName":"{BUNDLE}"}}}}"#)
            })),
        ),
        shape(
            "a volume of the Secret with 5,000 items at deep paths",
            volumes(&format!(
                r#"{{"name":"v","secret":{{"secretName":"{BUNDLE}","items":[{}]}}}}"#,
                many(5000, &|at| {
                    format!(r#"{{"key":"KEY_1","path":"{}{at}"}}"#, "a/".repeat(250))
                })
            )),
        ),
        shape("volumes that an earlier pass has made of Secrets, in a large pod", {
            let volume = |at: usize| {
                format!(r#"{{"name":"v{at}","emptyDir":{{"medium":"Memory","sizeLimit":"1Mi"}}}}"#)
            };
            let filled = |at: usize| {
                format!(
                    r#"{{\"directory\":\"/run/enclii/volumes/v{at}\",\"sources\":[{{\"bundle\":\"{BUNDLE}\",\"mode\":\"0644\"}}]}}"#
                )
            };
            let config = format!(
                r#"{{\"version\":1,\"source\":{{\"type\":\"switchyard\",\"address\":\"\",\"ca\":\"\",\"token_file\":\"\"}},\"bundles\":[],\"files\":{{\"directory\":\"\",\"mode\":\"0400\",\"volumes\":[{}]}}}}"#,
                many(1000, &filled)
            );
            let agent = format!(
                r#"{{"name":"enclii-agent","env":[{{"name":"ENCLII_AGENT_CONFIG","value":"{config}"}}]}}"#
            );
            let more = format!(
                r#""initContainers":[{agent}],"volumes":[{}],"x":"{}","containers""#,
                many(1000, &volume),
                "x".repeat(2 << 20)
            );
            pod("", "[]").replacen(r#""containers""#, &more, 1)
        }),
        shape("templates of long chains, deep blocks and many names", {
            let chain = |part: &str| format!("{{{{ A{} }}}}", part.repeat(10_000));
            let blocks = "{% if A %}".repeat(2000);
            let names = many(1500, &|at| format!("{{{{ N{at} | json }}}}"));
            let all = [chain("|f"), chain(".a"), blocks, names];
            let templates = all.iter().enumerate();
            let templates = templates.map(|(at, it)| annotation(&format!("template-f{at}"), it));
            pod(&templates.collect::<String>(), "[]")
        }),
        shape("16 templates that use all that there may be", {
            let text = "{{ KEY_1 | json }}{% if KEY_2 is defined %}{{ x }}{% endif %}".repeat(45);
            let template = |at: usize| annotation(&format!("template-f{at}"), &text);
            pod(&(0..16).map(template).collect::<String>(), "[]")
        }),
        shape("64 paths, and as many again", {
            let path = |at: usize| annotation(&format!("path-KEY_{at}"), &"a/".repeat(250));
            pod(&(0..128).map(path).collect::<String>(), "[]")
        }),
        shape("64 paths of 512 bytes that differ at the end", {
            let path = |at: usize| {
                annotation(&format!("path-KEY_{at}"), &format!("{}{at}", "a/".repeat(250)))
            };
            pod(&(0..64).map(path).collect::<String>(), "[]")
        }),
        shape(
            "a million empty containers",
            pod("", &format!("[{}]", many(1_000_000, &|_| "{}".into()))),
        ),
        shape("32,000 empty containers", pod("", &format!("[{}]", many(32_000, &|_| "{}".into())))),
        shape(
            "250 containers with 32 variables each",
            pod("", &{
                let env = many(32, &|at| format!(r#"{{"name":"KEY_{at}","value":"x"}}"#));
                format!("[{}]", many(250, &|at| format!(r#"{{"name":"c{at}","env":[{env}]}}"#)))
            }),
        ),
        shape("a million empty variables", values(&many(1_000_000, &|_| "{}".into()))),
        shape("32,000 empty variables", values(&many(32_000, &|_| "{}".into()))),
        shape(
            "64,000 words",
            pod("", &container(&format!(r#""args":[{}]"#, many(64_000, &|_| "\"\"".into())))),
        ),
        shape(
            "references without an end",
            pod(
                "",
                &container(&format!(
                    r#""env":[{{"name":"KEY_1","value":"x"}}],"args":["{}"]"#,
                    "$(".repeat(1 << 20)
                )),
            ),
        ),
        shape(
            "a million references",
            pod(
                "",
                &container(&format!(
                    r#""env":[{{"name":"KEY_1","value":"x"}}],"args":["{}"]"#,
                    "$(KEY_1)".repeat(300_000)
                )),
            ),
        ),
        shape(
            "8,000 mounts of our volume",
            pod(
                "",
                &container(&format!(
                    r#""volumeMounts":[{}]"#,
                    many(8000, &|_| {
                        r#"{"name":"enclii-secrets","mountPath":"/run/secrets/x"}"#.into()
                    })
                )),
            ),
        ),
        shape("a mount path of 2 MB", {
            let path = "/..".repeat(700_000);
            let mount = format!(r#""volumeMounts":[{{"name":"x","mountPath":"/run{path}"}}]"#);
            pod("", &container(&mount))
        }),
        shape(
            "250 agents",
            pod("", "[]").replacen(
                r#""containers""#,
                &format!(
                    r#""initContainers":[{}],"containers""#,
                    many(250, &|_| r#"{"name":"enclii-agent"}"#.into())
                ),
                1,
            ),
        ),
        shape(
            "unknown annotations",
            pod(
                &(0..30_000).fold(String::new(), |mut all, at| {
                    let _ = write!(all, r#","enclii.io/secret{at}":"x""#);
                    all
                }),
                "[]",
            ),
        ),
        shape("a list of LimitRanger's of 32 KiB for 250 containers", {
            let clauses = "memory limit for container c;".repeat(1100);
            let said = format!(r#","kubernetes.io/limit-ranger":"{clauses}""#);
            let limits = r#""resources":{"limits":{"memory":"1Mi"}}"#;
            let containers = many(250, &|at| format!(r#"{{"name":"d{at}",{limits}}}"#));
            pod(&said, &format!("[{containers}]"))
        }),
        shape("an unknown annotation of 2 MB", {
            pod(&format!(r#","enclii.io/{}":"x""#, "s".repeat(2 << 20)), "[]")
        }),
        shape("a value of 2 MB that looks like much", {
            let text = "https://a:b@c/?password=$(X)&sk_live_eyJhbGciOi.".repeat(40_000);
            values(&format!(r#"{{"name":"API_KEY","value":"{text}"}}"#))
        }),
        shape(
            "8,000 values that look like much",
            values(&many(8000, &|at| {
                format!(
                    r#"{{"name":"API_TOKEN_{at}","value":"https://user:pa{at}@host/{}"}}"#,
                    "x".repeat(200)
                )
            })),
        ),
        shape("escapes", {
            let text = "\\u0041".repeat(400_000);
            values(&format!(r#"{{"name":"A","value":"{text}"}}"#))
        }),
        shape("deeply nested", {
            let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
            pod("", "[]").replacen(r#""spec":{"#, &format!(r#""spec":{{"x":{nested},"#), 1)
        }),
    ];
    shapes.into_iter().chain(more).collect()
}
