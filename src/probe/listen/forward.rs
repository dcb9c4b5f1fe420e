//! Passes a connection on byte for byte and listens in.
//!
//! The real server answers; nothing is played and nothing is changed. How one side ends is passed
//! on as well, a reset as a reset.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Notify;

use super::Visit;
use super::heard::Heard;
use crate::probe::active::{Host, reach};
use crate::probe::exchange::{End, Side};
use crate::probe::facts;
use crate::probe::report::Finding;
use crate::probe::tap::Recording;

/// Bytes that are on their way at most, in each direction.
const BUFFER: usize = 16 * 1024;

/// How often it is asked whether a handshake is over; real ones take a dozen messages.
const MAX_LOOKS: usize = 128;

/// Connects to the server, moves bytes until both sides have ended, and tells what was heard.
///
/// Tells it once before that: when the handshake is over.
pub(super) async fn forward(visit: &Visit, tcp: TcpStream, host: &Host, port: u16) -> Heard {
    let server = match connect(host, port, visit.shared.settings.patience).await {
        Ok(server) => server,
        Err(finding) => {
            drop(tcp);
            visit.recording.end(Side::Server, End::Closed);
            visit.recording.finish();
            let mut heard = Heard::of(visit);
            heard.unreachable(finding);
            return heard;
        }
    };
    let address = server.peer_addr().ok();
    let progress = Arc::new(Notify::new());
    let told = {
        let relay = relay(tcp, server, &visit.recording, &progress);
        tokio::pin!(relay);
        let known = known(visit, &progress);
        tokio::select! {
            biased;
            () = known => {
                let mut heard = Heard::of(visit);
                heard.forwarded_to = address;
                let code = heard.report.code.clone();
                let _ = visit.shared.heard.send(heard).await;
                relay.await;
                Some(code)
            }
            () = &mut relay => None,
        }
    };
    visit.recording.finish();
    let mut heard = Heard::of(visit);
    heard.forwarded_to = address;
    heard.told = told;
    heard
}

async fn connect(host: &Host, port: u16, patience: Duration) -> Result<TcpStream, Finding> {
    let (addresses, _) = reach::resolve(host, port, patience).await?;
    let mut last = None;
    for address in addresses {
        match reach::connect(address, patience).await {
            Ok((server, _)) => return Ok(server),
            Err(finding) => last = Some(finding),
        }
    }
    Err(last.unwrap_or_else(|| Finding::new(&crate::probe::rules::DNS_FAILED, "no address")))
}

/// Waits until the bytes tell how the handshake went; for ever when they do not.
async fn known(visit: &Visit, progress: &Notify) {
    for _ in 0..MAX_LOOKS {
        progress.notified().await;
        let facts = facts::read(&visit.recording.exchange(), visit.shared.settings.hint);
        if facts.established || facts.plaintext_answer.is_some() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Moves what each side says to the other until both have ended, or one is gone.
async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    recording: &Recording,
    progress: &Notify,
) {
    let moved = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pump(from_client, to_server, Side::Client, recording, progress);
        let down = pump(from_server, to_client, Side::Server, recording, progress);
        tokio::try_join!(up, down)
    };
    if moved.is_err() {
        // Neither end may take what was cut off for an end in good order.
        for stream in [&client, &server] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Moves what one side says until it ends.
///
/// # Errors
/// One of the two is gone.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    side: Side,
    recording: &Recording,
    progress: &Notify,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => {
                recording.end(side, End::Closed);
                // The other end may have ended its side already.
                let _ = to.shutdown().await;
                return Ok(());
            }
            Ok(n) => {
                let bytes = buffer.get(..n).unwrap_or(&buffer);
                recording.push(side, bytes);
                progress.notify_one();
                to.write_all(bytes).await?;
            }
            Err(error) => {
                recording.end(side, End::Reset);
                return Err(error);
            }
        }
    }
}
