//! Clients and backends played by hand, for what no real one does: any bytes, cut anywhere.
//!
//! A test writes both sides of a story in one thread, in order; the gateway runs in between. Every
//! read has a timeout against hanging tests.

mod hello;
mod tls;

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Instant,
};

pub(crate) use hello::Hello;
use socket2::{Domain, SockRef, Socket, Type};
pub(crate) use tls::{
    TlsClient, TlsServer, first_flight, refused_tls_server, tls_client, tls_client_with, tls_server,
};

use crate::{
    certs::{Ca, Leaf},
    testbed::TIMEOUT,
};

/// The code of an `SSLRequest`; its length word is 8.
const SSL_REQUEST_CODE: u32 = 80_877_103;
const GSSENC_REQUEST_CODE: u32 = 80_877_104;
const CANCEL_REQUEST_CODE: u32 = 80_877_102;

/// The bytes of an `SSLRequest`.
pub(crate) fn ssl_request() -> Vec<u8> {
    first_message(SSL_REQUEST_CODE, &[])
}

/// The bytes of a `GSSENCRequest`.
pub(crate) fn gssenc_request() -> Vec<u8> {
    first_message(GSSENC_REQUEST_CODE, &[])
}

/// The bytes of a `CancelRequest` with a key of this many bytes.
pub(crate) fn cancel_request(key: usize) -> Vec<u8> {
    let rest: Vec<u8> = (0..4 + key).map(|i| i.to_le_bytes()[0]).collect();
    first_message(CANCEL_REQUEST_CODE, &rest)
}

/// The bytes of a `StartupMessage` of protocol 3.`minor` with these parameters.
pub(crate) fn startup(minor: u16, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parameters {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    first_message(3 << 16 | u32::from(minor), &body)
}

/// A `StartupMessage` as any client sends one.
pub(crate) fn plain_startup() -> Vec<u8> {
    startup(0, &[("user", "app"), ("database", "app")])
}

fn first_message(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + body.len()).expect("a length");
    [&length.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

/// One authority for everybody, and the certificate that the gateway shows.
pub(crate) struct Pki {
    pub(crate) ca: Ca,
    pub(crate) gateway: Leaf,
}

impl Pki {
    /// A gateway certificate that covers every name of the tests.
    pub(crate) fn new() -> Self {
        Self::with_gateway_names(&["*.example.test"])
    }

    /// A gateway certificate for these names.
    pub(crate) fn with_gateway_names(names: &[&str]) -> Self {
        let ca = Ca::new("Gateway tests");
        let gateway = ca.leaf(names);
        Self { ca, gateway }
    }

    /// The `[tls]` section.
    pub(crate) fn tls(&self) -> String {
        format!(
            "[tls]\ncert = \"{}\"\nkey = \"{}\"\n",
            self.gateway.cert_path.display(),
            self.gateway.key_path.display()
        )
    }

    /// The section of a database under the host `NAME.example.test`, without checks of its backends;
    /// in reencrypt it trusts the authority of everybody.
    pub(crate) fn database(
        &self,
        name: &str,
        protocol: &str,
        mode: &str,
        backends: &[SocketAddr],
    ) -> String {
        let backends: Vec<String> = backends.iter().map(ToString::to_string).collect();
        let trust = if mode == "reencrypt" {
            format!("backend_ca = \"{}\"\n", self.ca.path().display())
        } else {
            String::new()
        };
        format!(
            "[database.{name}]\nprotocol = \"{protocol}\"\ntls = \"{mode}\"\n\
             backends = {backends:?}\nhealth = \"off\"\nhosts = [\"{name}.example.test\"]\n{trust}"
        )
    }
}

/// A backend that the test plays.
pub(crate) struct Fake(TcpListener);

impl Fake {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        // On Linux this bounds accept, too.
        SockRef::from(&listener)
            .set_read_timeout(Some(TIMEOUT))
            .expect("a timeout");
        Self(listener)
    }

    /// Its address.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("its own address")
    }

    /// The next connection.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub(crate) fn accept(&self) -> TcpStream {
        let (stream, _) = self.0.accept().expect("a connection to the backend");
        stream
            .set_read_timeout(Some(TIMEOUT))
            .expect("a read timeout");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// The next connection if there is one already.
    pub(crate) fn try_accept(&self) -> Option<TcpStream> {
        self.0.set_nonblocking(true).expect("a socket option");
        let accepted = self.0.accept();
        self.0.set_nonblocking(false).expect("a socket option");
        let (stream, _) = accepted.ok()?;
        stream.set_nonblocking(false).expect("a socket option");
        stream
            .set_read_timeout(Some(TIMEOUT))
            .expect("a read timeout");
        Some(stream)
    }

    /// The next connection, after the `SSLRequest` that must lead it was granted.
    #[track_caller]
    pub(crate) fn accept_ssl_request(&self) -> TcpStream {
        let mut stream = self.accept();
        assert_eq!(take(&mut stream, 8), ssl_request());
        put(&mut stream, b"S");
        stream
    }

    /// Nobody has connected so far.
    #[track_caller]
    pub(crate) fn assert_unasked(&self) {
        assert!(self.try_accept().is_none(), "the backend was dialled");
    }
}

