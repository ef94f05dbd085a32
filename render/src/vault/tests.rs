use contract::vault_template::{BUILTINS, Delimiters, check};
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The answers that the tests' templates call for.
fn secrets() -> Secrets {
    let metadata = json!({"version": 3, "created_time": "t"});
    let kv = |data: serde_json::Value| json!({"data": {"data": data, "metadata": metadata}});
    let creds = json!({
        "lease_id": "database/creds/app/1", "lease_duration": 3600, "renewable": true,
        "data": {"username": "v-app", "password": "hunter2"}
    });
    let pki = json!({"data": {
        "certificate": "CERT", "private_key": "hunter2-KEY", "issuing_ca": "CA",
        "ca_chain": ["CA", "ROOT"], "serial_number": "1:2"
    }});
    let values = [
        (
            "kv",
            kv(json!({
                "username": "shop", "password": "hunter2<&'\"", "port": 5432, "debug": true,
                "my-key": "dashed", "list": ["a", "b"], "nested": {"x": {"y": "deep"}},
                "blob": "aHVudGVyMg==", "json": "{\"k\":[1,2]}", "empty": "", "big": 1e30,
            })),
        ),
        ("creds", creds),
        ("pki", pki),
        ("old", json!({"data": {"api_key": "hunter2", "url": "https://x"}})),
        ("other", json!("hunter2")),
    ];
    values.into_iter().map(|(name, it)| (name.to_owned(), Redacted::from(it.to_string()))).collect()
}

fn options(error_on_missing_key: bool) -> VaultTemplateOptions {
    let call = |path: &str, pairs: &[&str], secret: &str| VaultTemplateCall {
        path: path.to_owned(),
        parameters: parameters(pairs.iter().copied()).unwrap(),
        secret: secret.parse().unwrap(),
    };
    VaultTemplateOptions {
        error_on_missing_key,
        calls: vec![
            call("secret/data/app", &[], "kv"),
            call("database/creds/app", &[], "creds"),
            call("pki/issue/web", &["common_name=a.example", "ttl=24h"], "pki"),
            call("kv1/app", &[], "old"),
            call("secret/data/odd", &[], "other"),
            call("secret/data/none", &[], "absent"),
        ],
        ..VaultTemplateOptions::default()
    }
}

fn rendered(template: &str) -> String {
    let found = render(template, &options(false), &secrets());
    let found = found.unwrap_or_else(|error| panic!("{template}: {error}"));
    String::from_utf8(found.expose().to_vec()).unwrap()
}

/// The shapes that people write.
#[test]
fn the_shapes_of_public_templates() {
    let shapes = include_str!("shapes.txt").split("=== ").skip(1);
    let mut count = 0;
    for shape in shapes {
        let (title, rest) = shape.split_once('\n').unwrap();
        let (template, expected) = rest.split_once("\n--- becomes\n").unwrap();
        let expected = expected.strip_suffix('\n').unwrap();
        assert!(check(template, &Delimiters::default()).is_ok(), "{title}");
        assert_eq!(rendered(template), expected, "{title}");
        count += 1;
    }
    assert_eq!(count, 22);
}

#[test]
fn functions() {
    for (template, expected) in [
        ("{{ \"hunter2\" | base64Encode }} {{ base64URLDecode \"Pz8_\" }}", "aHVudGVyMg== ???"),
        ("{{ base64URLEncode \"???\" }}", "Pz8_"),
        ("{{ \"Ab\" | toLower }}{{ \"ab cd\" | toTitle }}", "abAb Cd"),
        ("{{ \" a \" | trimSpace }}|{{ \"xxaxx\" | trim \"x\" }}", "a|a"),
        ("{{ \"a.b\" | trimPrefix \"a.\" }}{{ \"a.b\" | trimSuffix \".b\" }}", "ba"),
        ("{{ \"a-b-c\" | replaceAll \"-\" \"_\" }}", "a_b_c"),
        ("{{ range \"a,b\" | split \",\" }}[{{ . }}]{{ end }}{{ split \",\" \"\" }}", "[a][b][]"),
        ("{{ \"a,b\" | split \",\" | join \"+\" }}", "a+b"),
        ("{{ (\"a:1,b:2\" | splitToMap \",\" \":\").b }}", "2"),
        ("{{ \"a\\n\\nb\" | indent 2 }}", "  a\n\n  b"),
        ("{{ add 2 3 }} {{ 5 | subtract 2 }} {{ multiply 2 3 }} {{ 7 | divide 2 }}", "5 3 6 3"),
        ("{{ 7 | modulo 4 }} {{ minimum 2 3 }} {{ maximum 2 3 }} {{ add 1.5 2 }}", "3 2 3 3.5"),
        ("{{ range loop 3 }}{{ . }}{{ end }}{{ range loop 5 7 }}{{ . }}{{ end }}", "01256"),
        ("{{ \"a,b\" | split \",\" | contains \"b\" }} {{ in \"abc\" \"x\" }}", "true false"),
        ("{{ parseBool \"true\" }}{{ parseInt \"-3\" }}{{ parseUint \"3\" }}", "true-33"),
        ("{{ parseFloat \"1.5\" }}{{ parseInt \"\" }}{{ (parseJSON \"{}\") | toJSON }}", "1.50{}"),
        (
            "{{ \"<a&b>\" | toJSON }}{{ \"<a>\" | toUnescapedJSON }}",
            "\"\\u003ca\\u0026b\\u003e\"\"<a>\"",
        ),
        (
            "{{ `{\"b\":[1,{\"c\":\"x y\"}],\"a\":{\"d\":null,\"e\":\"no\"}}` | parseJSON |\
             toYAML }}",
            "a:\n  d: null\n  e: \"no\"\nb:\n- 1\n- c: \"x y\"",
        ),
        ("{{ \"[]\" | parseJSON | toYAML }}{{ parseJSON \"{}\" | toUnescapedJSONPretty }}", "[]{}"),
    ] {
        assert!(check(template, &Delimiters::default()).is_ok(), "{template}");
        assert_eq!(rendered(template), expected, "{template}");
    }
}

