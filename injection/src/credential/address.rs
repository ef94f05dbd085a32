//! Addresses: `scheme://user:password@host/path?parameters`, one or several in a text.

use super::value::{is_literal_password, is_one_of, is_random, is_varied};

struct Address<'t> {
    scheme: &'t str,
    /// Everything after `://`, up to a space, a quote or the next address.
    rest: &'t str,
}

fn addresses(text: &str) -> impl Iterator<Item = Address<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + text.get(from..)?.find("://")?;
            let scheme = &text[start_of_scheme(text, from, at)..at];
            let mut rest = &text[at + 3..];
            // The next address first: what is looked at for a space is not looked at again.
            if let Some(next) = rest.find("://") {
                rest = rest[..start_of_scheme(rest, 0, next)].trim_end_matches([',', ';', '|']);
            }
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`'));
            rest = &rest[..end.unwrap_or(rest.len())];
            from = at + 3 + rest.len();
            if scheme.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) {
                return Some(Address { scheme, rest });
            }
        }
    })
}

/// Where the scheme begins that ends at `end`.
fn start_of_scheme(text: &str, from: usize, end: usize) -> usize {
    let is_in = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b':');
    // A scheme is short; the bound keeps the whole scan linear.
    let from = from.max(end.saturating_sub(64));
    end - text.as_bytes()[from..end].iter().rev().take_while(|b| is_in(b)).count()
}

/// A literal password before the host or among the parameters.
pub(super) fn password(text: &str) -> bool {
    addresses(text).any(|address| has_user_password(&address) || has_password_parameter(&address))
        || oracle(text)
}

fn has_user_password(Address { scheme, rest }: &Address<'_>) -> bool {
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    // The last '@' ends the user part: a password may hold an unescaped '@', a host may not.
    if let Some((user_part, host)) = authority.rsplit_once('@') {
        return user_part
            .split_once(':')
            .is_some_and(|(user, password)| is_login(scheme, user, password, host));
    }
    // A password may hold an unescaped '/', '?' or '#' too. After a host there is a port.
    let Some((user, begin)) = authority.split_once(':') else { return false };
    let is_port = begin.bytes().all(|b| b.is_ascii_digit());
    let whole = &rest[user.len() + 1..];
    !is_port
        && whole.rsplit_once('@').is_some_and(|(password, tail)| {
            let host = &tail[..tail.find(['/', '?', '#']).unwrap_or(tail.len())];
            is_host(host) && is_login(scheme, user, password, host)
        })
}

fn is_login(scheme: &str, user: &str, password: &str, host: &str) -> bool {
    let is_image_digest = host.starts_with("sha256:") || host.starts_with("sha512:");
    let is_port = password.len() <= 5
        && password.bytes().all(|b| b.is_ascii_digit())
        && is_one_of(scheme, &["ssh", "git", "git+ssh", "sftp", "scp"]);
    let is_sample = is_one_of(user, &["user", "username"])
        && is_one_of(password, &["password", "pass", "passwd", "pwd"])
        && (host.contains("example.") || host.eq_ignore_ascii_case("host"));
    !host.is_empty() && !is_image_digest && !is_port && !is_sample && is_literal_password(password)
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:,_".contains(&b))
        && !host.starts_with("sha256:")
}

fn has_password_parameter(address: &Address<'_>) -> bool {
    parameters(address).any(|(key, value)| {
        is_one_of(key, &["password", "pwd", "passwd", "sslpassword", "trustStorePassword"])
            && is_literal_password(value)
    })
}

fn parameters<'t>(address: &Address<'t>) -> impl Iterator<Item = (&'t str, &'t str)> {
    address.rest.split(['?', '&', ';']).skip(1).filter_map(|pair| pair.split_once('='))
}

/// `jdbc:oracle:thin:user/password@…`
fn oracle(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("jdbc:oracle:") else { return false };
    let login = rest.split_once(':').and_then(|(_, rest)| rest.split_once('@'));
    login
        .and_then(|(login, _)| login.split_once('/'))
        .is_some_and(|(user, password)| !user.is_empty() && is_literal_password(password))
}

/// A signed address of Azure: `sig=` beside the version or the permissions.
pub(super) fn signature(text: &str) -> bool {
    const LONGEST: usize = 200;
    let is_azure = ["sv=", "sp=", "sr="].iter().any(|key| text.contains(key));
    is_azure
        && text.match_indices("sig=").any(|(at, _)| {
            let rest = &text[at + 4..];
            let is_parameter = text[..at].ends_with(['?', '&', ';']);
            let is_in = |b: &u8| b.is_ascii_alphanumeric() || b"%+/=_-".contains(b);
            let length = || rest.bytes().take(LONGEST).take_while(is_in).count();
            is_parameter && (40..LONGEST).contains(&length()) && is_varied(&rest[..length()], true)
        })
}

/// An incoming webhook of Microsoft Teams.
pub(super) fn teams(text: &str) -> bool {
    text.split_once(".webhook.office.com/webhookb2/").is_some_and(|(_, path)| {
        path.split_once("/IncomingWebhook/").is_some_and(|(_, key)| {
            key.len() >= 32 && key.bytes().take(32).all(|byte| byte.is_ascii_hexdigit())
        })
    })
}

/// A random text as the user or a parameter.
pub(super) fn token(text: &str) -> bool {
    const KEYS: &[&str] =
        &["token", "access_token", "api_key", "apikey", "api-key", "auth", "secret", "key"];
    addresses(text).any(|address| {
        let authority =
            &address.rest[..address.rest.find(['/', '?', '#']).unwrap_or(address.rest.len())];
        let has_user = authority
            .rsplit_once('@')
            .is_some_and(|(user, host)| !host.is_empty() && user.len() >= 20 && is_random(user));
        has_user
            || parameters(&address).any(|(key, value)| is_one_of(key, KEYS) && is_random(value))
    })
}
