//! The walk over the records of one direction.

use super::message::{certificates, named_curve, server_hello};
use super::{End, Fault, MAX_MESSAGES, Message, Observed, ObservedFault, Sealed, SeenAlert};
use crate::tls::Offer;
use crate::tls::hello::{HelloError, HelloParser, MAX_MESSAGE};
use crate::wire::Reader;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;

/// The longest fragment of a plaintext record, in bytes.
const MAX_FRAGMENT: usize = 1 << 14;

/// The longest of an encrypted one (RFC 5246 section 6.2.3; TLS 1.3 allows less).
const MAX_SEALED: usize = MAX_FRAGMENT + 2048;

/// The length of an encrypted alert of TLS 1.3: the alert, the hidden type, the tag.
const SEALED_ALERT: usize = 2 + 1 + 16;

// Types of handshake messages.
const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const NEW_SESSION_TICKET: u8 = 4;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const CERTIFICATE_REQUEST: u8 = 13;
const SERVER_HELLO_DONE: u8 = 14;
const CERTIFICATE_VERIFY: u8 = 15;
const CLIENT_KEY_EXCHANGE: u8 = 16;
const CERTIFICATE_STATUS: u8 = 22;
const SUPPLEMENTAL_DATA: u8 = 23;
const NEXT_PROTOCOL: u8 = 67;

/// Reads the records of one direction from their first byte, until the input ends or is no TLS.
///
/// The cost is linear in the input, and what is kept is bounded, as the fields say. An input that
/// ends within a record or a message is no fault: what is incomplete is left out.
#[must_use]
pub fn observe(input: &[u8], from: End) -> Observed {
    let mut walk = Walk {
        from,
        seen: Observed::default(),
        sealed: false,
        joined: Vec::new(),
        joined_at: 0,
    };
    let mut at = 0;
    let read = match from {
        End::Client => walk.first_hello(input, &mut at),
        End::Server => Ok(true),
    };
    let read = read.and_then(|more| {
        let mut reader = Reader::new(input);
        match reader.skip(at) {
            Ok(()) if more => walk.records(reader, &mut at),
            _ => Ok(()),
        }
    });
    walk.seen.fault = read.err().map(|what| ObservedFault { at, what });
    walk.seen
}

struct Walk {
    from: End,
    seen: Observed,
    /// True if the keys have changed, as far as this direction shows it.
    sealed: bool,
    /// Handshake bytes whose message is not complete.
    joined: Vec<u8>,
    /// Offset of the record that holds the first of them.
    joined_at: usize,
}

impl Walk {
    /// Reads the first hello; whether records follow, `at` which offset.
    fn first_hello(&mut self, input: &[u8], at: &mut usize) -> Result<bool, Fault> {
        let mut parser = HelloParser::default();
        let mut offer = Offer::default();
        match parser.walk(input, Some(&mut offer)) {
            Ok(Some(hello)) => {
                *at = hello.wire_len;
                self.seen.wire_read = *at;
                self.seen.hellos = 1;
                self.list(CLIENT_HELLO, 0, *at);
                self.seen.hello = Some((hello, offer));
                Ok(true)
            }
            Ok(None) => Ok(false),
            // A client may have nothing to say but why it does not like what the server said.
            Err(HelloError::RecordType(ALERT)) if parser.record_at() == 0 => Ok(true),
            Err(error) => {
                *at = parser.record_at();
                Err(match error {
                    HelloError::NotTls(first) => Fault::NotTls(first),
                    error => Fault::Hello(error),
                })
            }
        }
    }

    fn records(&mut self, mut reader: Reader<'_>, at: &mut usize) -> Result<(), Fault> {
        loop {
            let Some((kind, length)) = self.header(&mut reader)? else {
                return Ok(());
            };
            let Ok(fragment) = reader.take(length) else {
                return Ok(());
            };
            let end = *at + RECORD_HEADER + length;
            self.record(kind, fragment, *at, end)?;
            *at = end;
            self.seen.wire_read = end;
        }
    }

