//! PostgreSQL's URL: what it may say, and that it never sends the password in clear.
//!
//! The driver fills in what a URL leaves open from `PG…` variables, a password file and defaults,
//! one of which (`sslmode=prefer`) sends the password in clear to a server that declines TLS. So
//! the URL is read here, and written again with everything in it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use contract::Redacted;
use url::{Host, Url};
use zeroize::Zeroizing;

/// The variables that the driver reads although the URL is complete, each with the parameter that
/// says the same.
const VARIABLES: [(&str, &str); 4] = [
    ("PGOPTIONS", "options"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLROOTCERT", "sslrootcert"),
];

/// The port of PostgreSQL.
const DEFAULT_PORT: &str = "5432";

/// What the server calls our sessions.
const APPLICATION_NAME: &str = "enclii-switchyard";

/// The parameters that are known, each with the driver's other spellings.
const PARAMETERS: [(&str, &[&str]); 11] = [
    ("sslmode", &["ssl-mode"]),
    ("sslrootcert", &["ssl-root-cert", "ssl-ca"]),
    ("sslcert", &["ssl-cert"]),
    ("sslkey", &["ssl-key"]),
    ("host", &["hostaddr"]),
    ("port", &[]),
    ("dbname", &[]),
    ("user", &[]),
    ("password", &[]),
    ("options", &[]),
    ("application_name", &[]),
];

/// Why a URL is refused. Never quotes what may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    /// It is not a PostgreSQL URL.
    #[error("read database URL: it must be of the form postgres://USER@HOST:PORT/NAME")]
    Form,
    /// A parameter is not known. It may be a piece of a password with an unescaped `&`.
    #[error(
        "read database URL: a parameter after '?' is not known; known are sslmode, sslrootcert, \
         sslcert, sslkey, host, port, dbname, user, password, options and application_name, and \
         other characters than letters and digits of a password are written as %XX"
    )]
    UnknownParameter,
    /// A parameter is given twice, or beside the part of the URL that says the same.
    #[error("read database URL: it gives {0} twice")]
    Twice(&'static str),
    /// The value of `sslmode` is not one.
    #[error(
        "read database URL: sslmode={0} is not known; write sslmode=verify-full, or for a server \
         on a loopback address or a Unix socket also prefer or disable"
    )]
    UnknownMode(String),
    /// The connection would not be verified, and somebody on the way could read the password.
    #[error(
        "read database URL: {host} is not a loopback address, so somebody on the way could take \
         the server's place and read the password: add sslmode=verify-full and sslrootcert=FILE \
         with the CA of the server's certificate ({found} does not verify the server; without a \
         network in between write 127.0.0.1, [::1] or host=DIRECTORY of a Unix socket)"
    )]
    Unverified {
        /// The host.
        host: String,
        /// What the URL says.
        found: String,
    },
    /// A CA is missing.
    #[error(
        "read database URL: sslmode=verify-full needs sslrootcert=FILE with the CA of the server's \
         certificate"
    )]
    NoCa,
    /// A client certificate without its key, or the other way round.
    #[error("read database URL: sslcert and sslkey must be given together")]
    HalfCertificate,
    /// A variable would change the connection.
    #[error(
        "read database URL: the variable {0} would change the connection; unset it and write \
         {1}=… into the URL"
    )]
    Variable(&'static str, &'static str),
}

/// The URL with everything in it that the driver would else take from elsewhere. `is_set` says
/// whether a variable is in the environment.
pub(super) fn complete(
    address: &Redacted,
    is_set: impl Fn(&'static str) -> bool,
) -> Result<Redacted, PostgresUrlError> {
    let text = std::str::from_utf8(address.expose()).map_err(|_| PostgresUrlError::Form)?;
    let url: Url = text.trim().parse().map_err(|_| PostgresUrlError::Form)?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(PostgresUrlError::Form);
    }
    let mut parts = Parts::read(&url)?;
    parts.check_tls()?;
    let changed = |(variable, parameter): &&(&'static str, &'static str)| {
        // The driver appends the URL's options to the variable's.
        is_set(variable) && (*parameter == "options" || parts.get(parameter).is_none())
    };
    match VARIABLES.iter().find(changed) {
        Some((variable, parameter)) => Err(PostgresUrlError::Variable(variable, parameter)),
        None => Ok(parts.write(&url)),
    }
}

