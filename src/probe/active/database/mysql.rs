//! MySQL and MariaDB: a login that has to fail.
//!
//! A server counts each client that hangs up before its login and blocks the address after
//! `max_connect_errors` of them, behind a gateway with all who come through it. One that fails to
//! log in is not counted there.

use tokio::io::AsyncWriteExt;
use tokio_rustls::client::TlsStream;

use super::answer::{NoAnswer, answer};
use crate::preface::mysql::{
    CLIENT_PLUGIN_AUTH, CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION, CLIENT_SSL, ErrPacket,
    Greeting, MAX_PACKET, Packet, encode,
};
use crate::probe::active::attempt::Attempt;
use crate::probe::active::handshake::Wire;
use crate::probe::active::plan::Plan;
use crate::probe::{Finding, rules};
use crate::wire::printable;

/// User of the login; it does not exist.
const USER: &[u8] = b"dbgate-probe";

/// `ER_ACCESS_DENIED_ERROR`, and the same for a login without a password.
const ACCESS_DENIED: [u16; 2] = [1045, 1698];

/// First byte of an `AuthSwitchRequest`.
const AUTH_SWITCH: u8 = 0xfe;

/// First byte of an OK packet.
const OK: u8 = 0x00;

/// The command that says goodbye.
const COM_QUIT: u8 = 0x01;

/// Of what the server can do, what is used here.
pub(in crate::probe::active) fn capabilities(greeting: &Greeting) -> u32 {
    greeting.capabilities
        & (CLIENT_PROTOCOL_41 | CLIENT_SSL | CLIENT_SECURE_CONNECTION | CLIENT_PLUGIN_AUTH)
}

pub(super) async fn ask(
    tls: &mut TlsStream<Wire>,
    plan: &Plan,
    greeting: &Greeting,
    attempt: &mut Attempt,
) -> Result<(), NoAnswer> {
    // The greeting and the SSLRequest were the packets 0 and 1.
    tls.write_all(&encode(2, &login(greeting))).await?;
    tls.flush().await?;
    let whole = |all: &[u8]| !matches!(Packet::read(all), Ok(None));
    let mut reply = answer(tls, MAX_PACKET, plan.limit, whole).await?;
    if let Ok(Some(first)) = Packet::read(&reply)
        && first.payload.first() == Some(&AUTH_SWITCH)
    {
        tls.write_all(&encode(first.seq.wrapping_add(1), b""))
            .await?;
        tls.flush().await?;
        reply = answer(tls, MAX_PACKET, plan.limit, whole).await?;
    }
    let Ok(Some(last)) = Packet::read(&reply) else {
        return Ok(());
    };
    if last.payload.first() == Some(&OK) {
        let user = USER.escape_ascii();
        let detail =
            format!("the user {user}, which does not exist, was let in without a password");
        attempt
            .findings
            .push(Finding::new(&rules::MYSQL_ANONYMOUS, detail));
        tls.write_all(&encode(0, &[COM_QUIT])).await?;
    } else if let Ok(error) = ErrPacket::parse(last.payload)
        && !ACCESS_DENIED.contains(&error.code)
    {
        let words = printable(&String::from_utf8_lossy(&error.message));
        let detail = format!("error {}: {words}", error.code);
        attempt
            .findings
            .push(Finding::new(&rules::MYSQL_AFTER_TLS, detail));
    }
    Ok(())
}

/// The payload of a response to the greeting, without a password.
fn login(greeting: &Greeting) -> Vec<u8> {
    let capabilities = capabilities(greeting) | CLIENT_SSL | CLIENT_PROTOCOL_41;
    let mut payload = capabilities.to_le_bytes().to_vec();
    payload.extend((1_u32 << 24).to_le_bytes());
    payload.push(greeting.charset);
    payload.resize(32, 0);
    payload.extend(USER);
    payload.push(0);
    payload.push(0); // the length of what proves it, or the text of it: empty in each case
    if capabilities & CLIENT_PLUGIN_AUTH != 0 {
        payload.extend(b"mysql_native_password\0");
    }
    payload
}
