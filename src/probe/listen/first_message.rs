//! Kind of a client's first plaintext message, and a refusal that its user can read.
//!
//! Values are not looked at, only what is there: whoever runs this must not see passwords.
//! Source: Redis documentation, "Redis serialization protocol specification"; MongoDB
//! documentation, "MongoDB Wire Protocol"; for Postgres and MySQL see [`crate::preface`].

use bson::rawdoc;

use crate::preface::mysql::{ClientFirst, ErrPacket, Packet, SECURE_TRANSPORT_REQUIRED};
use crate::preface::postgres::{self, ErrorResponse, Startup};
use crate::preface::sniff::{self, Spoken};
use crate::preface::{Message, MessageKind, Responder, ResponderStep};
use crate::protocol::Protocol;
use crate::wire::Reader;

/// Longest name of a command that is reported, in bytes; real ones are shorter.
const MAX_COMMAND: usize = 32;

/// Length and version of a Postgres client's message.
const FIRST_WORDS: usize = 8;

/// Bytes before the user's name in a MySQL login, the header of the packet included.
const FIXED: usize = 36;

/// The header of a MongoDB message.
const HEADER: usize = 16;

const OP_REPLY: u32 = 1;
const OP_QUERY: u32 = 2004;
const OP_MSG: u32 = 2013;

/// The error code of MongoDB for "not authorized".
const UNAUTHORIZED: i32 = 13;

const STARTUP: &str = "StartupMessage";
const REDIS: &str = "Redis command";
const MONGODB: &str = "MongoDB command";

/// The kind of a message, and what of it could be read on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FirstMessage {
    /// The message, such as `StartupMessage` or `Redis command PING`.
    pub(super) what: String,
    /// Login fields that it holds, such as `user`.
    pub(super) holds: Vec<&'static str>,
    /// First bytes that can be shown: no value is among them.
    pub(super) harmless: usize,
}

impl FirstMessage {
    fn new(what: impl Into<String>, harmless: usize) -> Self {
        Self {
            what: what.into(),
            holds: Vec::new(),
            harmless,
        }
    }

    /// The protocol that the message belongs to, where it can be no other.
    pub(super) fn protocol(&self) -> Option<&'static str> {
        match self.what.as_str() {
            STARTUP | "CancelRequest" => Some("postgres"),
            what if what.starts_with(REDIS) => Some("redis"),
            what if what.starts_with(MONGODB) => Some("mongodb"),
            _ => None,
        }
    }

    /// The message and what it holds, in words.
    pub(super) fn describe(&self) -> String {
        match self.holds.as_slice() {
            [] => self.what.clone(),
            holds => format!("{} (with {})", self.what, holds.join(", ")),
        }
    }
}

/// Reads the first message of a client; `None` if it is nothing known, or not all there.
///
/// With a protocol whose server speaks first it is the answer to the greeting.
pub(super) fn read(bytes: &[u8], hint: Option<Protocol>) -> Option<FirstMessage> {
    if hint.is_some_and(Protocol::server_first) {
        return mysql(bytes);
    }
    match sniff::speaks(bytes) {
        Some(Spoken::RedisCommand) => redis(bytes),
        Some(Spoken::Mongodb) => mongodb(bytes),
        _ => postgres(bytes),
    }
}

fn mysql(bytes: &[u8]) -> Option<FirstMessage> {
    let packet = Packet::read(bytes).ok()??;
    match ClientFirst::parse(packet.payload).ok()? {
        ClientFirst::SslRequest { .. } => None,
        ClientFirst::Response { user, .. } => {
            let mut words = FirstMessage::new("HandshakeResponse", FIXED);
            if !user.is_empty() {
                words.holds.push("user");
            }
            Some(words)
        }
    }
}

fn postgres(bytes: &[u8]) -> Option<FirstMessage> {
    let step = postgres::Responder::inside_tls().advance(bytes).ok()?;
    match step {
        ResponderStep::Message(Message {
            kind: MessageKind::Login,
            len,
            ..
        }) => {
            let mut words = FirstMessage::new(STARTUP, FIRST_WORDS);
            let startup = Startup::parse(Reader::new(bytes).take_up_to(len)).ok()?;
            for (name, value) in [
                ("user", startup.user),
                ("database", startup.database),
                ("application_name", startup.application_name),
            ] {
                if value.is_some() {
                    words.holds.push(name);
                }
            }
            Some(words)
        }
        ResponderStep::Message(_) => Some(FirstMessage::new("CancelRequest", FIRST_WORDS)),
        ResponderStep::Reply { .. } => {
            Some(FirstMessage::new("a request for encryption", FIRST_WORDS))
        }
        ResponderStep::NeedMore | ResponderStep::StartTls => None,
    }
}

