//! Every rule finds what it is for, and leaves its neighbours alone.
//!
//! The samples are built from parts, so that no secret scanner reports this file.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::rule::{Alphabet, RuleShape, Token};
use super::*;

fn found(name: &str, value: &str) -> Option<(&'static str, Confidence)> {
    detect(name, value).map(|rule| (rule.id, rule.confidence))
}

/// Random characters, the same ones in each run.
fn random(alphabet: Alphabet, count: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let chars: Vec<u8> = (b'!'..=b'~')
        .filter(|byte| alphabet.has(*byte) && (byte.is_ascii_alphanumeric() || *byte == b'_'))
        .filter(|byte| alphabet != Alphabet::Hex || !byte.is_ascii_uppercase())
        .collect();
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(chars[(state >> 33) as usize % chars.len()])
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn token_rows() -> impl Iterator<Item = (&'static Rule, &'static Token)> {
    rules::RULES.iter().filter_map(|rule| match &rule.shape {
        RuleShape::Token(token) => Some((rule, token)),
        _ => None,
    })
}

#[test]
fn every_token_is_found_wherever_it_stands() {
    for (rule, token) in token_rows() {
        let whole = format!("{}{}", token.prefix, random(token.body, token.least));
        let expected = |text: &str| {
            // A longer prefix of the same provider may come first.
            assert!(detect("X", text).is_some(), "{}: {}", rule.id, token.prefix);
        };
        assert_eq!(found("X", &whole), Some((rule.id, rule.confidence)), "{}", token.prefix);
        expected(&format!(" Bearer {whole}\n"));
        expected(&format!("{{\"key\":\"{whole}\"}}"));
        expected(&format!("--token={whole} --verbose"));
        expected(&format!("key: {whole}, rotated"));
    }
}

#[test]
fn what_only_resembles_a_token_is_left_alone() {
    for (rule, token) in token_rows() {
        let form = |text: &str| detect_form(text).filter(|it| it.id == rule.id);
        let body = random(token.body, token.least);
        let short = &body[..token.least / 2];
        for text in [
            format!("{}{short}", token.prefix),
            format!("{}{}", token.prefix, "x".repeat(token.least)),
            format!("{}{}", token.prefix, "EXAMPLE".repeat(token.least / 7 + 1)),
            format!("a{}{body}", token.prefix),
            format!("{}$({short})", token.prefix),
        ] {
            assert!(form(&text).is_none(), "{} finds {}", rule.id, token.prefix);
        }
        if token.most < 100 && token.body != Alphabet::Dotted {
            let long = format!("{}{}", token.prefix, random(token.body, token.most + 1));
            assert!(form(&long).is_none(), "{} finds a longer one", token.prefix);
        }
    }
}

type Pairs = &'static [(&'static str, &'static str)];

/// A rule, what it finds, and what it does not.
struct Samples(&'static str, Pairs, Pairs);

/// For each rule that is no token: what it finds, and what it does not. `R` is replaced by 64
/// random characters and `H` by 64 hexadecimal digits, each cut to the number after it.
const SAMPLES: &[Samples] = &[
    Samples(
        "aws-secret-key",
        &[("AWS_SECRET_ACCESS_KEY", "<R40>"), ("X", "[a]\naws_secret_access_key = <R40>\n")],
        &[("GIT_COMMIT", "<H40>"), ("AWS_SECRET_ACCESS_KEY_FILE", "/x"), ("X", "<R40>")],
    ),
    Samples(
        "azure-client-secret",
        &[("X", "abc8Q~<R34>")],
        &[("X", "abc8Q-<R34>"), ("X", "a8Q~b")],
    ),
    Samples(
        "azure-key",
        &[("X", "AccountName=a;AccountKey=<R64>=="), ("X", "SharedAccessKey=<R44>")],
        &[
            ("X", "SharedAccessKeyName=RootManageSharedAccessKeyOfTheNamespace"),
            ("X", "AccountKey="),
        ],
    ),
    Samples(
        "azure-signature",
        &[("X", "https://a/b?sv=1&sig=<R44>")],
        &[("X", "https://a/b?sig=<R44>"), ("X", "https://a/b?sv=1&sig=$(SIG)")],
    ),
    Samples(
        "cloudflare-key",
        &[("X", "v1.0-<H24>-<H64><H64><H18>")],
        &[("X", "v1.0-<H24>"), ("X", "v1.0-rc1")],
    ),
    Samples(
        "terraform-token",
        &[("X", "<R14>.atlasv1.<R64>")],
        &[("X", "<R14>.atlasv2.<R64>"), ("X", "a.atlasv1.b")],
    ),
    Samples(
        "onepassword-key",
        &[("X", "A3-AB2C3D-E4F5G6H7J8K-L9M2N-P3Q4R-S5T6U")],
        &[("X", "A3-SIZE"), ("X", "A3-aaaaaa-aaaaaaaaaaa-aaaaa-aaaaa-aaaaa")],
    ),
    Samples(
        "discord-token",
        &[("X", "M<R23>.G<R5>.<R38>")],
        &[("X", "<R23>.G<R5>.<R38>x.y"), ("X", "MyService.Config.Value")],
    ),
    Samples(
        "teams-webhook",
        &[("X", "https://a.webhook.office.com/webhookb2/b@c/IncomingWebhook/<H32>/d")],
        &[("X", "https://a.webhook.office.com/webhookb2/b@c/IncomingWebhook/ID/d")],
    ),
    Samples(
        "telegram-token",
        &[("X", "1234567890:AA<R33>"), ("X", "https://api.telegram.org/bot123456789:AA<R33>/x")],
        &[("X", "a:AA<R33>"), ("X", "1234567890:AAshort")],
    ),
    Samples(
        "mailgun-key",
        &[("X", "<H32>-<H8>-<H8>")],
        &[("X", "<H32>-<H8>"), ("X", "00-<H32>-<H16>-01")],
    ),
    Samples("mailchimp-key", &[("X", "<H32>-us14")], &[("X", "<H32>-eu14"), ("X", "<H32>")]),
    Samples("newrelic-key", &[("X", "<H36>NRAL")], &[("X", "<H40>"), ("X", "GENERAL")]),
    Samples("airtable-token", &[("X", "pat<R14>.<H64>")], &[("X", "patch.<H64>")]),
    Samples("maxmind-key", &[("X", "<R6>_<R29>_mmk")], &[("X", "<R6>_<R29>_mm")]),
    Samples(
        "private-key",
        &[
            ("X", "-----BEGIN PRIVATE KEY-----\nMII"),
            ("X", "{\"k\":\"-----BEGIN EC PRIVATE KEY-----\\nMII"),
            ("X", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQO"),
            ("X", "LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0tLS0tCk1JSQo="),
        ],
        &[
            ("X", "-----BEGIN CERTIFICATE-----\nMII"),
            ("X", "-----BEGIN PUBLIC KEY-----\nMII"),
            ("X", "-----BEGIN PRIVATE KEY-----\n<key>"),
            ("X", "-----BEGIN "),
        ],
    ),
    Samples(
        "url-password",
        &[
            ("X", "postgres://app:pw@db:5432/x"),
            ("X", "redis://:pw@cache:6379"),
            ("X", "amqps://a:p@ss@mq/vhost"),
            ("X", "postgres://a:p/w#x?y@db:5432/x"),
            ("X", "http://a,http://u:pw@b"),
            ("X", "jdbc:postgresql://db/x?user=a&password=pw"),
            ("X", "sqlserver://db:1433;user=a;Password=pw"),
            ("X", "jdbc:oracle:thin:scott/tiger@db:1521/x"),
            ("X", "see https://a:b@c for more"),
        ],
        &[
            ("X", "postgres://db:5432/x"),
            ("X", "postgres://app@db/x"),
            ("X", "postgres://app:$(DB_PASSWORD)@db/x"),
            ("X", "postgres://app:pre-$(PW)@db/x"),
            ("X", "postgres://app:${PW}@db/x"),
            ("X", "postgres://app:__PASSWORD__@db/x"),
            ("X", "postgres://app:REDACTED@db/x"),
            ("X", "postgres://app:[YOUR-PASSWORD]@db/x"),
            ("X", "postgres://app:<password>@db/x"),
            ("X", "postgres://app:***@db/x"),
            ("X", "postgres://app:@db/x"),
            ("X", "docker://nginx:1.25@sha256:<H64>"),
            ("X", "ssh://git:22@host/x.git"),
            ("X", "https://example.com/a:b@c"),
            ("X", "https://host:8080/a@b"),
            ("X", "https://example.com/?password="),
            ("X", "a:b@c-and-more"),
        ],
    ),
    Samples(
        "connection-string",
        &[
            ("X", "Server=db;User Id=u;Password=pw"),
            ("X", "host=db user=u password=pw"),
            ("X", "u:p@tcp(h:3306)/d"),
        ],
        &[
            ("X", "Server=db;Integrated Security=true"),
            ("X", "Server=db;Password=$(PW)"),
            ("X", "host=db user=u"),
            ("X", "u:$(P)@tcp(h)/d"),
        ],
    ),
    Samples(
        "json-web-token",
        &[
            ("X", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.<R43>"),
            ("X", "Bearer eyJhbGci.eyJzdWIi.<R43>"),
        ],
        &[
            ("X", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0."),
            ("SUPABASE_ANON_KEY", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.<R43>"),
            ("X", "1.2.3"),
        ],
    ),
    Samples(
        "basic-auth",
        &[("X", "Basic YTpiYw==")],
        &[("X", "Basic $(AUTH)"), ("X", "Basic authentication")],
    ),
    Samples(
        "registry-auth",
        &[
            ("X", "{\"auths\":{\"r\":{\"auth\":\"YTpiYw==\"}}}"),
            ("X", "{\"auths\":{\"r\":{\"password\": \"pw\"}}}"),
        ],
        &[("X", "{\"auths\":{\"r\":{\"auth\":\"$(AUTH)\"}}}"), ("X", "{\"password\": \"strict\"}")],
    ),
    Samples(
        "url-token",
        &[("X", "https://<H40>@host/x"), ("X", "https://host/x?api_key=<H32>")],
        &[("X", "https://jane@host/x"), ("X", "https://host/x?api_key=$(KEY)&page=2")],
    ),
    Samples(
        "bearer-token",
        &[("X", "Bearer <R40>")],
        &[("X", "Bearer $(TOKEN)"), ("X", "Bearer token")],
    ),
    Samples(
        "password-hash",
        &[("X", "$2a$10$<R53>"), ("X", "admin:$apr1$<R8>$<R22>")],
        &[("X", "$2a$10$"), ("X", "$(HASH)"), ("X", "costs $2 and more, as everybody knows")],
    ),
    Samples(
        "password-name",
        &[
            ("PASSWORD", "hunter2"),
            ("DB_PASS", "hunter2"),
            ("db.password", "changeme"),
            ("dbPwd", "hunter2"),
            ("PASSWORD", "12345678901"),
            ("PASSWORD_PROD", "hunter2"),
        ],
        &[
            ("PASSWORD_FILE", "hunter2"),
            ("PASSWORD_LENGTH", "16"),
            ("PWD", "/app"),
            ("COMPASS", "north"),
            ("PASSWORD", ""),
            ("PASSWORD", "true"),
            ("PASSWORD", "/run/x"),
            ("PASSWORD", "$(OTHER)"),
        ],
    ),
    Samples(
        "secret-name",
        &[
            ("CLIENT_SECRET", "hunter2"),
            ("SESSION_TOKEN", "hunter2"),
            ("api-key", "hunter2"),
            ("MY_APIKEY", "hunter2"),
            ("JWT_KEY", "hunter2"),
            ("HASH_SALT", "hunter2"),
            ("AWS_ACCESS_KEY_ID", "hunter2"),
            ("VAULT_SECRET_ID", "123e4567-e89b-12d3-a456-426614174000"),
        ],
        &[
            ("IMAGE_PULL_SECRET", "regcred"),
            ("TOKENIZER", "gpt2"),
            ("SECRET_ID", "my/secret"),
            ("SECRET_STORE", "vault"),
            ("SECRETS_BACKEND", "vault"),
            ("TOKEN_TTL", "1h"),
            ("MAX_TOKENS", "4096"),
            ("KEYBOARD", "us"),
            ("DB_SECRET", "db-credentials"),
            ("TOKEN", "3600"),
        ],
    ),
    Samples(
        "pair-name",
        &[("NEO4J_AUTH", "neo4j/hunter2"), ("BASIC_AUTH", "admin:hunter2"), ("DSN", "a:b1@h/d")],
        &[("AUTH", "oauth2"), ("AUTH", "auth:9000"), ("DEFAULT_AUTH", "ldap")],
    ),
    Samples(
        "random-name",
        &[("SESSION_KEY", "<R32>"), ("TOKEN_GITHUB", "<R40>")],
        &[("CACHE_KEY", "app:session:v1:users"), ("KEY_ID", "<H32>"), ("TOKEN_ISSUER", "<R32>")],
    ),
];

/// `<R12>` and `<H12>` filled in.
fn filled(text: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        let fill = after.split_once('>').and_then(|(fill, tail)| {
            let count: usize = fill.get(1..)?.parse().ok()?;
            let alphabet = if fill.starts_with('H') { Alphabet::Hex } else { Alphabet::Alnum };
            Some((random(alphabet, count), tail))
        });
        filled.push_str(before);
        match fill {
            Some((text, tail)) => {
                filled.push_str(&text);
                rest = tail;
            }
            None => {
                filled.push('<');
                rest = after;
            }
        }
    }
    filled + rest
}

#[test]
fn every_other_rule_has_samples_that_it_finds_and_neighbours_that_it_does_not() {
    for Samples(id, positive, negative) in SAMPLES {
        for (name, text) in *positive {
            let value = filled(text);
            assert_eq!(found(name, &value).map(|(id, _)| id), Some(*id), "{name}={text}");
        }
        for (name, text) in *negative {
            let value = filled(text);
            assert_ne!(found(name, &value).map(|(id, _)| id), Some(*id), "{name}={text}");
        }
    }
    let tested: BTreeSet<_> = SAMPLES.iter().map(|Samples(id, ..)| *id).collect();
    let others = rules::RULES.iter().filter(|rule| !matches!(rule.shape, RuleShape::Token(_)));
    let missing: Vec<_> = others.map(|rule| rule.id).filter(|id| !tested.contains(id)).collect();
    assert_eq!(missing, [""; 0], "rules without a sample");
}

proptest! {
    #[test]
    fn no_input_panics(name: String, value: String) {
        let _ = detect(&name, &value);
        let _ = arguments::detect_arguments([&*name, &*value].into_iter());
    }

    #[test]
    fn no_address_panics(value in "[a-z]{0,3}:?/?/?[a-zé:@/?&=;$%<,\" -]{0,40}") {
        let _ = detect("X", &value);
        let _ = arguments::detect_arguments([&*value].into_iter());
    }
}
