use proptest::prelude::*;

use super::*;

fn read(server: LoginServer, text: &str) -> Result<Target, UrlError> {
    parse(server, &Redacted::from(text.as_bytes()))
}

/// Host and port, user, password, database, attempts and check, in one line.
fn line(server: LoginServer, text: &str) -> String {
    let target = read(server, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let endpoints: Vec<_> = target.endpoints.iter().map(ToString::to_string).collect();
    let tls = match (target.tls.attempts, target.tls.check) {
        ([Encryption::Plain], CertificateCheck::None) => "plain",
        ([Encryption::Plain, Encryption::Tls], CertificateCheck::None) => "allow",
        ([Encryption::IfOffered, Encryption::Plain], CertificateCheck::None) => "prefer",
        ([Encryption::Tls], CertificateCheck::None) => "require",
        ([Encryption::Tls], CertificateCheck::Issuer) => "ca",
        ([Encryption::Tls], CertificateCheck::IssuerAndName) => "full",
        _ => panic!("{text}: {:?}", target.tls),
    };
    let roots = match &target.tls.roots {
        Roots::Unnamed => String::new(),
        Roots::Public => " public".to_owned(),
        Roots::File(path) => format!(" {}", path.display()),
    };
    let password = String::from_utf8(target.password.expose().to_vec()).unwrap();
    let database = target.database.as_deref().unwrap_or("-");
    format!("{} {} {password} {database} {tls}{roots}", endpoints.join(" "), target.user)
}

#[test]
fn the_forms_of_a_postgres_url() {
    for (text, expected) in [
        ("postgres://u:p@h/d", "h:5432 u p d prefer"),
        ("postgresql://u:p@h:6432/d\n", "h:6432 u p d prefer"),
        ("POSTGRES://u:p@h/d", "h:5432 u p d prefer"),
        ("postgresql+psycopg2://u:p@h/d", "h:5432 u p d prefer"),
        ("postgres://u:p%40s%3As%2F%25@h/d", "h:5432 u p@s:s/% d prefer"),
        // The last @ ends the password, and the first : the user.
        ("postgres://u:a@b:c@h/d", "h:5432 u a@b:c d prefer"),
        ("postgres://u%40x:p@h", "h:5432 u@x p - prefer"),
        ("postgres://u@h/d", "h:5432 u  d prefer"),
        ("postgres://u:p@[::1]:99/d", "[::1]:99 u p d prefer"),
        ("postgres://u:p@a,b:2,[fe80::1]/d", "a:5432 b:2 [fe80::1]:5432 u p d prefer"),
        ("postgres://h/d?user=u&password=p%26", "h:5432 u p& d prefer"),
        ("postgres://u:p@/d?host=a,b&port=1,2", "a:1 b:2 u p d prefer"),
        ("postgres://u:p@a,b/d?port=7", "a:7 b:7 u p d prefer"),
        ("postgres://u:p@h/d?sslmode=disable", "h:5432 u p d plain"),
        ("postgres://u:p@h/d?sslmode=allow", "h:5432 u p d allow"),
        ("postgres://u:p@h/d?sslmode=require", "h:5432 u p d require"),
        ("postgres://u:p@h/d?sslmode=no-verify", "h:5432 u p d require"),
        ("postgres://u:p@h/d?sslmode=require&sslrootcert=/ca", "h:5432 u p d ca /ca"),
        ("postgres://u:p@h/d?sslmode=verify-ca&sslrootcert=/ca", "h:5432 u p d ca /ca"),
        ("postgres://u:p@h/d?sslmode=verify-full", "h:5432 u p d full"),
        ("postgres://u:p@h/d?sslrootcert=system", "h:5432 u p d full public"),
        ("postgres://u:p@h/d?ssl=true", "h:5432 u p d full"),
        ("postgres://u:p@h/d?ssl=require", "h:5432 u p d require"),
        ("jdbc:postgresql://h:1/d?user=u&password=p", "h:1 u p d prefer"),
        ("jdbc:postgresql://h/d?user=u&password=a@b", "h:5432 u a@b d prefer"),
        ("jdbc:postgresql://h/d?user=u&ssl=true&sslmode=require", "h:5432 u  d require"),
        ("host=h user=u password=p dbname=d", "h:5432 u p d prefer"),
        (
            "host = 'h' port=1 user=u password='it\\'s = a' sslmode=require",
            "h:1 u it's = a - require",
        ),
        ("host=h user=u password=a\\ b", "h:5432 u a b - prefer"),
    ] {
        assert_eq!(line(LoginServer::Postgres, text), expected, "{text}");
    }
    let target = |text: &str| read(LoginServer::Postgres, text).unwrap();
    assert!(target("postgres://u@h/d?target_session_attrs=read-write").wants_primary);
    assert!(target("jdbc:postgresql://h/d?user=u&targetServerType=primary").wants_primary);
    assert!(!target("postgres://u@h/d?target_session_attrs=any").wants_primary);
    let options = target("postgres://u@h/d?options=-c%20search_path%3Da").options;
    assert_eq!(options.as_deref(), Some("-c search_path=a"));
}

#[test]
fn what_no_postgres_url_is_and_what_cannot_be_told() {
    let invalid = UrlError::Invalid;
    let unsupported = UrlError::Unsupported;
    for (text, expected) in [
        ("", invalid("it has no scheme")),
        ("hunter2", invalid("it has no scheme")),
        ("://u:p@h/d", invalid("it has no scheme")),
        ("mysql://u:p@h/d", invalid("its scheme is not postgresql")),
        ("host=h Password", invalid("it is neither a URL nor a list of name=value")),
        ("password='a", invalid("it is neither a URL nor a list of name=value")),
        ("postgres://u:p@/d", unsupported("it names no host")),
        ("postgres://u:p@%2Fvar%2Frun/d", unsupported("it names a Unix socket")),
        ("postgres://u:p@/d?host=/var/run", unsupported("it names a Unix socket")),
        ("postgres://h/d", unsupported("it names no user")),
        ("postgres://u:p@h/d?sslmode=maybe", unsupported("it has an unknown sslmode")),
        ("postgres://u:p@h/d?sslcert=/a&sslkey=/b", unsupported("it names a client certificate")),
        ("postgres://u:p@h/d?channel_binding=require", unsupported("it requires channel binding")),
        (
            "postgres://u:p@h/d?sslrootcert=ca.pem",
            unsupported("it names a CA that is not the path of a file"),
        ),
        ("postgres://u:p@h:x/d", unsupported("it has a port that is no number from 1 to 65535")),
        ("postgres://u:a%zz@h/d", unsupported("it has a % that is not percent-encoded, as %25")),
        ("postgres://u:%ff@h/d", unsupported("a part of it is not UTF-8 text")),
        ("postgres://u:p\t@h/d", unsupported("it has a control character")),
        (
            "postgres://u:p@h ost/d",
            unsupported("it has a host that is neither a name nor an address"),
        ),
    ] {
        assert_eq!(read(LoginServer::Postgres, text).err(), Some(expected), "{text}");
    }
    let not_text = parse(LoginServer::Postgres, &Redacted::from([0xff].as_slice()));
    assert_eq!(not_text.err(), Some(invalid("it is not UTF-8 text")));
}

#[test]
fn the_forms_of_a_mysql_url() {
    for (text, expected) in [
        ("mysql://u:p@h/d", "h:3306 u p d prefer"),
        ("mariadb://u:p@h:1", "h:1 u p - prefer"),
        ("mysql+pymysql://u:p@h/d?charset=utf8mb4", "h:3306 u p d prefer"),
        ("jdbc:mariadb://a,b:2/d?user=u&password=p", "a:3306 b:2 u p d prefer"),
        ("mysql://u:p@h/d?ssl-mode=DISABLED", "h:3306 u p d plain"),
        ("mysql://u:p@h/d?ssl_mode=required", "h:3306 u p d require"),
        ("mysql://u:p@h/d?sslMode=VERIFY_CA&ssl-ca=/ca", "h:3306 u p d ca /ca"),
        ("mysql://u:p@h/d?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca", "h:3306 u p d full /ca"),
        ("jdbc:mariadb://h/d?user=u&sslMode=trust", "h:3306 u  d require"),
        ("jdbc:mariadb://h/d?user=u&sslMode=verify-full&serverSslCert=/ca", "h:3306 u  d full /ca"),
        ("mysql://u:p@h/d?ssl_ca=/ca", "h:3306 u p d ca /ca"),
        ("mysql://u:p@h/d?tls=true", "h:3306 u p d full"),
        ("mysql://u:p@h/d?tls=skip-verify", "h:3306 u p d require"),
        ("mysql://u:p@h/d?ssl=false", "h:3306 u p d plain"),
        ("jdbc:mysql://h/d?user=u&useSSL=true", "h:3306 u  d require"),
        ("jdbc:mysql://h/d?user=u&useSSL=true&verifyServerCertificate=true", "h:3306 u  d ca"),
    ] {
        assert_eq!(line(LoginServer::Mysql, text), expected, "{text}");
    }
    for (text, expected) in [
        ("postgres://u:p@h/d", UrlError::Invalid("its scheme is not mysql or mariadb")),
        ("u:p@tcp(h:1)/d", UrlError::Invalid("it has no scheme")),
        ("mysql://h/d", UrlError::Unsupported("it names no user")),
        ("mysql://u:p@h/d?tls=custom", UrlError::Unsupported("it has an unknown word for TLS")),
        ("mysql://u:p@h/d?unix_socket=/s", UrlError::Unsupported("it names a Unix socket")),
        ("mysql://u:p@h/d?ssl-cert=/c", UrlError::Unsupported("it names a client certificate")),
    ] {
        assert_eq!(read(LoginServer::Mysql, text).err(), Some(expected), "{text}");
    }
}

#[test]
fn the_forms_of_a_redis_url() {
    for (text, expected) in [
        ("redis://h", "h:6379   - plain"),
        ("redis://:p@h:1/2", "h:1  p 2 plain"),
        ("redis://u:p@h/0", "h:6379 u p 0 plain"),
        ("redis://p@h", "h:6379  p - plain"),
        ("valkey://u:p@h?db=3", "h:6379 u p 3 plain"),
        ("redis://h?username=u&password=p", "h:6379 u p - plain"),
        ("rediss://u:p@h", "h:6379 u p - full"),
        ("valkeys://u:p@h", "h:6379 u p - full"),
        ("redis://u:p@h?ssl=true", "h:6379 u p - full"),
        ("rediss://u:p@h?ssl_ca_certs=/ca", "h:6379 u p - full /ca"),
        ("rediss://u:p@h?ssl_ca_certs=/ca&ssl_check_hostname=False", "h:6379 u p - ca /ca"),
        ("rediss://u:p@h?ssl_cert_reqs=CERT_NONE", "h:6379 u p - require"),
        ("rediss://u:p@h?verifyPeer=NONE", "h:6379 u p - require"),
        ("rediss://u:p@h/1#insecure", "h:6379 u p 1 require"),
        ("redis://u:p@a,b:2", "a:6379 b:2 u p - plain"),
    ] {
        assert_eq!(line(LoginServer::Redis, text), expected, "{text}");
    }
    for (text, expected) in [
        ("hunter2", UrlError::Invalid("it has no scheme")),
        ("https://u:p@h", UrlError::Invalid("its scheme is not redis or rediss")),
        ("unix:///run/redis.sock", UrlError::Unsupported("it names a Unix socket")),
        ("redis-socket:///s", UrlError::Unsupported("it names a Unix socket")),
        ("redis-sentinel://h/0#m", UrlError::Unsupported("it asks a Sentinel for the server")),
        ("redis://u:p@h/x", UrlError::Unsupported("its database is not a number")),
        ("redis://u:p@", UrlError::Unsupported("it names no host")),
    ] {
        assert_eq!(read(LoginServer::Redis, text).err(), Some(expected), "{text}");
    }
}

#[test]
fn a_password_with_a_separator_is_never_taken_for_a_host() {
    for text in [
        "postgres://u:12/3@h/d",
        "postgres://u:12#3@h/d",
        "postgres://u:12?3@h/d",
        "postgres://u:12?a=3@h/d",
        "postgres://u:12/3?4#5@h/d",
    ] {
        let error = read(LoginServer::Postgres, text).err().unwrap();
        assert!(error.to_string().contains("not percent-encoded"), "{text}: {error}");
    }
}

proptest! {
    /// Encoded as every library accepts it, each user and each password is read as it is.
    #[test]
    fn encoded_parts_are_read_as_they_are(user in "[^\u{0}]{1,20}", password: String) {
        let encode = |text: &str| -> String {
            text.bytes().map(|byte| format!("%{byte:02X}")).collect()
        };
        let url = format!("postgres://{}:{}@h:1/d", encode(&user), encode(&password));
        let target = read(LoginServer::Postgres, &url).unwrap();
        prop_assert_eq!(target.user, user);
        prop_assert_eq!(target.password.expose(), password.as_bytes());
    }

    #[test]
    fn no_text_panics_or_is_quoted(text in "(postgres://)?[a-z0-9%:@/?#=&,\\[\\] '\\\\.-]{0,60}") {
        if let Err(error) = read(LoginServer::Postgres, &text) {
            let (UrlError::Invalid(reason) | UrlError::Unsupported(reason)) = error;
            prop_assert_eq!(error.to_string(), format!("read URL: {reason}"));
        }
    }
}
