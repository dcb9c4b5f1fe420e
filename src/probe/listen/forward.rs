//! Forwarding of a connection, byte for byte, with a recording.
//!
//! The real server answers, and nothing is changed. How one side ends is passed
//! on as well, a reset as a reset.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};

use super::client_report::ClientReport;
use super::connection::Connection;
use crate::probe::active::{Host, reach};
use crate::probe::dissection;
use crate::probe::exchange::{Side, StreamEnd};
use crate::probe::report::Finding;
use crate::probe::tap::Recording;

/// Bytes that are on their way at most, in each direction.
const BUFFER: usize = 16 * 1024;

/// Checks for the end of a handshake; real ones take a dozen messages.
const MAX_LOOKS: usize = 128;

/// Connects to the server, relays bytes until both sides have ended, and reports on the client.
///
/// A first report is sent when the handshake is over.
pub(super) async fn forward(
    connection: &Connection,
    tcp: TcpStream,
    host: &Host,
    port: u16,
    reports: &mpsc::Sender<ClientReport>,
) -> ClientReport {
    let server = match connect(host, port, connection.shared.settings.timeout).await {
        Ok(server) => server,
        Err(finding) => {
            drop(tcp);
            connection.recording.end(Side::Server, StreamEnd::Closed);
            connection.recording.finish();
            let mut client_report = ClientReport::of(connection);
            client_report.unreachable(finding);
            return client_report;
        }
    };
    let address = server.peer_addr().ok();
    let progress = Arc::new(Notify::new());
    let reported = {
        let relay = relay(tcp, server, &connection.recording, &progress);
        tokio::pin!(relay);
        let known = known(connection, &progress);
        tokio::select! {
            biased;
            () = known => {
                let mut client_report = ClientReport::of(connection);
                client_report.forwarded_to = address;
                let code = client_report.report.code.clone();
                let _ = reports.send(client_report).await;
                relay.await;
                Some(code)
            }
            () = &mut relay => None,
        }
    };
    connection.recording.finish();
    let mut client_report = ClientReport::of(connection);
    client_report.forwarded_to = address;
    client_report.reported_code = reported;
    client_report
}

async fn connect(host: &Host, port: u16, timeout: Duration) -> Result<TcpStream, Finding> {
    let (addresses, _) = reach::resolve(host, port, timeout).await?;
    let mut last = None;
    for address in addresses {
        match reach::connect(address, timeout).await {
            Ok((server, _)) => return Ok(server),
            Err(finding) => last = Some(finding),
        }
    }
    Err(last.unwrap_or_else(|| Finding::new(&crate::probe::rules::DNS_FAILED, "no address")))
}

/// Waits until the outcome of the handshake is known; does not return if it stays unknown.
async fn known(connection: &Connection, progress: &Notify) {
    for _ in 0..MAX_LOOKS {
        progress.notified().await;
        let dissection = dissection::dissect(
            &connection.recording.exchange(),
            connection.shared.settings.hint,
        );
        if dissection.established || dissection.plaintext_answer.is_some() {
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
                recording.end(side, StreamEnd::Closed);
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
                recording.end(side, StreamEnd::Reset);
                return Err(error);
            }
        }
    }
}
