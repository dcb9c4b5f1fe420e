//! The backend of every measurement: a process of its own that takes TLS, plaintext, and Postgres
//! with or without an SSLRequest on one port, and does what the client's commands say.
//!
//! A command is a letter and a number (8 bytes, big-endian): `E` echoes from then on, `D` sends so
//! many bytes, `U` takes so many bytes and answers with one.
//! Source of the Postgres messages: PostgreSQL documentation, "Message Formats".

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::peer::mortal;

/// The word that makes this program a backend.
pub(crate) const WORD: &str = "as-backend";

/// Bytes of a write, and room for a read.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Bytes of a command.
pub(crate) const COMMAND: usize = 9;

/// `AuthenticationOk` and `ReadyForQuery`: what a login without a password gets.
pub(crate) const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

/// The code of an SSLRequest.
const SSL_REQUEST: u32 = 80_877_103;

/// A running backend; it ends when this is dropped.
pub(crate) struct Backend {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Backend {
    /// Starts this program once more, as the backend.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) fn start(certs: &Path) -> Result<Self> {
        let mut child = mortal("KILL", &std::env::current_exe()?)
            .arg(WORD)
            .arg(certs)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the backend")?;
        let mut line = String::new();
        let said = child.stdout.take().context("its output")?;
        BufReader::new(said).read_line(&mut line)?;
        let addr = line.trim().parse().context("the backend's address")?;
        Ok(Self { child, addr })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints its address, then serves until it is killed.
///
/// # Errors
/// It cannot start.
pub(crate) fn serve(certs: &Path) -> Result<()> {
    let chain = CertificateDer::pem_file_iter(certs.join("cert.pem"))?;
    let key = PrivateKeyDer::from_pem_file(certs.join("key.pem"))?;
    let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>()?, key)?;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    config.send_tls13_tickets = 0;
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let workers: Vec<_> = (0..cores).map(|_| worker(acceptor.clone())).collect();
    // In turn, so that eight sessions keep all cores of a machine busy.
    for worker in workers.iter().cycle() {
        let (client, _) = listener.accept()?;
        worker
            .send(client)
            .context("a thread of the backend is gone")?;
    }
    Ok(())
}

fn worker(acceptor: TlsAcceptor) -> mpsc::UnboundedSender<TcpStream> {
    let (sender, mut clients) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            while let Some(client) = clients.recv().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Clients that break off are the load's to notice.
                    let _ = session(client, acceptor).await;
                });
            }
        });
    });
    sender
}

async fn session(client: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    client.set_nonblocking(true)?;
    client.set_nodelay(true)?;
    let mut client = tokio::net::TcpStream::from_std(client)?;
    let mut first = [0];
    client.peek(&mut first).await?;
    if first == [0] && startup(&mut client).await? {
        client.write_all(b"S").await?;
        client.peek(&mut first).await?;
    }
    if first == [0x16] {
        let mut stream = acceptor.accept(client).await?;
        commands(&mut stream).await?;
        return stream.shutdown().await;
    }
    commands(&mut client).await?;
    client.shutdown().await
}

/// Takes a message without a type; whether it was an SSLRequest. Any other is a login.
async fn startup<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S) -> io::Result<bool> {
    let length = client.read_u32().await?;
    let code = client.read_u32().await?;
    if code == SSL_REQUEST {
        return Ok(true);
    }
    let mut rest = vec![0; (length as usize).saturating_sub(8).min(CHUNK)];
    client.read_exact(&mut rest).await?;
    client.write_all(WELCOME).await?;
    client.flush().await?;
    Ok(false)
}

async fn commands<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S) -> io::Result<()> {
    loop {
        let Ok(word) = client.read_u8().await else {
            return Ok(());
        };
        if word == 0 {
            // The rest of a StartupMessage inside TLS, whose length is below 2^24.
            let mut length = [0; 3];
            client.read_exact(&mut length).await?;
            let [a, b, c] = length.map(usize::from);
            let rest = ((a << 16) | (b << 8) | c).saturating_sub(4).min(CHUNK);
            client.read_exact(&mut vec![0; rest]).await?;
            client.write_all(WELCOME).await?;
            client.flush().await?;
            continue;
        }
        let number = client.read_u64().await?;
        match word {
            b'E' => return echo(client).await,
            b'D' => send(client, number).await?,
            b'U' => take(client, number).await?,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S) -> io::Result<()> {
    let mut room = [0; 4096];
    loop {
        let got = client.read(&mut room).await?;
        if got == 0 {
            return Ok(());
        }
        client.write_all(&room[..got]).await?;
        client.flush().await?;
    }
}

async fn send<S: AsyncWrite + Unpin>(client: &mut S, mut left: u64) -> io::Result<()> {
    let bytes = vec![b'd'; CHUNK];
    while left > 0 {
        let now = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        client.write_all(&bytes[..now]).await?;
        left -= now as u64;
    }
    client.flush().await
}

async fn take<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S, left: u64) -> io::Result<()> {
    let mut room = vec![0; CHUNK];
    let mut source = client.take(left);
    let mut got = 0;
    while got < left {
        match source.read(&mut room).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            now => got += now as u64,
        }
    }
    client.write_all(b"k").await?;
    client.flush().await
}