    /// The type and the length of a record, once its header is complete.
    fn header(&self, reader: &mut Reader<'_>) -> Result<Option<(u8, usize)>, Fault> {
        let Ok(kind) = reader.u8() else {
            return Ok(None);
        };
        if !(CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) {
            return Err(Fault::NotTls(kind));
        }
        match reader.u8() {
            Ok(3) => {}
            Ok(major) => return Err(Fault::RecordVersion(major)),
            Err(_) => return Ok(None),
        }
        let (Ok(_minor), Ok(length)) = (reader.u8(), reader.u16()) else {
            return Ok(None);
        };
        let length = usize::from(length);
        let most = match kind {
            APPLICATION_DATA => MAX_SEALED,
            _ if self.sealed => MAX_SEALED,
            _ => MAX_FRAGMENT,
        };
        if length > most || (length == 0 && kind != APPLICATION_DATA) {
            return Err(Fault::RecordLength { kind, length });
        }
        Ok(Some((kind, length)))
    }

    fn record(&mut self, kind: u8, fragment: &[u8], at: usize, end: usize) -> Result<(), Fault> {
        match (kind, fragment) {
            // No encryption makes two bytes out of two: TLS 1.3 clients send alerts in the clear
            // behind a change_cipher_spec that means nothing.
            (ALERT, &[level, code]) => self.alert(level, code, at),
            (HANDSHAKE, _) if !self.joined.is_empty() => self.handshake(fragment, at, end),
            (_, _) if !self.joined.is_empty() => Err(Fault::Record(kind)),
            (CHANGE_CIPHER_SPEC, [1]) => {
                self.change_cipher_spec(at);
                Ok(())
            }
            (HANDSHAKE, _) if !self.sealed || self.begins_second_hello(fragment) => {
                self.handshake(fragment, at, end)
            }
            (APPLICATION_DATA, _) if self.may_encrypt() => {
                self.sealed = true;
                self.seal(kind, fragment.len(), at);
                Ok(())
            }
            (_, _) if self.sealed && !self.hides_types() => {
                self.seal(kind, fragment.len(), at);
                Ok(())
            }
            (HEARTBEAT, _) => Ok(()),
            (ALERT, _) => Err(Fault::RecordLength {
                kind,
                length: fragment.len(),
            }),
            _ => Err(Fault::Record(kind)),
        }
    }

    /// In TLS 1.3 a client may encrypt right behind its hello, without a `change_cipher_spec`.
    fn may_encrypt(&self) -> bool {
        let last = self.seen.messages.last();
        let only_hellos = last.is_some_and(|message| message.kind == CLIENT_HELLO);
        self.sealed || (self.from == End::Client && only_hellos)
    }

    /// TLS 1.3 encrypts the type of a record, too; a server is known to have chosen it.
    fn hides_types(&self) -> bool {
        let chosen = self.seen.server_hello.as_ref();
        chosen.is_some_and(|hello| hello.version >= 0x0304)
    }

    /// Behind its `change_cipher_spec`, a client of TLS 1.3 may have to send another hello in the
    /// clear, while in TLS 1.2 the encrypted `Finished` stands there: six bytes tell.
    fn begins_second_hello(&self, fragment: &[u8]) -> bool {
        let like_hello = matches!(fragment, [CLIENT_HELLO, 0, _, _, 3, 3, ..]);
        self.from == End::Client && self.seen.hellos == 1 && like_hello
    }

    fn change_cipher_spec(&mut self, at: usize) {
        self.seen.change_cipher_spec.get_or_insert(at);
        if self.from == End::Client {
            self.sealed = true;
        }
        // Behind a HelloRetryRequest it means nothing: the ServerHello is still to come.
        if let Some(hello) = &mut self.seen.server_hello {
            // A full handshake of TLS 1.2 ends the server's first flight with this message.
            let done = |message: &Message| message.kind == SERVER_HELLO_DONE;
            if !self.sealed && !self.seen.messages.iter().any(done) {
                hello.resumed = true;
            }
            self.sealed = true;
        }
    }

    fn alert(&mut self, level: u8, code: u8, at: usize) -> Result<(), Fault> {
        let alert = SeenAlert { level, code, at };
        match (level, code) {
            (1 | 2, 0) => {
                self.seen.close.get_or_insert(at);
            }
            (1, _) => {
                self.seen.warning.get_or_insert(alert);
            }
            (2, _) => {
                self.seen.alert.get_or_insert(alert);
            }
            _ => return Err(Fault::Record(ALERT)),
        }
        Ok(())
    }