/// The first command, as an array of bulk strings or as a line.
fn redis(bytes: &[u8]) -> Option<FirstMessage> {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let mut line = || lines.next()?.strip_suffix(b"\r\n");
    let first = line()?;
    let (name, before) = match first.strip_prefix(b"*") {
        Some(_) => {
            let length = line()?;
            length.strip_prefix(b"$")?;
            (line()?, first.len() + length.len() + 4)
        }
        None => (first.split(|&byte| byte == b' ').next()?, 0),
    };
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'.';
    if name.is_empty() || name.len() > MAX_COMMAND || !name.iter().all(legal) {
        return None;
    }
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    let mut words = FirstMessage::new(format!("{REDIS} {name}"), before + name.len());
    // HELLO may carry AUTH, with the password behind it.
    let logs_in = name == "AUTH" || {
        let upper = Reader::new(bytes).take_up_to(256).to_ascii_uppercase();
        name == "HELLO" && upper.windows(6).any(|window| window == b"\r\nAUTH")
    };
    if logs_in {
        words.holds.push("password");
    }
    Some(words)
}

/// The first command of an `OP_MSG`, or of the `OP_QUERY` with which older drivers begin.
fn mongodb(bytes: &[u8]) -> Option<FirstMessage> {
    let mut reader = Reader::new(bytes);
    reader.skip(12).ok()?;
    let operation = reader.u32_le().ok()?;
    reader.skip(4).ok()?; // flags
    if operation == OP_MSG {
        // A section of kind 0: the one document.
        (reader.u8() == Ok(0)).then_some(())?;
    } else if operation == OP_QUERY {
        reader.until_nul().ok()?; // the collection
        reader.skip(8).ok()?; // to skip, to return
    } else {
        return None;
    }
    reader.skip(5).ok()?; // length of the document, type of its first element
    let name = reader.until_nul().ok()?;
    if name.is_empty() || name.len() > MAX_COMMAND || !name.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let name = String::from_utf8_lossy(name);
    Some(FirstMessage::new(format!("{MONGODB} {name}"), HEADER))
}

/// Refusal in the client's own protocol; empty where the protocol has none.
pub(super) fn refusal(bytes: &[u8], hint: Option<Protocol>, message: &str) -> Vec<u8> {
    let message = format!("dbgate probe listen: {message}");
    if hint.is_some_and(Protocol::server_first) {
        // The answer to packet 1, or inside TLS to packet 2.
        let seq = Packet::read(bytes).ok().flatten();
        let seq = seq.map_or(0, |packet| packet.seq).wrapping_add(1);
        let error = ErrPacket {
            code: SECURE_TRANSPORT_REQUIRED,
            sqlstate: Some(*b"HY000"),
            message: message.into_bytes(),
        };
        return error.encode(seq);
    }
    match read(bytes, hint).map(|words| words.what) {
        Some(what) if what == STARTUP => ErrorResponse {
            severity: "FATAL",
            code: "28000",
            message: &message,
            detail: None,
            hint: Some("This listener has no database: it only reports what clients send."),
        }
        .encode(),
        Some(what) if what.starts_with(REDIS) => format!("-ERR {message}\r\n").into_bytes(),
        Some(what) if what.starts_with(MONGODB) => mongodb_error(bytes, &message),
        _ => Vec::new(),
    }
}

