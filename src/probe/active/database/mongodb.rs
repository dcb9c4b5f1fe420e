//! MongoDB: `hello`, which every driver sends first and every server answers without a login.

use bson::{RawBsonRef, RawDocument, rawdoc};
use tokio::io::AsyncWriteExt;
use tokio_rustls::client::TlsStream;

use super::answer::{NoAnswer, answer, preview};
use crate::probe::active::attempt::Attempt;
use crate::probe::active::handshake::Wire;
use crate::probe::active::plan::Plan;
use crate::probe::active::target::Host;
use crate::probe::{Finding, rules};
use crate::wire::{Reader, printable};

/// The longest answer that is read; a real one has some hundred bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The opcode of requests and answers since MongoDB 3.6.
const OP_MSG: u32 = 2013;

/// The most hosts of a replica set; the server itself allows 50.
const MAX_HOSTS: usize = 64;

/// The whole `hello` message.
pub(in crate::probe::active) fn hello() -> Vec<u8> {
    let document = rawdoc! { "hello": 1, "$db": "admin" };
    let mut body = vec![0; 4]; // no flags
    body.push(0); // a section with one document
    body.extend_from_slice(document.as_bytes());
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::new();
    // Length, request id, answer to none, opcode.
    for number in [length, 1, 0, OP_MSG] {
        message.extend(number.to_le_bytes());
    }
    message.extend(body);
    message
}

/// Returns whether bytes begin like an answer to [`hello`].
fn is_answer(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let header: Result<Vec<u32>, _> = (0..4).map(|_| reader.u32_le()).collect();
    matches!(header.as_deref(), Ok([_, _, 1, OP_MSG]))
}

pub(super) async fn ask(
    tls: &mut TlsStream<Wire>,
    plan: &Plan,
    attempt: &mut Attempt,
) -> Result<(), NoAnswer> {
    tls.write_all(&hello()).await?;
    tls.flush().await?;
    let whole = |all: &[u8]| {
        let length = Reader::new(all).u32_le();
        length.is_ok_and(|length| u64::from(length) <= all.len() as u64)
    };
    let reply = answer(tls, MAX_ANSWER, plan.limit, whole).await?;
    let Some(told) = read(&reply) else {
        attempt.findings.push(Finding::new(
            &rules::MONGODB_UNEXPECTED,
            format!("it answered hello with {}", preview(&reply)),
        ));
        return Ok(());
    };
    if let Some(error) = &told.error {
        let detail = format!("it answered hello with the error: {error}");
        attempt
            .findings
            .push(Finding::new(&rules::MONGODB_UNEXPECTED, detail));
    }
    if let Some(set) = &told.set {
        attempt.told.insert("set", set.clone());
    }
    if let Some(me) = &told.me {
        attempt.told.insert("me", me.clone());
    }
    if !told.hosts.is_empty() {
        attempt.told.insert("hosts", told.hosts.join(" "));
    }
    if let Some(role) = told.role {
        attempt.told.insert("role", role.to_owned());
    }
    if let Some(detail) = elsewhere(&told, &plan.dialled) {
        attempt
            .findings
            .push(Finding::new(&rules::MONGODB_HOSTS_ELSEWHERE, detail));
    }
    Ok(())
}

/// Answer of a server; texts are safe to print.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    set: Option<String>,
    me: Option<String>,
    hosts: Vec<String>,
    role: Option<&'static str>,
    error: Option<String>,
}

