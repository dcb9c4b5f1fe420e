//! The first words of a check, and the answers that show a server ready for clients.
//!
//! They leave no line in the log of a server and raise none of its counters, where the protocol
//! allows that: Postgres is asked for GSSAPI encryption and left before a login, which it takes for
//! a client that changed its mind; MySQL and MariaDB count everybody who leaves before a login, so
//! they are given one that they refuse, and MariaDB logs that.
//!
//! Sources: `PostgreSQL` documentation, "GSSAPI Session Encryption"; Redis documentation, "Redis
//! serialization protocol specification"; MongoDB documentation, "MongoDB Wire Protocol" and
//! "hello"; MySQL documentation, "Connection Phase" and "Host Cache".

use super::mysql::{
    CLIENT_PLUGIN_AUTH, CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION, ErrPacket, Packet,
    ServerOpening, encode, read_opening,
};
use crate::protocol::Protocol;
use crate::wire::{Reader, one_line};

/// The longest answer that has to be read.
pub const MAX_ANSWER: usize = 64 * 1024;

/// The longest of a server's words that are repeated.
const MAX_WORDS: usize = 200;

/// The request of Postgres clients for encryption by GSSAPI.
const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

/// The command of Redis that needs no right and no key.
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// `{hello: 1, $db: "admin"}` as an `OP_MSG` with request id 1.
const HELLO: &[u8] = b"\x34\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\
    \x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";

/// The opcode of MongoDB's answers.
const OP_MSG: u32 = 2013;

/// User of a login to MySQL that has to fail; it does not exist.
const NOBODY: &[u8] = b"dbgate-check";

/// First bytes of MySQL's packets: an OK, and the request for another proof.
const OK: u8 = 0x00;
const AUTH_SWITCH: u8 = 0xfe;

/// MySQL's goodbye.
const COM_QUIT: u8 = 0x01;

/// The next step with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InquiryStep {
    /// Read more, then ask again with all of the input.
    NeedMore,
    /// Drop `consumed` bytes of the input, send these, and ask again.
    Send {
        /// In bytes.
        consumed: usize,
        /// Never empty.
        bytes: Vec<u8>,
    },
    /// It is ready; these bytes say goodbye, if any.
    Ready(&'static [u8]),
    /// It is not, with its words, which are safe to print.
    NotReady(String),
}

/// A check of a server of one protocol.
#[derive(Debug)]
pub struct Inquiry {
    protocol: Protocol,
    /// Number of messages sent.
    sent: u8,
}

impl Inquiry {
    /// The check of a server of this protocol; a server that only speaks TLS has nothing to say.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, sent: 0 }
    }

    /// Takes `input`, everything received and not yet consumed, and gives the next step.
    pub fn advance(&mut self, input: &[u8]) -> InquiryStep {
        let step = match self.protocol {
            Protocol::Postgres => self.ask(&GSSENC_REQUEST, input, postgres),
            Protocol::Redis => self.ask(PING, input, redis),
            Protocol::Mongodb => self.ask(HELLO, input, mongodb),
            Protocol::Mysql | Protocol::Mariadb => self.mysql(input),
            Protocol::Tls => InquiryStep::Ready(b""),
        };
        if matches!(step, InquiryStep::Send { .. }) {
            self.sent += 1;
        }
        match step {
            InquiryStep::NeedMore if input.len() > MAX_ANSWER => {
                InquiryStep::NotReady("it does not come to an end with its answer".to_owned())
            }
            step => step,
        }
    }

    fn ask(
        &self,
        request: &[u8],
        input: &[u8],
        read: fn(&[u8], &Self) -> InquiryStep,
    ) -> InquiryStep {
        if self.sent == 0 {
            return InquiryStep::Send {
                consumed: 0,
                bytes: request.to_vec(),
            };
        }
        if input.is_empty() {
            return InquiryStep::NeedMore;
        }
        read(input, self)
    }

    fn mysql(&self, input: &[u8]) -> InquiryStep {
        if self.sent == 0 {
            return match read_opening(input) {
                Ok(ServerOpening::NeedMore) => InquiryStep::NeedMore,
                Ok(ServerOpening::Greeting { greeting, consumed }) => InquiryStep::Send {
                    consumed,
                    bytes: encode(1, &refused_login(greeting.capabilities, greeting.charset)),
                },
                Ok(ServerOpening::Err { error, .. }) => not_ready_mysql(&error),
                Err(_) => self.another(input),
            };
        }
        match Packet::read(input) {
            Ok(None) => InquiryStep::NeedMore,
            Ok(Some(packet)) => match packet.payload.first() {
                Some(&AUTH_SWITCH) if self.sent == 1 => InquiryStep::Send {
                    consumed: packet.wire_len(),
                    bytes: encode(packet.seq.wrapping_add(1), b""),
                },
                // It lets everybody in.
                Some(&OK) => InquiryStep::Ready(&[1, 0, 0, 0, COM_QUIT]),
                _ => match ErrPacket::parse(packet.payload) {
                    Ok(_) => InquiryStep::Ready(b""),
                    Err(_) => self.another(input),
                },
            },
            Err(_) => self.another(input),
        }
    }

    /// A server of something else.
    fn another(&self, input: &[u8]) -> InquiryStep {
        let start = input.get(..input.len().min(32)).unwrap_or_default();
        InquiryStep::NotReady(format!(
            "it answers with something other than {}: {}",
            self.protocol,
            crate::wire::escape(start)
        ))
    }
}

