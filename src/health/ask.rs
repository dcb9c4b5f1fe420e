//! One check over a socket.
//!
//! It ends as an ordinary client does: the gateway ends its side, reads what is left, and closes
//! when the server has. A reset would be a line in the log of many a server.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use hyper::{Method, StatusCode};
use rustls::AlertDescription;
use rustls::pki_types::ServerName as PkiName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::duration;
use crate::net::dial::{DialError, dial};
use crate::net::http::{self, HttpError};
use crate::preface::inquiry::{Inquiry, InquiryStep};
use crate::preface::{Initiator, InitiatorStep, of};
use crate::proxy_protocol::{self, Tlvs, Version};
use crate::stats::{CloseReason, Detail};
use crate::tls::config::unverified;
use crate::tls::{TlsMode, error};
use crate::upstream::{BackendAddr, Check, CheckFailure, HttpPath, Speak};

/// Time for a server to close after the gateway has ended its side.
const GOODBYE: Duration = Duration::from_secs(1);

/// The most bytes read meanwhile.
const MAX_REST: usize = 64 * 1024;

/// A check that failed, or that could not be made.
enum Failure {
    /// The backend's fault.
    Backend(CloseReason, String),
    /// This machine has run out of descriptors, memory or threads.
    Own,
}

/// Makes a check, and returns its result when the connection is closed, and the time at which it was
/// known; no result where this machine is at fault.
pub(super) async fn ask(
    check: &Check,
    limit: Duration,
) -> (Option<Result<(), CheckFailure>>, Instant) {
    let deadline = Instant::now() + limit;
    let mut stage = Stage::default();
    let mut ended = None;
    let asked = match timeout_at(deadline, reach(check, &mut stage)).await {
        Ok(Ok(server)) => {
            ended = server;
            Ok(())
        }
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(stage.timed_out(limit)),
    };
    let known = Instant::now();
    if let Some(server) = ended {
        let _ = timeout(GOODBYE, say_goodbye(server)).await;
    }
    let result = match asked {
        Ok(()) => Some(Ok(())),
        Err(Failure::Own) => None,
        Err(Failure::Backend(reason, detail)) => Some(Err(CheckFailure {
            reason: reason.index(),
            detail: Detail::from(detail).as_str().into(),
        })),
    };
    (result, known)
}

/// A stream to a server.
trait Server: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Server for S {}

/// The stage at which a check is.
#[derive(Default)]
struct Stage {
    connected: bool,
}

impl Stage {
    fn timed_out(&self, limit: Duration) -> Failure {
        let limit = duration::written(limit);
        if self.connected {
            let words = format!("it accepts and did not answer within {limit}");
            return Failure::Backend(CloseReason::BackendSilent, words);
        }
        let words = format!("no connection within {limit}");
        Failure::Backend(CloseReason::BackendUnreachable, words)
    }
}

/// Asks; gives what is to be closed.
async fn reach(check: &Check, stage: &mut Stage) -> Result<Option<Box<dyn Server>>, Failure> {
    if let Some(http) = &check.http {
        ask_http(&check.addr, http).await?;
    }
    let Some(speak) = check.speak else {
        return Ok(None);
    };
    let (mut tcp, _) = dial(&check.addr, &mut false)
        .await
        .map_err(|e| unreachable(&e))?;
    stage.connected = true;
    if let Some(version) = check.proxy {
        send_header(&mut tcp, version)
            .await
            .map_err(|e| broken(&e))?;
    }
    let server: Box<dyn Server> = match speak {
        Speak::Tcp => Box::new(tcp),
        Speak::Tls(protocol) => {
            start_tls(&mut tcp, of(protocol).initiator(TlsMode::Reencrypt, None)).await?;
            match tls(tcp, &check.addr).await? {
                Some(stream) => stream,
                None => return Ok(None),
            }
        }
        Speak::Protocol(protocol, false) => {
            let mut server: Box<dyn Server> = Box::new(tcp);
            inquire(&mut server, Inquiry::new(protocol)).await?;
            server
        }
        Speak::Protocol(protocol, true) => {
            let Some(mut server) = tls(tcp, &check.addr).await? else {
                return Ok(None);
            };
            inquire(&mut server, Inquiry::new(protocol)).await?;
            server
        }
    };
    Ok(Some(server))
}

async fn ask_http(addr: &BackendAddr, http: &HttpPath) -> Result<(), Failure> {
    let service = addr.with_port(http.port);
    match http::request(Method::GET, &service, &http.path).await {
        Ok(StatusCode::OK) => Ok(()),
        Ok(status) => Err(Failure::Backend(
            CloseReason::BackendBadReply,
            format!("http://{service}{} answers {}", http.path, status.as_u16()),
        )),
        Err(HttpError::Dial(error)) => Err(match unreachable(&error) {
            Failure::Backend(reason, words) => {
                Failure::Backend(reason, format!("http://{service}: {words}"))
            }
            Failure::Own => Failure::Own,
        }),
        Err(error) => Err(Failure::Backend(
            CloseReason::BackendBadReply,
            format!("http://{service}: {error}"),
        )),
    }
}

async fn send_header(tcp: &mut TcpStream, version: Version) -> io::Result<()> {
    let header = proxy_protocol::write(version, None, &Tlvs::default());
    tcp.write_all(&header).await
}