/// The parts of a URL, by the names of its parameters. A user and a password before the host stay
/// in the URL.
struct Parts(BTreeMap<&'static str, Zeroizing<String>>);

impl Parts {
    fn read(url: &Url) -> Result<Self, PostgresUrlError> {
        let mut parts = Self(BTreeMap::new());
        for (key, value) in url.query_pairs() {
            let known = PARAMETERS
                .iter()
                .find(|(name, others)| *name == key || others.iter().any(|other| *other == key));
            let (name, _) = known.ok_or(PostgresUrlError::UnknownParameter)?;
            parts.add(name, value.into_owned())?;
        }
        match url.host() {
            // The driver reads a path, escaped, as the directory of a socket.
            Some(Host::Domain(name)) if !name.is_empty() => {
                let is_path = name.get(..3).is_some_and(|it| it.eq_ignore_ascii_case("%2f"));
                let path = || name.replace("%2F", "/").replace("%2f", "/");
                parts.add("host", if is_path { path() } else { name.to_owned() })?;
            }
            Some(Host::Ipv4(ip)) => parts.add("host", ip.to_string())?,
            Some(Host::Ipv6(ip)) => parts.add("host", ip.to_string())?,
            _ => {}
        }
        if let Some(port) = url.port() {
            parts.add("port", port.to_string())?;
        }
        let taken = [("user", !url.username().is_empty()), ("password", url.password().is_some())];
        for (name, is_taken) in taken {
            if is_taken && parts.0.contains_key(name) {
                return Err(PostgresUrlError::Twice(name));
            }
        }
        let has_user = !url.username().is_empty() || parts.0.contains_key("user");
        let has_database =
            !url.path().trim_start_matches('/').is_empty() || parts.0.contains_key("dbname");
        if parts.0.contains_key("host") && has_user && has_database && url.fragment().is_none() {
            Ok(parts)
        } else {
            Err(PostgresUrlError::Form)
        }
    }

    fn add(&mut self, name: &'static str, value: String) -> Result<(), PostgresUrlError> {
        match self.0.insert(name, Zeroizing::new(value)) {
            None => Ok(()),
            Some(_) => Err(PostgresUrlError::Twice(name)),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    /// Refuses every connection on which the server could be another one than the URL means.
    fn check_tls(&mut self) -> Result<(), PostgresUrlError> {
        if self.get("sslcert").is_some() != self.get("sslkey").is_some() {
            return Err(PostgresUrlError::HalfCertificate);
        }
        let host = self.get("host").unwrap_or_default();
        let found = self.get("sslmode");
        let mode = found.map(str::to_ascii_lowercase);
        match mode.as_deref() {
            Some("verify-full") if host.starts_with('/') => {}
            Some("verify-full") if self.get("sslrootcert").is_none() => {
                return Err(PostgresUrlError::NoCa);
            }
            Some("verify-full") => {}
            None | Some("disable" | "allow" | "prefer" | "require" | "verify-ca") => {
                if !is_this_machine(host) {
                    let found = match found {
                        Some(mode) => format!("sslmode={mode}"),
                        None => "the default".to_owned(),
                    };
                    return Err(PostgresUrlError::Unverified { host: printable(host), found });
                }
            }
            Some(other) => return Err(PostgresUrlError::UnknownMode(printable(other))),
        }
        self.0.entry("sslmode").or_insert_with(|| Zeroizing::new("prefer".to_owned()));
        Ok(())
    }

    /// The URL with every part in it.
    fn write(mut self, url: &Url) -> Redacted {
        let mut whole = Url::clone(url);
        whole.set_query(None);
        // An empty password keeps the driver from `PGPASSWORD` and the password file.
        if url.password().is_none() {
            self.0.entry("password").or_default();
        }
        for (name, default) in [("port", DEFAULT_PORT), ("application_name", APPLICATION_NAME)] {
            self.0.entry(name).or_insert_with(|| Zeroizing::new(default.to_owned()));
        }
        {
            let mut query = whole.query_pairs_mut();
            for (name, value) in &self.0 {
                query.append_pair(name, value);
            }
        }
        Redacted::new(String::from(whole).into_bytes())
    }
}

/// Whether a connection to the host stays on this machine. A name does not say so: `localhost` is
/// what a name server or a file makes of it.
fn is_this_machine(host: &str) -> bool {
    host.starts_with('/')
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn printable(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(text: &str) -> Result<String, PostgresUrlError> {
        complete_with(text, &[])
    }

    fn complete_with(text: &str, variables: &[&str]) -> Result<String, PostgresUrlError> {
        super::complete(&Redacted::from(text.as_bytes()), |name| variables.contains(&name))
            .map(|url| String::from_utf8(url.expose().to_vec()).unwrap())
    }

    #[test]
    fn only_a_verified_connection_leaves_the_machine() {
        let weak = ["", "?sslmode=disable", "?sslmode=allow", "?sslmode=prefer"];
        let weak =
            weak.into_iter().chain(["?sslmode=require", "?ssl-mode=verify-ca", "?sslmode=Prefer"]);
        for query in weak {
            for host in
                ["db.example", "localhost", "10.0.0.1", "127.1", "2130706433", "[fe80::1]", "[::]"]
            {
                let text = format!("postgres://u:hunter2@{host}:5432/d{query}");
                let error = complete(&text).unwrap_err();
                assert!(matches!(error, PostgresUrlError::Unverified { .. }), "{text}: {error}");
                let message = error.to_string();
                assert!(message.contains("sslmode=verify-full and sslrootcert="), "{message}");
                assert!(!message.contains("hunter2"), "{message}");
            }
            for host in ["127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]", "%2Frun%2Fpg"] {
                let text = format!("postgres://u:hunter2@{host}:5432/d{query}");
                assert!(complete(&text).is_ok(), "{text}");
            }
        }
        assert!(complete("postgres:///d?user=u&host=/run/postgresql").is_ok());
        // A parameter may not send the connection elsewhere than the host that was checked.
        for text in [
            "postgres://u@127.0.0.1/d?host=db.example",
            "postgres://u@127.0.0.1/d?hostaddr=10.0.0.1",
            "postgres://u@127.0.0.1/d?host=127.0.0.1&host=db.example",
            "postgres://u@127.0.0.1/d?sslmode=prefer&ssl-mode=disable",
        ] {
            assert!(matches!(complete(text), Err(PostgresUrlError::Twice(_))), "{text}");
        }
    }

    #[test]
    fn a_verified_connection_needs_a_ca() {
        let text = "postgres://u:p@db.example:5432/d?sslmode=verify-full";
        assert_eq!(complete(text), Err(PostgresUrlError::NoCa));
        assert!(complete(&format!("{text}&sslrootcert=/ca.crt")).is_ok());
        assert!(complete(&format!("{text}&ssl-root-cert=/ca.crt")).is_ok());
        assert_eq!(
            complete(&format!("{text}&sslrootcert=/ca.crt&sslcert=/x")),
            Err(PostgresUrlError::HalfCertificate)
        );
    }

    #[test]
    fn nothing_is_left_to_the_environment() {
        assert_eq!(
            complete("postgres://u@[::1]/d").unwrap(),
            "postgres://u@[::1]/d?application_name=enclii-switchyard&host=%3A%3A1&password=&\
             port=5432&sslmode=prefer"
        );
        assert_eq!(
            complete(" postgresql://u:p%40@h/d?sslmode=verify-full&sslrootcert=/ca&port=1\n")
                .unwrap(),
            "postgresql://u:p%40@h/d?application_name=enclii-switchyard&host=h&port=1&\
             sslmode=verify-full&sslrootcert=%2Fca"
        );
        for variable in ["PGOPTIONS", "PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT"] {
            let error = complete_with("postgres://u:p@127.0.0.1/d", &[variable]).unwrap_err();
            assert!(error.to_string().contains(variable), "{error}");
        }
        let full = "postgres://u:p@h/d?sslmode=verify-full&sslrootcert=/a&sslcert=/b&sslkey=/c";
        assert!(complete_with(full, &["PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT"]).is_ok());
        assert!(complete_with(full, &["PGOPTIONS"]).is_err());
        assert!(complete_with(full, &["PGSSLMODE", "PGHOST", "PGPASSWORD", "PGUSER"]).is_ok());
    }

    #[test]
    fn an_invalid_url_is_refused_and_not_quoted() {
        for text in [
            "",
            "hunter2",
            "mysql://u:hunter2@h/d",
            "https://hunter2@h",
            "host=h password=hunter2",
            "postgres://u:hunter2@127.0.0.1",
            "postgres://127.0.0.1/d?password=hunter2",
            "postgres:///d?user=u&password=hunter2",
            "postgres://u:hunter2@127.0.0.1/d#hunter2",
        ] {
            assert_eq!(complete(text), Err(PostgresUrlError::Form), "{text}");
        }
        for text in [
            "postgres://u@127.0.0.1/d?password=a&hunter2",
            "postgres://u@127.0.0.1/d?passwrod=hunter2",
        ] {
            assert_eq!(complete(text), Err(PostgresUrlError::UnknownParameter), "{text}");
        }
        let error = complete("postgres://u:hunter2@127.0.0.1/d?sslmode=verify").unwrap_err();
        assert_eq!(error, PostgresUrlError::UnknownMode("verify".to_owned()));
        assert!(!error.to_string().contains("hunter2"));
    }
}
