//! The few that no server of the testbed can be brought to do: their bytes are played.
//!
//! A thread accepts until the tests end; each session has a thread of its own.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use bson::RawDocumentBuf;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use socket2::{Domain, Socket, Type};

use crate::{certs::Leaf, testbed::TIMEOUT};

/// Serves each connection by this, and gives the port.
pub(crate) fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("its own address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(TIMEOUT));
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Answers whatever comes first with these bytes, and hangs up when the client does.
pub(crate) fn answering(bytes: &'static [u8]) -> u16 {
    server(move |mut stream| {
        if matches!(stream.read(&mut [0; 4096]), Ok(1..)) && stream.write_all(bytes).is_ok() {
            drain(stream);
        }
    })
}

/// Speaks first with these bytes, and hangs up when the client does.
pub(crate) fn greeting(bytes: &'static [u8]) -> u16 {
    server(move |mut stream| {
        if stream.write_all(bytes).is_ok() {
            drain(stream);
        }
    })
}

/// Accepts, and says nothing.
pub(crate) fn silence() -> u16 {
    server(drain)
}

/// Shakes hands by this certificate and this key, even where they are no pair, which real servers
/// refuse to start with.
pub(crate) fn tls(leaf: &Leaf) -> u16 {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).expect("a key");
    let key = provider.key_provider.load_private_key(key).expect("a key");
    let cert = CertificateDer::from(leaf.der.clone());
    let pair = CertifiedKey::new(vec![cert], key);
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    let config = Arc::new(config);
    server(move |stream| {
        let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
        let mut tls = StreamOwned::new(session, stream);
        let mut heap = [0; 4096];
        while matches!(tls.read(&mut heap), Ok(1..)) {}
    })
}

/// Passes on what is said to this port, and of its answer so many bytes; then it hangs up.
pub(crate) fn cut_after(port: u16, bytes: u64) -> u16 {
    server(move |client| {
        let Ok(behind) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
            return;
        };
        let _ = behind.set_read_timeout(Some(TIMEOUT));
        thread::scope(|scope| {
            scope.spawn(|| io::copy(&mut &client, &mut &behind));
            let _ = io::copy(&mut (&behind).take(bytes), &mut &client);
            let _ = client.shutdown(Shutdown::Both);
            let _ = behind.shutdown(Shutdown::Both);
        });
    })
}

fn drain(mut stream: TcpStream) {
    let mut heap = [0; 4096];
    while matches!(stream.read(&mut heap), Ok(1..)) {}
}

/// Answers each message of `MongoDB`'s protocol with this document.
///
/// Source: "MongoDB Wire Protocol", `OP_MSG`.
pub(crate) fn mongodb(document: &RawDocumentBuf) -> u16 {
    const OP_MSG: u32 = 2013;
    let document = document.as_bytes().to_vec();
    server(move |mut stream| {
        let mut header = [0; 16];
        while stream.read_exact(&mut header).is_ok() {
            let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]));
            let rest = number(0).saturating_sub(16).into();
            if io::copy(&mut (&stream).take(rest), &mut io::sink()).is_err() {
                return;
            }
            let length = u32::try_from(16 + 5 + document.len()).expect("a short document");
            // No flags, and a section of one document.
            let mut message = [length, 1, number(4), OP_MSG, 0]
                .map(u32::to_le_bytes)
                .concat();
            message.push(0);
            message.extend(&document);
            if stream.write_all(&message).is_err() {
                return;
            }
        }
    })
}

/// A listening socket that the system lets nobody connect to any more, and what fills its queue.
pub(crate) fn full_queue() -> (u16, Vec<TcpStream>, TcpListener) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a free port");
    socket.listen(0).expect("a listening socket");
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr().expect("its own address");
    let mut waiting = Vec::new();
    // Full when a connection on this very machine is not there within so long.
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
        waiting.push(stream);
    }
    assert!(!waiting.is_empty(), "nobody could connect from the start");
    (addr.port(), waiting, listener)
}

/// A port that is taken and on which nobody listens.
pub(crate) fn closed() -> (u16, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a free port");
    let addr = socket.local_addr().expect("its own address");
    (addr.as_socket().expect("an address").port(), socket)
}
