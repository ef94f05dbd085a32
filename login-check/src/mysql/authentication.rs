//! The password's way to a MySQL server: which way, the server says.

use contract::login_check::Unreachable;
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse};
use mysql_common::proto::MySerialize as _;

use super::packets::{MAX_PACKET_BYTES, Packets, error_code};
use super::refusal;
use crate::attempt::Attempt;
use crate::failure::Failure;
use crate::stream::Bounded;

/// A version with the collation that the library then asks for.
const VERSION: (u16, u16, u16) = (5, 5, 3);

/// How many packets a server may send before it decides.
const MAX_ROUNDS: usize = 8;

const OK: u8 = 0x00;
const MORE: u8 = 0x01;
const SWITCH: u8 = 0xfe;

/// The server knew the password's hash.
const HASH_ACCEPTED: u8 = 3;
/// The server wants the password itself.
const PASSWORD_WANTED: u8 = 4;

/// The length of what the password is hashed with.
const NONCE_BYTES: usize = 20;

/// Sends user, password and database, and follows the server until it decides.
pub(super) async fn authenticate(
    packets: &mut Packets<Bounded>,
    attempt: &Attempt<'_>,
    greeting: &HandshakePacket<'_>,
    capabilities: CapabilityFlags,
    is_encrypted: bool,
) -> Result<(), Failure> {
    let target = attempt.target;
    let endpoint = attempt.endpoint;
    let broken = |error: std::io::Error| Failure::broken(&format!("log in at {endpoint}"), &error);
    let unsupported = |text: &str| Failure::unsupported(format!("{endpoint}: {text}"));
    let confused = || {
        let detail = format!("log in at {endpoint}: it does not answer like MySQL");
        Failure::unreachable(Unreachable::Protocol, detail)
    };
    let password = std::str::from_utf8(target.password.expose())
        .map_err(|_| unsupported("the password is not UTF-8 text"))?;

    let mut nonce = greeting.nonce();
    nonce.resize(NONCE_BYTES, 0);
    let mut plugin = match greeting.auth_plugin() {
        Some(AuthPlugin::CachingSha2Password) => AuthPlugin::CachingSha2Password,
        // The server asks to switch if the user has another one.
        _ => AuthPlugin::MysqlNativePassword,
    };
    let hash = plugin.gen_data(Some(password), &nonce);
    let response = HandshakeResponse::new(
        hash.as_deref(),
        VERSION,
        Some(target.user.as_bytes()),
        target.database.as_deref().map(str::as_bytes),
        Some(plugin.borrow()),
        capabilities,
        None,
        MAX_PACKET_BYTES,
    );
    packets.write_packet(&response).await.map_err(broken)?;

    for _ in 0..MAX_ROUNDS {
        let packet = packets.read().await.map_err(broken)?;
        if let Some(code) = error_code(&packet) {
            return Err(refusal::of_code(endpoint, code));
        }
        match packet.as_slice() {
            [OK, ..] => return Ok(()),
            [SWITCH] => return Err(unsupported("it wants the password in its oldest form")),
            [SWITCH, ..] => {
                let request =
                    ParseBuf(&packet).parse::<AuthSwitchRequest<'_>>(()).map_err(|_| confused())?;
                plugin = request.auth_plugin().into_owned();
                if !is_known(&plugin) {
                    return Err(unsupported("its way to log in is unknown to this program"));
                }
                let nonce = request.plugin_data();
                let mut data = Vec::new();
                if let Some(hash) = plugin.gen_data(Some(password), nonce) {
                    hash.serialize(&mut data);
                }
                packets.write(&data).await.map_err(broken)?;
            }
            [MORE, HASH_ACCEPTED] => {}
            [MORE, PASSWORD_WANTED] if !is_encrypted => {
                // The server would send a key for it, which could be anybody's.
                return Err(unsupported("it wants the password itself, and there is no TLS"));
            }
            [MORE, PASSWORD_WANTED] => {
                let mut data = target.password.expose().to_vec();
                data.push(0);
                packets.write(&data).await.map_err(broken)?;
            }
            _ => return Err(confused()),
        }
    }
    Err(confused())
}

fn is_known(plugin: &AuthPlugin<'_>) -> bool {
    matches!(plugin, AuthPlugin::CachingSha2Password | AuthPlugin::MysqlNativePassword)
}