    fn seal(&mut self, kind: u8, len: usize, at: usize) {
        let encrypted = &mut self.seen.encrypted;
        // TLS 1.2 shows the types, and its Finished is the first record behind the keys.
        let shows_types = encrypted.first.is_some_and(|first| first.kind == HANDSHAKE);
        let as_long = kind == APPLICATION_DATA && len == SEALED_ALERT && !shows_types;
        let record = Sealed {
            kind,
            len,
            at,
            likely_alert: kind == ALERT || as_long,
        };
        encrypted.records += 1;
        encrypted.bytes += len;
        encrypted.first.get_or_insert(record);
        encrypted.last = Some(record);
    }

    /// Joins messages out of records, and reads those that are complete.
    fn handshake(&mut self, fragment: &[u8], at: usize, end: usize) -> Result<(), Fault> {
        if self.joined.is_empty() {
            self.joined_at = at;
        }
        let mut joined = std::mem::take(&mut self.joined);
        joined.extend_from_slice(fragment);
        let mut reader = Reader::new(&joined);
        while !reader.is_empty() {
            let mut ahead = reader;
            let kind = ahead.u8().unwrap_or_default();
            self.may_say(kind)?;
            let length = ahead.u24().unwrap_or_default();
            if usize::try_from(length).is_ok_and(|length| MESSAGE_HEADER + length > MAX_MESSAGE) {
                return Err(Fault::TooLong(kind));
            }
            let mut whole = reader;
            let Ok(body) = whole.skip(1).and_then(|()| whole.vec_u24()) else {
                break;
            };
            reader = whole;
            self.list(kind, self.joined_at, end);
            self.message(kind, body)?;
            self.joined_at = at;
            if self.sealed && self.from == End::Server && !reader.is_empty() {
                return Err(Fault::DataBehind);
            }
        }
        let read = joined.len() - reader.left();
        joined.drain(..read);
        self.joined = joined;
        Ok(())
    }

    /// Checks that this end may send this message in the clear now.
    fn may_say(&self, kind: u8) -> Result<(), Fault> {
        let seen = &self.seen;
        let legal = match (self.from, kind) {
            (End::Client, CLIENT_HELLO) => seen.hellos == 1,
            (
                End::Client,
                CERTIFICATE | CERTIFICATE_VERIFY | CLIENT_KEY_EXCHANGE | SUPPLEMENTAL_DATA
                | NEXT_PROTOCOL,
            ) => true,
            (End::Server, SERVER_HELLO) => seen.server_hello.is_none(),
            (
                End::Server,
                HELLO_REQUEST | NEW_SESSION_TICKET | CERTIFICATE | SERVER_KEY_EXCHANGE
                | CERTIFICATE_REQUEST | SERVER_HELLO_DONE | CERTIFICATE_STATUS | SUPPLEMENTAL_DATA,
            ) => seen.server_hello.is_some(),
            _ => false,
        };
        legal.then_some(()).ok_or(Fault::Message(kind))
    }

    fn message(&mut self, kind: u8, body: Reader<'_>) -> Result<(), Fault> {
        let malformed = |_| Fault::Malformed(kind);
        let seen = &mut self.seen;
        match kind {
            CLIENT_HELLO => seen.hellos += 1,
            SERVER_HELLO => {
                let (hello, retry) = server_hello(body).map_err(malformed)?;
                if !retry {
                    self.sealed = hello.version >= 0x0304;
                    seen.server_hello = Some(hello);
                } else if seen.hello_retry {
                    return Err(Fault::Message(kind));
                } else {
                    seen.hello_retry = true;
                    seen.retry_group = hello.group;
                }
            }
            CERTIFICATE if seen.certificates.is_empty() => {
                seen.certificates = certificates(body).map_err(malformed)?;
            }
            SERVER_KEY_EXCHANGE => {
                if let Some(hello) = &mut seen.server_hello {
                    hello.group = named_curve(body, hello.suite);
                }
            }
            CERTIFICATE_REQUEST => seen.certificate_request = true,
            _ => {}
        }
        Ok(())
    }

    fn list(&mut self, kind: u8, at: usize, end: usize) {
        if self.seen.messages.len() < MAX_MESSAGES {
            self.seen.messages.push(Message { kind, at, end });
        }
    }
}
