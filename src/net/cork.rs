//! Writing bytes that more follows at once, so that both leave in one packet.

use std::io;

use rustix::net::{SendFlags, send};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

/// Writes all of `bytes`. With `more` the kernel keeps them, for a fifth of a second at most, until
/// the next write (tcp(7), `MSG_MORE`).
///
/// # Errors
/// As the socket's.
pub async fn write(tcp: &mut TcpStream, bytes: &[u8], more: bool) -> io::Result<()> {
    let mut rest = bytes;
    while more && !rest.is_empty() {
        tcp.writable().await?;
        let sent = tcp.try_io(Interest::WRITABLE, || {
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            send(&*tcp, rest, flags).map_err(io::Error::from)
        });
        match sent {
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    tcp.write_all(rest).await
}