/// The answer to a MongoDB command, in the form of the question.
fn mongodb_error(question: &[u8], message: &str) -> Vec<u8> {
    let mut reader = Reader::new(question);
    let _length = reader.u32_le();
    let request = reader.u32_le().unwrap_or_default();
    let _answer_to = reader.u32_le();
    let document = rawdoc! { "ok": 0.0, "errmsg": message, "code": UNAUTHORIZED };
    let mut body = Vec::new();
    let operation = if reader.u32_le() == Ok(OP_QUERY) {
        body.extend([0; 16]); // flags, cursor, where it starts
        body.extend(1_u32.to_le_bytes()); // documents
        OP_REPLY
    } else {
        body.extend([0; 5]); // flags, a section with one document
        OP_MSG
    };
    body.extend_from_slice(document.as_bytes());
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let header = [length, 0, request, operation];
    let mut answer: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
    answer.extend(body);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup(parameters: &[u8]) -> Vec<u8> {
        let length = u32::try_from(parameters.len() + 8).unwrap();
        [&length.to_be_bytes(), &[0, 3, 0, 0][..], parameters].concat()
    }

    fn message(operation: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(16 + body.len())
            .unwrap()
            .to_le_bytes()
            .to_vec();
        bytes.extend([0; 8]); // request, response to
        bytes.extend(operation.to_le_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn the_kind_is_told_and_never_a_value() {
        let document = b"\x2a\0\0\0\x10hello\0\x01\0\0\0\0";
        let msg = [&[0; 5][..], document].concat();
        let query = [&[0; 4][..], b"admin.$cmd\0", &[0; 8], document].concat();
        let cases: [(&[u8], &str, &[&str]); 10] = [
            (
                &startup(b"user\0alice\0database\0secret\0x\0y\0\0"),
                "StartupMessage",
                &["user", "database"],
            ),
            (&startup(b"user\0alice\0\0"), "StartupMessage", &["user"]),
            (b"*1\r\n$4\r\nping\r\n", "Redis command PING", &[]),
            (b"PING\r\n", "Redis command PING", &[]),
            (b"AUTH secret\r\n", "Redis command AUTH", &["password"]),
            (
                b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n",
                "Redis command AUTH",
                &["password"],
            ),
            (
                b"*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$1\r\na\r\n$6\r\nsecret\r\n",
                "Redis command HELLO",
                &["password"],
            ),
            (
                b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
                "Redis command HELLO",
                &[],
            ),
            (&message(2013, &msg), "MongoDB command hello", &[]),
            (&message(2004, &query), "MongoDB command hello", &[]),
        ];
        for (bytes, what, holds) in cases {
            let words = read(bytes, None).unwrap_or_else(|| panic!("{what}"));
            assert_eq!((words.what.as_str(), words.holds.as_slice()), (what, holds));
            let shown = bytes[..words.harmless].escape_ascii().to_string();
            assert!(
                !shown.contains("alice") && !shown.contains("sec"),
                "{shown}"
            );
            for end in 0..bytes.len() {
                let cut = read(&bytes[..end], None);
                let told = cut.map(|words| words.what).unwrap_or_default();
                assert!(!told.contains("secret"), "{told}");
            }
        }
    }

    #[test]
    fn what_is_unknown_stays_unknown() {
        for bytes in [
            &b""[..],
            b"\0",
            b"\x16\x03\x01\x02\x00",
            b"*1\r\n",
            b"\x1b[31m\r\n",
            &message(1, b"\0\0\0\0\0\0\0\0\0\0a\0"),
        ] {
            assert_eq!(read(bytes, None), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn those_that_have_words_for_it_read_why() {
        let postgres = refusal(&startup(b"user\0a\0\0"), None, "why");
        assert!(postgres.starts_with(b"E"), "{}", postgres.escape_ascii());
        let redis = refusal(b"*1\r\n$4\r\nPING\r\n", None, "why");
        assert_eq!(redis, b"-ERR dbgate probe listen: why\r\n");
        let login = b"\x26\0\0\x01\0\x82\0\0aaaabaaaaaaaaaaaaaaaaaaaaaaaaaaaalice\0";
        let mysql = refusal(login, Some(Protocol::Mysql), "why");
        let packet = Packet::read(&mysql).unwrap().unwrap();
        assert_eq!(packet.seq, 2);
        let error = ErrPacket::parse(packet.payload).unwrap();
        assert_eq!(error.message, b"dbgate probe listen: why");
        let document = rawdoc! { "hello": 1 };
        for (operation, before, answered) in [(2013, 5, OP_MSG), (2004, 4 + 11 + 8, OP_REPLY)] {
            let mut body = vec![0; before];
            if operation == 2004 {
                body[4..14].copy_from_slice(b"admin.$cmd");
            }
            body.extend_from_slice(document.as_bytes());
            let mut question = message(operation, &body);
            question[4] = 42;
            let answer = refusal(&question, None, "why");
            let mut reader = Reader::new(&answer);
            let header: Vec<u32> = (0..4).map(|_| reader.u32_le().unwrap()).collect();
            let length = u32::try_from(answer.len()).unwrap();
            assert_eq!(header, [length, 0, 42, answered], "{operation}");
            let said = b"dbgate probe listen: why";
            assert!(answer.windows(said.len()).any(|window| window == said));
        }
        for other in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x05"] {
            assert_eq!(refusal(other, None, "why"), b"");
        }
    }
}
