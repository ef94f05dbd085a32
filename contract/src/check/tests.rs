use super::*;

#[test]
fn a_valid_check_round_trips() {
    for (text, canonical) in [
        ("tls=8443", "tls=8443"),
        ("tls=8443,sni=api.example.org", "tls=8443,sni=api.example.org"),
        (
            "tls=1, certificate=tls.crt , sni=x,timeout=5s",
            "tls=1,sni=x,certificate=tls.crt,timeout=5s",
        ),
        ("tls=5432,starttls=postgres,certificate=a", "tls=5432,certificate=a,starttls=postgres"),
        ("http=http://127.0.0.1:80/ready", "http=http://127.0.0.1:80/ready"),
        (
            "http=http://localhost:80/x?a=b%2Cc,field=secrets.generation",
            "http=http://localhost:80/x?a=b%2Cc,field=secrets.generation",
        ),
        ("postgres=DATABASE_URL", "postgres=DATABASE_URL"),
        ("mysql=URL,timeout=60s", "mysql=URL,timeout=60s"),
        ("redis=REDIS_URL", "redis=REDIS_URL"),
    ] {
        let check: Check = text.parse().unwrap();
        assert_eq!(check.to_string(), canonical);
        assert_eq!(canonical.parse::<Check>().unwrap(), check);
    }
}

#[test]
fn an_invalid_check_says_what_it_has_to_be() {
    for (text, part) in [
        ("", "must be tls=PORT"),
        ("tls", "must be tls=PORT"),
        ("exec=true", "must be tls=PORT"),
        ("tls=0", "1 to 65535"),
        ("tls=+1", "1 to 65535"),
        ("tls=443,sni=", "host name"),
        ("tls=443,sni=a..b", "host name"),
        ("tls=443,field=x", "tls has sni"),
        ("tls=443,starttls=smtp", "must be postgres"),
        ("postgres=URL,starttls=postgres", "tls has sni"),
        ("tls=443,", "tls has sni"),
        ("tls=443,sni=a,sni=b", "sni is given twice"),
        ("http=https://127.0.0.1:1/", "http://127.0.0.1:PORT"),
        ("http=http://example.org:1/", "http://127.0.0.1:PORT"),
        ("http=http://127.0.0.1:1/,field=a..b", "JSON fields"),
        ("http=http://127.0.0.1:1/a,b", "%2C"),
        ("postgres=../x", "name of a secret"),
        ("postgres=postgres://u:p@h/d", "name of a secret"),
        ("redis=U,timeout=0s", "1s to 60s"),
        ("redis=U,timeout=61s", "1s to 60s"),
        ("redis=U,timeout=5", "1s to 60s"),
        ("redis=U,timeout=+5s", "1s to 60s"),
    ] {
        let error = text.parse::<Check>().unwrap_err().to_string();
        assert!(error.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn the_time_has_a_default() {
    let timeout = |text: &str| text.parse::<Check>().unwrap().timeout();
    assert_eq!(timeout("tls=1"), DEFAULT_TIMEOUT);
    assert_eq!(timeout("tls=1,timeout=9s"), Duration::from_secs(9));
}
