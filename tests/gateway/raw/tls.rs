//! Both ends of a TLS connection that the test drives itself.

use std::{
    io::{self, Read},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

use crate::certs::{Ca, Leaf};

/// A client whose TLS is up.
pub(crate) type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// A backend whose TLS is up.
pub(crate) type TlsServer = StreamOwned<ServerConnection, TcpStream>;

/// Does a client's handshake, verified.
///
/// # Panics
/// When it fails.
#[track_caller]
pub(crate) fn tls_client(tcp: TcpStream, host: &str, ca: &Ca, alpn: &[&str]) -> TlsClient {
    let mut stream = StreamOwned::new(session(host, ca, alpn), tcp);
    let done = stream.conn.complete_io(&mut stream.sock);
    assert!(done.is_ok(), "the client's TLS handshake: {done:?}");
    stream
}

/// The same, with a certificate of its own.
///
/// # Panics
/// When it fails.
#[track_caller]
pub(crate) fn tls_client_with(tcp: TcpStream, host: &str, ca: &Ca, leaf: &Leaf) -> TlsClient {
    let certificate = CertificateDer::from(leaf.der.clone());
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).expect("a key");
    let config = ClientConfig::builder()
        .with_root_certificates(roots(ca))
        .with_client_auth_cert(vec![certificate], key)
        .expect("a certificate and its key");
    let name = ServerName::try_from(host.to_owned()).expect("a host name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a TLS client");
    let mut stream = StreamOwned::new(session, tcp);
    let done = stream.conn.complete_io(&mut stream.sock);
    assert!(done.is_ok(), "the client's TLS handshake: {done:?}");
    stream
}

/// A client's first bytes: a hello that a server can answer.
pub(crate) fn first_flight(host: &str, ca: &Ca) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut session = session(host, ca, &[]);
    session.write_tls(&mut bytes).expect("a hello");
    bytes
}

fn session(host: &str, ca: &Ca, alpn: &[&str]) -> ClientConnection {
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots(ca))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(host.to_owned()).expect("a host name");
    ClientConnection::new(Arc::new(config), name).expect("a TLS client")
}

fn roots(ca: &Ca) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(ca.pem().as_bytes()).expect("a certificate");
    roots.add(authority).expect("an authority");
    roots
}

/// Does a backend's handshake.
///
/// # Panics
/// When it fails.
#[track_caller]
pub(crate) fn tls_server(tcp: TcpStream, leaf: &Leaf, alpn: &[&str]) -> TlsServer {
    match handshake(tcp, leaf, alpn) {
        Ok(stream) => stream,
        Err(error) => panic!("the backend's TLS handshake: {error}"),
    }
}

/// Does a backend's handshake and reads what comes behind it.
///
/// # Errors
/// The gateway breaks it off.
pub(crate) fn refused_tls_server(tcp: TcpStream, leaf: &Leaf) -> io::Result<()> {
    // In TLS 1.3 the handshake is over for a server before it hears of the refusal.
    handshake(tcp, leaf, &[])?.read(&mut [0]).map(drop)
}

fn handshake(tcp: TcpStream, leaf: &Leaf, alpn: &[&str]) -> io::Result<TlsServer> {
    let certificate = CertificateDer::from(leaf.der.clone());
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).expect("a key");
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    let session = ServerConnection::new(Arc::new(config)).expect("a TLS server");
    let mut stream = StreamOwned::new(session, tcp);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}
