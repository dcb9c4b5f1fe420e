//! One client connection: real TLS 1.3 without resumption, and the commands of the backend.
//!
//! Every client offers the same: one cipher suite and one group, which each program here has by
//! default, so that all of them do the same arithmetic.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::backend::{CHUNK, COMMAND, WELCOME};

/// Bytes of a message that goes there and back.
pub(crate) const MESSAGE: usize = 64;

/// Most silence of a peer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An SSLRequest. Source: PostgreSQL documentation, "Message Formats".
const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";

/// A StartupMessage of user `bench`.
const STARTUP: &[u8] = b"\0\0\0\x14\0\x03\0\0user\0bench\0\0";

/// The first bytes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// TLS, then the backend's commands.
    Tls,
    /// TLS that offers Postgres by ALPN, then a login.
    PostgresDirect,
    /// An SSLRequest, TLS, then a login.
    PostgresRequest,
}

/// Settings that all clients share.
#[derive(Clone)]
pub(crate) struct Client {
    plain: Arc<ClientConfig>,
    postgres: Arc<ClientConfig>,
}

/// An open connection.
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    opening: Opening,
}

impl Client {
    /// # Errors
    /// The authority's certificate is none.
    pub(crate) fn trusting(authority: &CertificateDer<'static>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let mut plain = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        plain.resumption = rustls::client::Resumption::disabled();
        let mut postgres = plain.clone();
        postgres.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Self {
            plain: Arc::new(plain),
            postgres: Arc::new(postgres),
        })
    }

    /// Connects and greets; what is open then has been through to the backend and back.
    ///
    /// # Errors
    /// The gateway or the backend does not do its part.
    pub(crate) fn open(
        &self,
        addr: SocketAddr,
        host: &str,
        opening: Opening,
    ) -> Result<Connection> {
        let mut tcp = TcpStream::connect(addr).context("cannot connect")?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(TIMEOUT))?;
        tcp.set_write_timeout(Some(TIMEOUT))?;
        if opening == Opening::PostgresRequest {
            tcp.write_all(SSL_REQUEST)?;
            let mut answer = [0];
            tcp.read_exact(&mut answer)
                .context("no answer to the SSLRequest")?;
            ensure!(&answer == b"S", "the SSLRequest was answered by {answer:?}");
        }
        let config = match opening {
            Opening::PostgresDirect => self.postgres.clone(),
            Opening::Tls | Opening::PostgresRequest => self.plain.clone(),
        };
        let tls = ClientConnection::new(config, ServerName::try_from(host.to_owned())?)?;
        let mut connection = Connection {
            stream: StreamOwned::new(tls, tcp),
            opening,
        };
        if opening != Opening::Tls {
            connection.send(STARTUP)?;
            connection.expect(WELCOME)?;
        }
        Ok(connection)
    }

    /// A whole short life: connect, one message there and back, close, and wait for the other side
    /// to close.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub(crate) fn visit(&self, addr: SocketAddr, host: &str, opening: Opening) -> Result<()> {
        let mut connection = self.open(addr, host, opening)?;
        if connection.opening == Opening::Tls {
            connection.start_echo()?;
        }
        connection.close()
    }
}

impl Connection {
    /// From here on the backend sends everything back; the first message has been there already.
    ///
    /// # Errors
    /// The answer is not what was sent.
    pub(crate) fn start_echo(&mut self) -> Result<()> {
        let mut first = command(b'E', 0).to_vec();
        first.extend([b'm'; MESSAGE]);
        self.send(&first)?;
        self.expect(&[b'm'; MESSAGE])
    }

    /// One message there and back.
    ///
    /// # Errors
    /// The answer is not what was sent.
    pub(crate) fn round_trip(&mut self, number: u64) -> Result<()> {
        let mut message = [b'm'; MESSAGE];
        message[..8].copy_from_slice(&number.to_be_bytes());
        self.send(&message)?;
        self.expect(&message)
    }

    /// Takes so many bytes from the backend.
    ///
    /// # Errors
    /// They do not come.
    pub(crate) fn download(&mut self, bytes: u64, room: &mut [u8]) -> Result<()> {
        self.send(&command(b'D', bytes))?;
        let mut left = bytes;
        while left > 0 {
            let got = self.stream.read(room).context("while bytes come")? as u64;
            ensure!(got > 0 && got <= left, "{got} bytes came, {left} were due");
            left -= got;
        }
        Ok(())
    }

    /// Gives the backend so many bytes, in writes of 64 KiB; it has taken them all at the end.
    ///
    /// # Errors
    /// It does not take them.
    pub(crate) fn upload(&mut self, bytes: u64, room: &[u8]) -> Result<()> {
        self.send(&command(b'U', bytes))?;
        let mut left = bytes;
        while left > 0 {
            let now = usize::try_from(left)
                .map_or(CHUNK, |left| left.min(CHUNK))
                .min(room.len());
            self.send(&room[..now])?;
            left -= now as u64;
        }
        self.expect(b"k")
    }

    /// Closes as TLS wants it, and waits until the other side has.
    ///
    /// # Errors
    /// It sends something else.
    pub(crate) fn close(mut self) -> Result<()> {
        self.stream.conn.send_close_notify();
        self.stream.flush()?;
        self.stream.sock.shutdown(Shutdown::Write)?;
        let mut room = [0; 64];
        match self.stream.read(&mut room) {
            Ok(0) => Ok(()),
            // Some hang up without a close_notify.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                Ok(())
            }
            Ok(n) => bail!("{n} bytes after the end"),
            Err(e) => Err(e).context("while the other side closes"),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("while sending")?;
        self.stream.flush().context("while sending")
    }

    fn expect(&mut self, wanted: &[u8]) -> Result<()> {
        let mut got = [0; MESSAGE];
        let got = &mut got[..wanted.len()];
        self.stream
            .read_exact(got)
            .context("while an answer comes")?;
        ensure!(got == wanted, "{got:?} came instead of {wanted:?}");
        Ok(())
    }
}

fn command(word: u8, number: u64) -> [u8; COMMAND] {
    let mut command = [word; COMMAND];
    command[1..].copy_from_slice(&number.to_be_bytes());
    command
}