fn postgres(input: &[u8], inquiry: &Inquiry) -> InquiryStep {
    match input.first() {
        // A server before version 12 does not know the request, and says so.
        Some(b'N' | b'G' | b'E') => InquiryStep::Ready(b""),
        _ => inquiry.another(input),
    }
}

fn redis(input: &[u8], inquiry: &Inquiry) -> InquiryStep {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return InquiryStep::NeedMore;
    };
    let line = input.get(..end).unwrap_or_default().trim_ascii_end();
    match line.split_first() {
        Some((b'+', _)) => InquiryStep::Ready(b""),
        // It wants a login, or another one.
        Some((b'-', words)) if words.starts_with(b"NOAUTH") || words.starts_with(b"NOPERM") => {
            InquiryStep::Ready(b"")
        }
        Some((b'-', words)) => {
            InquiryStep::NotReady(format!("it answers PING with the error: {}", said(words)))
        }
        _ => inquiry.another(input),
    }
}

fn mongodb(input: &[u8], inquiry: &Inquiry) -> InquiryStep {
    let mut reader = Reader::new(input);
    let header: Result<Vec<u32>, _> = (0..4).map(|_| reader.u32_le()).collect();
    match header.as_deref() {
        Ok([_, _, 1, OP_MSG]) => InquiryStep::Ready(b""),
        Ok(_) => inquiry.another(input),
        Err(_) => InquiryStep::NeedMore,
    }
}

fn not_ready_mysql(error: &ErrPacket) -> InquiryStep {
    InquiryStep::NotReady(format!(
        "it greets with error {}: {}",
        error.code,
        said(&error.message)
    ))
}

/// The payload of a login as nobody, without a password.
fn refused_login(capabilities: u32, charset: u8) -> Vec<u8> {
    let used = capabilities & (CLIENT_SECURE_CONNECTION | CLIENT_PLUGIN_AUTH) | CLIENT_PROTOCOL_41;
    let mut payload = used.to_le_bytes().to_vec();
    payload.extend((1_u32 << 24).to_le_bytes());
    payload.push(charset);
    payload.resize(32, 0);
    payload.extend(NOBODY);
    payload.push(0);
    payload.push(0); // the length of what proves it, or the text of it: empty in each case
    if used & CLIENT_PLUGIN_AUTH != 0 {
        payload.extend(b"mysql_native_password\0");
    }
    payload
}

