//! Redis's list of its clients: one line for each, with fields `name=value`.

use std::net::{IpAddr, SocketAddr};

use contract::login_check::Sessions;

use super::CLIENT_NAME;

/// What a line says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RedisClient<'t> {
    id: u64,
    address: IpAddr,
    name: &'t str,
    /// `None` before Redis 6, where there is one user.
    user: Option<&'t str>,
}

/// The clients that have an address. Lines that are not understood are left out, as those of Unix
/// sockets.
pub(super) fn clients(list: &str) -> Vec<RedisClient<'_>> {
    let clients = list.lines().filter_map(|line| {
        let field = |name: &str| {
            let fields = line.split(' ').filter_map(|field| field.split_once('='));
            fields.filter(|(other, _)| *other == name).map(|(_, value)| value).next()
        };
        let address: SocketAddr = field("addr")?.parse().ok()?;
        Some(RedisClient {
            id: field("id")?.parse().ok()?,
            address: address.ip().to_canonical(),
            name: field("name").unwrap_or_default(),
            user: field("user"),
        })
    });
    clients.collect()
}

/// The sessions of the user and the address of client `own`, without those of checks. Those after
/// client `mark` are new.
pub(super) fn own_sessions(
    clients: &[RedisClient<'_>],
    own: u64,
    mark: u64,
    local: IpAddr,
) -> Option<Sessions> {
    let own = clients.iter().find(|client| client.id == own)?;
    let is_session = |client: &&RedisClient<'_>| {
        client.user == own.user
            && client.address == own.address
            && client.id != own.id
            && client.name != CLIENT_NAME
    };
    let sessions: Vec<_> = clients.iter().filter(is_session).collect();
    let new = sessions.iter().filter(|client| client.id > mark).count();
    Some(Sessions {
        new: new as u64,
        old: (sessions.len() - new) as u64,
        is_shared: own.address != local,
    })
}

/// The identity of a run of a server, in the answer to `INFO server`.
pub(super) fn run_id(about: &str) -> Option<&str> {
    let id = about.lines().find_map(|line| line.strip_prefix("run_id:"))?;
    Some(id.trim()).filter(|id| (1..=64).contains(&id.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
id=3 addr=10.0.0.1:40000 laddr=10.0.0.9:6379 fd=8 name= age=9 flags=N user=app lib-name=x
id=4 addr=10.0.0.1:40001 laddr=10.0.0.9:6379 fd=9 name=enclii-check age=9 user=app
id=5 addr=10.0.0.2:40002 laddr=10.0.0.9:6379 fd=9 name= age=9 user=app
id=6 addr=10.0.0.1:40003 laddr=10.0.0.9:6379 fd=9 name=worker age=9 user=default
id=7 addr=/run/redis.sock:0 fd=9 name= user=app
nonsense
id=8 addr=10.0.0.1:40004 name=worker user=app
id=9 addr=10.0.0.1:40005 name=enclii-check user=app
";

    #[test]
    fn sessions_of_the_same_user_and_address() {
        let clients = clients(LIST);
        assert_eq!(clients.len(), 6);
        let local = "10.0.0.1".parse().unwrap();
        let sessions = |own, mark, local| own_sessions(&clients, own, mark, local);
        let expected = |new, old, is_shared| Some(Sessions { new, old, is_shared });
        assert_eq!(sessions(9, 4, local), expected(1, 1, false));
        assert_eq!(sessions(9, 8, local), expected(0, 2, false));
        assert_eq!(sessions(9, 1, local), expected(2, 0, false));
        assert_eq!(sessions(9, 4, "10.1.0.1".parse().unwrap()), expected(1, 1, true));
        assert_eq!(sessions(99, 4, local), None);
    }

    #[test]
    fn the_identity_of_a_run() {
        assert_eq!(run_id("# Server\r\nredis_version:7\r\nrun_id:abc\r\n"), Some("abc"));
        assert_eq!(run_id("# Server\r\n"), None);
    }
}