#[test]
fn every_function_that_is_offered_exists() {
    for name in FUNCTIONS {
        let reads = [SECRET, PKI_CERT].contains(name);
        assert_eq!(functions::of(name).is_some(), !reads, "{name}");
    }
    for name in BUILTINS {
        let error = render(&format!("{{{{ {name} }}}}"), &options(false), &secrets());
        let text = error.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(!text.contains("there is no function"), "{name}: {text}");
    }
}

#[test]
fn errors_name_the_line_and_the_cause_and_show_no_value() {
    for (template, is_strict, expected) in [
        (
            "\n{{ with secret \"secret/data/app\" }}\n{{ .Data.data.nothing }}{{ end }}",
            true,
            "line 3: there is no key nothing",
        ),
        (
            "{{ with secret \"secret/data/app\" }}\n{{ .Data.data.password.x }}{{ end }}",
            false,
            "line 2: an operation does not fit its values",
        ),
        (
            "{{ range (secret \"secret/data/app\").Data.data.password }}{{ end }}",
            false,
            "line 1: range over what is neither a list nor a map",
        ),
        (
            "{{ (secret \"secret/data/app\").Data.data.password | base64Decode }}",
            false,
            "line 1: base64Decode needs base64",
        ),
        (
            "{{ (secret \"secret/data/app\").Data.data.password | parseInt }}",
            false,
            "line 1: parseInt cannot read the text",
        ),
        (
            "{{ with secret \"secret/data/app\" }}{{ template \"x\" }}{{ end }}",
            false,
            "line 1: there is no template x",
        ),
        (
            "{{ secret (secret \"secret/data/app\").Data.data.password }}",
            false,
            "line 1: secret: it was not found in the template",
        ),
        ("\n{{ secret \"secret/data/odd\" }}", false, "line 2: secret: what the agent has read"),
        ("{{ secret \"secret/data/none\" }}", false, "line 1: secret: what the agent has read"),
        ("{{ .x", false, "line 1: syntax error"),
        ("{{ index (secret \"kv1/app\").Data.api_key 99 }}", false, "line 1: an index is out of"),
        ("{{ divide 0 1 }}", false, "line 1: divide has no result"),
        ("{{ toUpper }}", false, "line 1: toUpper has too few"),
        ("{{ len 1 2 }}", false, "line 1: len takes 1 arguments and not 2"),
        ("{{ range loop 9999999 }}{{ end }}", false, "line 1: loop goes on for too long"),
    ] {
        let error = render(template, &options(is_strict), &secrets()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.starts_with(expected), "{template}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn steps_and_output_are_bounded() {
    let kind = |text: &str| render(text, &options(false), &secrets()).unwrap_err().kind;
    let steps = "{{ range loop 2000 }}{{ range loop 2000 }}{{ end }}{{ end }}";
    assert_eq!(kind(steps), TemplateErrorKind::TooLong);
    let output = "{{ range loop 60000 }}01234567890123456789{{ end }}";
    assert_eq!(kind(output), TemplateErrorKind::TooLarge);
    let recursion = "{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}";
    assert_eq!(kind(recursion), TemplateErrorKind::other("it calls itself too often"));
}

#[test]
fn delimiters_and_trimming() {
    let options =
        VaultTemplateOptions { delimiters: Delimiters("<<".into(), ">>".into()), ..options(false) };
    let text = "{{ x }}\n<<- with secret \"kv1/app\" >> << .Data.url >>\n<<- end >>";
    let found = render(text, &options, &secrets()).unwrap();
    assert_eq!(found.expose(), b"{{ x }} https://x");
}

proptest! {
    /// A template renders, or an error says why not, without a value.
    #[test]
    fn no_template_panics_or_shows_a_value(
        middle in "[{}a-c0-9 \"().$|:=\n-]{0,40}",
        function in prop::sample::select(FUNCTIONS),
    ) {
        let text = format!(
            "{{{{ with secret \"secret/data/app\" }}}}{middle}\
             {{{{ .Data.data.password | {function} }}}}{{{{ end }}}}"
        );
        if let Err(error) = render(&text, &options(true), &secrets()) {
            let said = format!("{error} {error:?}");
            prop_assert!(!said.contains("hunter2"), "{}", said);
        }
    }
}