/// A server's words, safe to print.
fn said(words: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(words), MAX_WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preface::mysql::{Profile, SCRAMBLE};

    /// The last step with a server that answers each message with one of these, and what it was sent.
    fn asked(protocol: Protocol, answers: &[&[u8]]) -> (InquiryStep, Vec<Vec<u8>>) {
        let mut inquiry = Inquiry::new(protocol);
        let (mut sent, mut input) = (Vec::new(), Vec::new());
        let mut answers = answers.iter();
        loop {
            match inquiry.advance(&input) {
                InquiryStep::Send { consumed, bytes } => {
                    input.drain(..consumed);
                    sent.push(bytes);
                }
                InquiryStep::NeedMore => {
                    let Some(answer) = answers.next() else {
                        return (InquiryStep::NeedMore, sent);
                    };
                    input.extend_from_slice(answer);
                }
                last => return (last, sent),
            }
        }
    }

    fn words(step: &InquiryStep) -> &str {
        match step {
            InquiryStep::NotReady(words) => words,
            other => panic!("{other:?}"),
        }
    }

    const READY: InquiryStep = InquiryStep::Ready(b"");

    #[test]
    fn postgres_is_asked_for_encryption_that_nobody_uses() {
        for answer in [b"N", b"G", b"E"] {
            let (step, sent) = asked(Protocol::Postgres, &[answer]);
            assert_eq!((step, sent), (READY, vec![GSSENC_REQUEST.to_vec()]));
        }
        let (step, _) = asked(Protocol::Postgres, &[b"HTTP/1.1 400\r\n"]);
        assert!(
            words(&step).contains("other than postgres: HTTP"),
            "{step:?}"
        );
    }

    #[test]
    fn redis_is_alive_if_it_wants_a_login_and_not_while_it_loads() {
        for answer in ["+PONG\r\n", "-NOAUTH Authentication required.\r\n"] {
            let pieces: Vec<&[u8]> = answer.as_bytes().chunks(3).collect();
            assert_eq!(asked(Protocol::Redis, &pieces).0, READY, "{answer}");
        }
        let loading = b"-LOADING Redis is loading\x1b the dataset in memory\r\n";
        let (step, _) = asked(Protocol::Redis, &[loading]);
        assert!(
            words(&step).contains("LOADING Redis is loading"),
            "{step:?}"
        );
        assert!(!words(&step).contains('\x1b'), "{step:?}");
    }

    #[test]
    fn mongodb_answers_this_hello() {
        assert_eq!(HELLO.len(), usize::from(HELLO[0]));
        let answer = [
            &[40, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0][..],
            &OP_MSG.to_le_bytes(),
        ]
        .concat();
        let pieces: Vec<&[u8]> = answer.chunks(5).collect();
        assert_eq!(asked(Protocol::Mongodb, &pieces).0, READY);
        let (step, _) = asked(Protocol::Mongodb, &[&[0; 16]]);
        assert!(words(&step).contains("other than mongodb"), "{step:?}");
    }

    #[test]
    fn mysql_has_to_refuse_a_login() {
        let greeting = Profile::MARIADB.greeting(1, &[7; SCRAMBLE]);
        let denied = |seq| {
            let error = ErrPacket {
                code: 1045,
                sqlstate: Some(*b"28000"),
                message: b"Access denied".to_vec(),
            };
            error.encode(seq)
        };
        let (step, sent) = asked(Protocol::Mariadb, &[&greeting, &denied(2)]);
        assert_eq!((step, sent.len()), (READY, 1));
        assert!(sent[0].windows(NOBODY.len()).any(|part| part == NOBODY));
        let switch = encode(2, b"\xfemysql_native_password\0salt");
        let (step, sent) = asked(Protocol::Mariadb, &[&greeting, &switch, &denied(4)]);
        assert_eq!((step, sent.len()), (READY, 2));
        assert_eq!(sent[1], encode(3, b""));
        let full = ErrPacket {
            code: 1040,
            sqlstate: None,
            message: b"Too many connections".to_vec(),
        };
        let (step, sent) = asked(Protocol::Mysql, &[&full.encode(0)]);
        assert!(words(&step).contains("1040: Too many"), "{step:?}");
        assert!(sent.is_empty());
    }

    #[test]
    fn an_answer_without_end_is_none() {
        let endless = vec![b'a'; MAX_ANSWER + 1];
        let (step, _) = asked(Protocol::Redis, &[b"+", &endless]);
        assert!(words(&step).contains("come to an end"), "{step:?}");
    }
}