/// Runs what comes before TLS.
async fn start_tls(tcp: &mut TcpStream, mut before: impl Initiator) -> Result<(), Failure> {
    let mut input = BytesMut::new();
    loop {
        match before.advance(&input) {
            Ok(InitiatorStep::StartTls | InitiatorStep::Ready(_)) => return Ok(()),
            Ok(InitiatorStep::Send { consumed, bytes }) => {
                input.advance(consumed.min(input.len()));
                tcp.write_all(&bytes).await.map_err(|e| broken(&e))?;
            }
            Ok(InitiatorStep::NeedMore) => read(tcp, &mut input).await?,
            Err(error) => {
                return Err(Failure::Backend(CloseReason::BackendNoTls, error.message));
            }
        }
    }
}

/// Completes TLS; `None` where the server has answered with an alert: it is alive, and does not
/// like this client.
async fn tls(tcp: TcpStream, addr: &BackendAddr) -> Result<Option<Box<dyn Server>>, Failure> {
    let (Some(config), Ok(name)) = (unverified(), name(addr)) else {
        return Err(Failure::Own);
    };
    match TlsConnector::from(config).connect(name, tcp).await {
        Ok(stream) => Ok(Some(Box::new(stream))),
        Err(e) if refused_client(&e) => Ok(None),
        Err(e) => Err(tls_failed(&e)),
    }
}

fn tls_failed(e: &io::Error) -> Failure {
    let reason = match e.kind() {
        io::ErrorKind::InvalidData => CloseReason::BackendTls,
        _ => CloseReason::BackendClosedEarly,
    };
    Failure::Backend(reason, error::words(e))
}

/// True for an alert that is about the client: it sent no certificate, or not the name that the
/// server wants.
fn refused_client(e: &io::Error) -> bool {
    use AlertDescription as Alert;
    let inner = e.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        inner,
        Some(rustls::Error::AlertReceived(
            Alert::UnrecognisedName
                | Alert::AccessDenied
                | Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::HandshakeFailure
                | Alert::NoApplicationProtocol
        ))
    )
}

fn name(addr: &BackendAddr) -> Result<PkiName<'static>, rustls::pki_types::InvalidDnsNameError> {
    match addr {
        BackendAddr::Name(name, _) => PkiName::try_from(name.as_ref().to_owned()),
        BackendAddr::Ip(ip, _) => Ok(PkiName::IpAddress((*ip).into())),
        BackendAddr::Zoned(addr, _) => Ok(PkiName::from(std::net::IpAddr::from(addr.ip))),
    }
}

/// Holds the conversation of a check.
async fn inquire(server: &mut Box<dyn Server>, mut inquiry: Inquiry) -> Result<(), Failure> {
    let mut input = BytesMut::new();
    loop {
        match inquiry.advance(&input) {
            InquiryStep::NeedMore => match read(server, &mut input).await {
                // In TLS 1.3 a server refuses a client without a certificate only here.
                Err(Failure::Backend(CloseReason::BackendTls, _)) => return Ok(()),
                read => read?,
            },
            InquiryStep::Send { consumed, bytes } => {
                input.advance(consumed.min(input.len()));
                server.write_all(&bytes).await.map_err(|e| broken(&e))?;
                server.flush().await.map_err(|e| broken(&e))?;
            }
            InquiryStep::Ready(goodbye) => {
                server.write_all(goodbye).await.map_err(|e| broken(&e))?;
                server.flush().await.map_err(|e| broken(&e))?;
                return Ok(());
            }
            InquiryStep::NotReady(words) => {
                return Err(Failure::Backend(CloseReason::BackendBadReply, words));
            }
        }
    }
}

/// Reads once.
async fn read(server: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> Result<(), Failure> {
    input.reserve(1024);
    match server.read_buf(input).await {
        Ok(0) => Err(Failure::Backend(
            CloseReason::BackendClosedEarly,
            "it accepted the connection and closed it without an answer".to_owned(),
        )),
        Ok(_) => Ok(()),
        Err(e) if refused_client(&e) => {
            Err(Failure::Backend(CloseReason::BackendTls, error::words(&e)))
        }
        Err(e) => Err(broken(&e)),
    }
}

fn broken(e: &io::Error) -> Failure {
    let words = format!("the connection broke: {}", error::words(e));
    Failure::Backend(CloseReason::BackendClosedEarly, words)
}

fn unreachable(error: &DialError) -> Failure {
    match error {
        _ if error.is_exhaustion() => Failure::Own,
        DialError::Name(..) => Failure::Backend(CloseReason::BackendUnresolved, error.to_string()),
        DialError::Connect(_) => {
            Failure::Backend(CloseReason::BackendUnreachable, error.to_string())
        }
    }
}

/// Ends the gateway's side, and reads until the server ends its own.
async fn say_goodbye(mut server: Box<dyn Server>) -> io::Result<()> {
    server.shutdown().await?;
    let (mut rest, mut piece) = (MAX_REST, [0; 512]);
    while rest > 0 {
        match server.read(&mut piece).await? {
            0 => break,
            n => rest = rest.saturating_sub(n),
        }
    }
    Ok(())
}