/// Reads the answer. Only the outermost document is walked, so depth costs nothing.
fn read(message: &[u8]) -> Option<Told> {
    if !is_answer(message) {
        return None;
    }
    let mut reader = Reader::new(message);
    let length = usize::try_from(reader.u32_le().ok()?).ok()?;
    let mut body = Reader::new(Reader::new(message).take(length).ok()?);
    body.skip(16 + 4).ok()?;
    if body.u8().ok()? != 0 {
        return None;
    }
    let rest = body.rest();
    let length = usize::try_from(Reader::new(rest).u32_le().ok()?).ok()?;
    let document = RawDocument::from_bytes(Reader::new(rest).take(length).ok()?).ok()?;
    let text = |key: &str| document.get_str(key).ok().map(printable);
    let hosts = document.get_array("hosts").ok();
    let hosts = hosts.into_iter().flatten();
    let is = |key: &str| document.get_bool(key).unwrap_or(false);
    let role = if text("msg").as_deref() == Some("isdbgrid") {
        Some("mongos")
    } else if is("isWritablePrimary") || is("ismaster") {
        Some("primary")
    } else if is("secondary") {
        Some("secondary")
    } else {
        None
    };
    let failed = matches!(
        document.get("ok"),
        Ok(Some(RawBsonRef::Double(0.0) | RawBsonRef::Int32(0)))
    );
    Some(Told {
        set: text("setName"),
        me: text("me"),
        hosts: hosts
            .take(MAX_HOSTS)
            .filter_map(|host| Some(printable(host.ok()?.as_str()?)))
            .collect(),
        role,
        error: failed.then(|| text("errmsg").unwrap_or_else(|| "no words".to_owned())),
    })
}

/// Explains why drivers would leave the dialled host, if they would.
fn elsewhere(told: &Told, (host, port): &(Host, u16)) -> Option<String> {
    let dialled = format!("{host}:{port}");
    let named = |other: &String| other.eq_ignore_ascii_case(&dialled);
    if told.hosts.is_empty() || told.hosts.iter().any(named) {
        return None;
    }
    let set = told.set.as_deref().unwrap_or("(no name)");
    let hosts = told.hosts.join(", ");
    Some(format!(
        "the set {set} is at {hosts}, and {dialled} is not among them"
    ))
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    fn answer(document: &bson::RawDocumentBuf) -> Vec<u8> {
        let mut message = Vec::new();
        let length = u32::try_from(21 + document.as_bytes().len()).unwrap();
        for number in [length, 7, 1, OP_MSG, 0] {
            message.extend(number.to_le_bytes());
        }
        message.push(0);
        message.extend(document.as_bytes());
        message
    }

    #[test]
    fn the_hello_is_the_document_that_it_should_be() {
        let hello = hello();
        assert_eq!(hello.len(), usize::from(hello[0]));
        let document = RawDocument::from_bytes(&hello[21..]).unwrap();
        let expected = doc! { "hello": 1, "$db": "admin" };
        assert_eq!(bson::Document::try_from(document).unwrap(), expected);
    }

    #[test]
    fn a_replica_set_tells_where_it_lives() {
        let message = answer(&rawdoc! {
            "isWritablePrimary": true, "setName": "rs0", "me": "db1.internal:27017",
            "hosts": ["db1.internal:27017", "db2.internal\u{1b}:27017", 7], "ok": 1.0,
        });
        let told = read(&message).unwrap();
        assert_eq!(told.role, Some("primary"));
        assert_eq!(
            told.hosts,
            ["db1.internal:27017", "db2.internal\\u{1b}:27017"]
        );
        let at = |url: &str| crate::probe::active::Target::parse(url).unwrap().hosts[0].clone();
        assert_eq!(elsewhere(&told, &at("mongodb://DB1.internal")), None);
        let detail = elsewhere(&told, &at("mongodb://gate.example")).unwrap();
        assert!(detail.contains("gate.example:27017 is not"), "{detail}");
        assert_eq!(elsewhere(&Told::default(), &at("mongodb://a")), None);
    }

    #[test]
    fn errors_and_other_bytes() {
        let refused = answer(&rawdoc! { "ok": 0.0, "errmsg": "no such command" });
        let told = read(&refused).unwrap();
        assert_eq!(told.error.as_deref(), Some("no such command"));
        let whole = answer(&rawdoc! { "ok": 1.0 });
        assert_eq!(read(&whole), Some(Told::default()));
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None, "{end}");
        }
        assert_eq!(read(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None);
    }

    #[test]
    fn a_deep_document_is_read_without_descending() {
        let mut deep = b"\x05\0\0\0\0".to_vec();
        for _ in 0..6000 {
            let length = u32::try_from(deep.len() + 8).unwrap();
            deep = [&length.to_le_bytes(), &b"\x03a\0"[..], &deep, b"\0"].concat();
        }
        let deep = bson::RawDocumentBuf::from_bytes(deep).unwrap();
        assert_eq!(read(&answer(&deep)), Some(Told::default()));
    }
}
