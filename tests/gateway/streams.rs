//! Both ends of a session inside the tests: a server that echoes and sums up, and a client that
//! checks every byte. Two hundred real programs would be too heavy.
//!
//! The TLS is real (rustls, certificates verified); no database protocol is spoken.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

use crate::certs::{Ca, Leaf};
use crate::testbed::TIMEOUT;

/// The longest message of a [`Line`], in bytes: it fits the buffers of the sockets on its way, so
/// that a client which first writes and then reads never waits for itself.
const LONGEST: u64 = 24 * 1024;

/// A server that sends back what it gets; when its client has ended its side, it adds how many
/// bytes that was, and their checksum.
pub(crate) struct Echo(SocketAddr);

impl Echo {
    /// With TLS from the first byte.
    pub(crate) fn tls(leaf: &Leaf) -> Self {
        Self::start(Some(server_config(leaf)))
    }

    /// Without TLS.
    pub(crate) fn plain() -> Self {
        Self::start(None)
    }

    fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = listener.local_addr().expect("its own address");
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let tls = tls.clone();
                // A session that is cut is the test's business, which sees it from its own end.
                thread::spawn(move || match tls {
                    None => echo(tcp).map(drop),
                    Some(config) => {
                        let tls = ServerConnection::new(config).expect("a TLS server");
                        let mut stream = echo(StreamOwned::new(tls, tcp))?;
                        stream.conn.send_close_notify();
                        stream.flush()
                    }
                });
            }
        });
        Self(addr)
    }

    /// Its address.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.0
    }
}

/// TLS settings of a server that shows this certificate.
pub(crate) fn server_config(leaf: &Leaf) -> Arc<ServerConfig> {
    let chain = vec![leaf.der.clone().into()];
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).expect("a key");
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("a certificate and its key"))
}

fn echo<S: Read + Write>(mut stream: S) -> io::Result<S> {
    let mut buffer = vec![0; 32 * 1024];
    let mut total = Total::default();
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        total.add(&buffer[..n]);
        stream.write_all(&buffer[..n])?;
        stream.flush()?;
    }
    stream.write_all(&total.encode())?;
    stream.flush()?;
    Ok(stream)
}

/// The number of bytes, and a checksum that depends on their order.
#[derive(Clone, Copy, Default)]
struct Total {
    bytes: u64,
    sum: u64,
}

impl Total {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for byte in bytes {
            self.sum = self.sum.rotate_left(7).wrapping_add(u64::from(*byte));
        }
    }

    fn encode(self) -> [u8; 16] {
        let mut text = [0; 16];
        text[..8].copy_from_slice(&self.bytes.to_be_bytes());
        text[8..].copy_from_slice(&self.sum.to_be_bytes());
        text
    }
}

/// TLS settings of a client that trusts one authority.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts this authority only.
    pub(crate) fn new(ca: &Ca) -> Self {
        Self(Arc::new(config(ca)))
    }

    /// The same, for clients that send no server name.
    pub(crate) fn without_sni(ca: &Ca) -> Self {
        let mut config = config(ca);
        config.enable_sni = false;
        Self(Arc::new(config))
    }

    /// Writes the hello of a client that asks for this name.
    pub(crate) fn hello(&self, host: &str, to: &mut impl Write) {
        let name = ServerName::try_from(host.to_owned()).expect("a host name");
        let mut tls = ClientConnection::new(self.0.clone(), name).expect("a TLS client");
        tls.write_tls(to).expect("a hello");
    }

    /// Opens TLS to a server that has to show a certificate for this name.
    ///
    /// # Errors
    /// No connection; what TLS has to say comes with the first bytes.
    pub(crate) fn connect(
        &self,
        to: SocketAddr,
        host: &str,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let tcp = TcpStream::connect(to)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(TIMEOUT))?;
        let name = ServerName::try_from(host.to_owned()).expect("a host name");
        let tls = ClientConnection::new(self.0.clone(), name).expect("a TLS client");
        Ok(StreamOwned::new(tls, tcp))
    }
}

fn config(ca: &Ca) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).expect("a certificate"))
        .expect("an authority");
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A client of an [`Echo`], connected.
pub(crate) struct Line {
    stream: StreamOwned<ClientConnection, TcpStream>,
    addr: SocketAddr,
    total: Total,
    random: u64,
}

impl Line {
    /// Bytes that the server adds at the end of each line, where they are not encrypted.
    pub(crate) const SUM: u64 = 16;

    /// Connects, with SNI, and has a first message echoed.
    ///
    /// # Errors
    /// Whatever keeps it from that, the gateway's refusals included.
    pub(crate) fn open(to: SocketAddr, host: &str, trust: &Trust) -> io::Result<Self> {
        let stream = trust.connect(to, host)?;
        let addr = stream.sock.local_addr()?;
        let mut line = Self {
            stream,
            addr,
            total: Total::default(),
            random: u64::from(addr.port()),
        };
        line.echo()?;
        Ok(line)
    }

    /// Its own address, by which the gateway knows it.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The certificate that it was shown, as DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        let chain = self.stream.conn.peer_certificates();
        chain.and_then(|c| c.first()).expect("a certificate")
    }

    /// Sends a message of random content and length, and compares what comes back.
    ///
    /// # Errors
    /// The connection broke, or the bytes are not the same.
    pub(crate) fn echo(&mut self) -> io::Result<()> {
        let length = usize::try_from(1 + self.next() % LONGEST).expect("a small number");
        let mut message: Vec<u8> = Vec::with_capacity(length + 8);
        while message.len() < length {
            message.extend(self.next().to_be_bytes());
        }
        message.truncate(length);
        self.stream.write_all(&message)?;
        self.stream.flush()?;
        self.total.add(&message);
        let mut back = vec![0; length];
        self.stream.read_exact(&mut back)?;
        if back == message {
            Ok(())
        } else {
            Err(io::Error::other("the bytes changed on the way"))
        }
    }

    /// Ends its side; gives what was sent when the server counted the same bytes, and ended too.
    ///
    /// # Errors
    /// It did not.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.stream.conn.send_close_notify();
        self.stream.flush()?;
        self.stream.sock.shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        if rest == self.total.encode() {
            Ok(self.total.bytes)
        } else {
            Err(io::Error::other(format!(
                "the server counted other bytes: {rest:?}"
            )))
        }
    }

    /// Waits until the other side has closed the connection.
    ///
    /// # Panics
    /// When it does not, or sends something.
    #[track_caller]
    pub(crate) fn expect_closed(mut self) {
        match self.stream.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => panic!("{} got bytes out of turn", self.addr),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                panic!("{} is still open", self.addr)
            }
            Err(_) => {}
        }
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// Tells the threads of a test to stop once it is dropped, also when the test fails before.
pub(crate) struct StopAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
