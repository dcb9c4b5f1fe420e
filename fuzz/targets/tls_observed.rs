//! The observer of a TLS direction: never a panic, bounded results, agreement with the parser of
//! the gateway, and a cut input never changes what was seen before the cut.
//!
//! Input: one byte whose lowest bit says which end speaks, then what it says.

#![no_main]

use dbgate::tls::hello::HelloParser;
use dbgate::tls::ja4::ja4;
use dbgate::tls::observed::{End, MAX_CERTIFICATES, MAX_MESSAGES, Observed, established, observe};
use dbgate::tls::offer::{self, MAX_LISTED};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((flags, input)) = data.split_first() else {
        return;
    };
    let from = match flags & 1 {
        0 => End::Client,
        _ => End::Server,
    };
    let whole = observe(input, from);
    check(&whole, input);
    if from == End::Client {
        hello_agrees(&whole, input);
    }
    let mut before = Observed::default();
    for end in cuts(input.len()) {
        let now = observe(&input[..end], from);
        grown(&before, &now);
        grown(&now, &whole);
        before = now;
    }
    // Whatever the other end says, and although it is the same end.
    let _ = established(&whole, &whole);
});

/// Every cut near the start, where the handshake is, and some in the rest.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    let step = (length / 16).max(1);
    (0..length.min(96)).chain((96..length).step_by(step))
}

fn check(seen: &Observed, input: &[u8]) {
    assert!(seen.wire_read <= input.len());
    assert!(seen.messages.len() <= MAX_MESSAGES);
    assert!(seen.certificates.len() <= MAX_CERTIFICATES);
    let certificates: usize = seen.certificates.iter().map(Vec::len).sum();
    assert!(certificates <= 64 * 1024);
    assert_eq!(seen.encrypted.first.is_some(), seen.encrypted.records > 0);
    assert_eq!(seen.encrypted.last.is_some(), seen.encrypted.records > 0);
    for message in &seen.messages {
        assert!(message.at < message.end && message.end <= input.len());
    }
    if let Some(fault) = seen.fault {
        assert!(fault.at < input.len().max(1));
        assert!(fault.what.to_string().is_ascii());
    } else {
        // The rest is the start of a record, of a hello, or nothing.
        assert!(input.len() - seen.wire_read < 80 * 1024);
    }
}

fn hello_agrees(seen: &Observed, input: &[u8]) {
    let read = offer::read(input);
    let advanced = HelloParser::default().advance(input);
    match read {
        Ok(Some((hello, offer))) => {
            for list in [
                &offer.suites,
                &offer.extensions,
                &offer.groups,
                &offer.key_shares,
                &offer.signature_algorithms,
            ] {
                assert!(list.len() <= MAX_LISTED);
            }
            let text = ja4(&hello, &offer);
            assert!(text.len() == 36 && text.is_ascii(), "{text}");
            assert_eq!(advanced, Ok(Some(hello.clone())));
            assert_eq!(seen.hello, Some((hello, offer)));
            assert!(seen.hellos >= 1);
        }
        Ok(None) => {
            assert_eq!(advanced, Ok(None));
            assert_eq!((seen.hellos, seen.fault), (0, None));
        }
        Err(error) => {
            assert_eq!(advanced, Err(error));
            assert!(seen.hello.is_none());
        }
    }
}

/// Asserts that what was seen in a shorter input is still there in a longer one.
fn grown(before: &Observed, now: &Observed) {
    fn kept<T: PartialEq>(before: &Option<T>, now: &Option<T>) {
        assert!(before.is_none() || before == now);
    }
    kept(&before.hello, &now.hello);
    kept(&before.retry_group, &now.retry_group);
    kept(&before.change_cipher_spec, &now.change_cipher_spec);
    kept(&before.alert, &now.alert);
    kept(&before.warning, &now.warning);
    kept(&before.close, &now.close);
    kept(&before.encrypted.first, &now.encrypted.first);
    kept(&before.fault, &now.fault);
    if let Some(chosen) = &before.server_hello {
        let later = now.server_hello.as_ref().expect("still there");
        assert_eq!((chosen.version, chosen.suite), (later.version, later.suite));
        assert_eq!(chosen.alpn, later.alpn);
        kept(&chosen.group, &later.group);
        assert!(chosen.resumed <= later.resumed);
    }
    assert!(before.hellos <= now.hellos && before.wire_read <= now.wire_read);
    assert!(before.hello_retry <= now.hello_retry);
    assert!(before.certificate_request <= now.certificate_request);
    assert!(before.encrypted.records <= now.encrypted.records);
    assert!(before.encrypted.bytes <= now.encrypted.bytes);
    assert!(now.messages.starts_with(&before.messages));
    assert!(before.certificates.is_empty() || before.certificates == now.certificates);
}
