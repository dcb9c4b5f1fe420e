//! The hello parser: the same answer however the bytes are cut, and agreement with rustls on
//! every hello that rustls accepts.

#![no_main]

use dbgate::tls::hello::{ClientHello, HelloError, HelloParser, MAX_PROTOCOLS, MAX_WIRE};
use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;

fuzz_target!(|wire: &[u8]| {
    let whole = HelloParser::default().advance(wire);
    for size in [1, 7, 1460] {
        assert_eq!(in_segments(wire, size), whole, "in segments of {size}");
    }
    match &whole {
        Ok(Some(hello)) => {
            assert!(hello.wire_len <= wire.len().min(MAX_WIRE));
            assert!(hello.message_len < hello.wire_len && hello.records > 0);
            assert!(hello.alpn.len() <= MAX_PROTOCOLS && hello.versions.len() <= 127);
            let text = hello.sni.sent().unwrap_or_default();
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        Ok(None) => assert!(wire.len() < MAX_WIRE),
        Err(error) => assert!(error.to_string().is_ascii() && error.alert().code() > 0),
    }
    if let Some(theirs) = rustls_facts(wire) {
        match whole {
            // Refused here only: see the differential test of the parser for the reasons.
            Err(HelloError::TooManyProtocols | HelloError::TwoHostNames) => {}
            Err(HelloError::Truncated("server_name extension")) => {}
            Err(HelloError::TooLong) if wire.len() > MAX_WIRE => {}
            ours => assert_eq!(ours.map(|hello| hello.map(facts)), Ok(Some(theirs))),
        }
    }
});

fn in_segments(wire: &[u8], size: usize) -> Result<Option<ClientHello>, HelloError> {
    let mut parser = HelloParser::default();
    let mut end = 0;
    loop {
        end = wire.len().min(end + size);
        let answer = parser.advance(&wire[..end]);
        if answer != Ok(None) || end == wire.len() {
            return answer;
        }
    }
}

/// The name and the protocols of a hello.
type Dissection = (Option<String>, Vec<Vec<u8>>);

fn facts(hello: ClientHello) -> Dissection {
    (hello.sni.name().map(ToString::to_string), hello.alpn)
}

fn rustls_facts(wire: &[u8]) -> Option<Dissection> {
    let mut acceptor = Acceptor::default();
    let mut rest = wire;
    loop {
        let read = acceptor.read_tls(&mut rest).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            let name = hello.server_name();
            let name = name.map(|name| name.trim_end_matches('.').to_owned());
            let alpn = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec);
            return Some((name, alpn.collect()));
        }
        if read == 0 {
            return None;
        }
    }
}