/// An address of this machine at which nobody listens, for as long as the socket is kept.
pub(crate) fn closed_port() -> (SocketAddr, Socket) {
    // Bound, so that nobody else can have the port, and not listening.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a free port");
    let addr = socket.local_addr().expect("its own address");
    (addr.as_socket().expect("an address"), socket)
}

/// An end of a connection that the test plays, with or without TLS.
pub(crate) trait End: Read + Write {
    /// Says properly that nothing more will be written; reading goes on.
    fn finish(&mut self);
    /// The socket below.
    fn tcp(&self) -> &TcpStream;
}

impl End for TcpStream {
    fn finish(&mut self) {
        self.shutdown(Shutdown::Write).expect("a half-close");
    }

    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl End for TlsClient {
    fn finish(&mut self) {
        self.conn.send_close_notify();
        self.flush().expect("a close_notify");
        self.sock.finish();
    }

    fn tcp(&self) -> &TcpStream {
        &self.sock
    }
}

impl End for TlsServer {
    fn finish(&mut self) {
        self.conn.send_close_notify();
        self.flush().expect("a close_notify");
        self.sock.finish();
    }

    fn tcp(&self) -> &TcpStream {
        &self.sock
    }
}

/// Writes and flushes.
#[track_caller]
pub(crate) fn put(stream: &mut (impl Write + ?Sized), bytes: &[u8]) {
    stream
        .write_all(bytes)
        .and_then(|()| stream.flush())
        .unwrap_or_else(|e| panic!("cannot write {} bytes: {e}", bytes.len()));
}

/// Reads this many bytes.
#[track_caller]
pub(crate) fn take(stream: &mut (impl Read + ?Sized), len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut limited = stream.take(u64::try_from(len).expect("a length"));
    let read = limited.read_to_end(&mut bytes);
    assert!(
        read.is_ok() && bytes.len() == len,
        "{} of {len} bytes, then {read:?}: {}",
        bytes.len(),
        bytes.escape_ascii()
    );
    bytes
}

/// Reads to the proper end of the stream.
#[track_caller]
pub(crate) fn rest(stream: &mut (impl Read + ?Sized)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    assert!(
        read.is_ok(),
        "after {} bytes {read:?}: {}",
        bytes.len(),
        bytes.escape_ascii()
    );
    bytes
}

/// Sends an `SSLRequest` and reads the `S`.
#[track_caller]
pub(crate) fn request_tls(client: &mut TcpStream) {
    put(client, &ssl_request());
    assert_eq!(take(client, 1), b"S");
}

/// Waits until the other end has read all that was written to this connection, or is gone.
///
/// Only for connections over IPv4 on this machine: the kernel's tables say it. Source: Linux
/// documentation, "/proc/net/tcp".
#[track_caller]
pub(crate) fn wait_read(stream: &TcpStream) {
    let (near, far) = match (stream.local_addr(), stream.peer_addr()) {
        (Ok(near), Ok(far)) => (hex(near), hex(far)),
        _ => return,
    };
    let deadline = Instant::now() + TIMEOUT;
    // Without a pause between two looks: some tests wait for each of a thousand bytes.
    while !is_read(&near, &far) {
        assert!(Instant::now() < deadline, "the other end does not read");
        thread::yield_now();
    }
}

fn is_read(near: &str, far: &str) -> bool {
    let table = connections();
    // Both queues of a connection, "sent:received" in hexadecimal.
    let queues = |from, to| field(&table, from, to, 4).and_then(|queues| queues.split_once(':'));
    let empty = |queue: &str| queue.bytes().all(|digit| digit == b'0');
    let all_sent = queues(near, far).is_none_or(|(sent, _)| empty(sent));
    all_sent && queues(far, near).is_none_or(|(_, received)| empty(received))
}

/// Returns whether the other end has taken this connection out of the queue of its listening socket.
pub(crate) fn is_accepted(stream: &TcpStream) -> bool {
    let near = hex(stream.local_addr().expect("its own address"));
    let far = hex(stream.peer_addr().expect("its address"));
    // A connection has an inode from then on.
    field(&connections(), &far, &near, 9).is_some_and(|inode| inode != "0")
}

/// The kernel's table of connections.
fn connections() -> String {
    fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp")
}

/// A field of the connection between these two addresses.
fn field<'a>(table: &'a str, from: &str, to: &str, index: usize) -> Option<&'a str> {
    table.lines().find_map(|row| {
        let mut fields = row.split_whitespace();
        let ends = fields.nth(1) == Some(from) && fields.next() == Some(to);
        ends.then(|| fields.nth(index - 3)).flatten()
    })
}

/// An address as the kernel's tables write it.
fn hex(addr: SocketAddr) -> String {
    let SocketAddr::V4(addr) = addr else {
        panic!("{addr} is not IPv4");
    };
    let ip = u32::from_le_bytes(addr.ip().octets());
    format!("{ip:08X}:{:04X}", addr.port())
}

/// Bytes that are the same each time and do not repeat soon.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}
