//! The log writes whole lines, each of one record, wherever they go and whatever clients
//! have sent.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use super::line::line;
use super::*;
use crate::config::{AccessTo, LogFormat};
use crate::stats::CloseReason;
use crate::tls::Sni;

const LONG: Duration = Duration::from_secs(60);

/// Names in a client's hello that could look like something else in a log.
const HOSTILE: &[&[u8]] = &[
    b"a\nts=2026-01-01T00:00:00.000Z id=1 listener=main",
    b"a\r\n{\"ts\":\"forged\"}",
    b"x\" database=\"prod",
    b"\",\"database\":\"prod",
    b"a b=c",
    b"\\\" \\n",
    b"\x1b]0;title\x07\x1b[2J\x1b[31mred",
    b"\x00\x01\x7f\x80\xff",
    b"-",
    b"",
    "\u{202e}gnp.exe\u{2028}".as_bytes(),
];

fn record(id: u64, sent: &[u8]) -> Record {
    let sni = Sni::from_host_name(sent);
    Record {
        ts: SystemTime::now(),
        id,
        listener: "main".into(),
        client: ([192, 0, 2, 1], 4711).into(),
        proxy: None,
        protocol: Some("postgres"),
        tls: None,
        sni: sni.sent().map(Into::into),
        sni_status: Some(sni.status()),
        alpn: Some(crate::wire::escape(sent).into()),
        tls_version: None,
        user_cert: Some(crate::wire::escape(sent).into()),
        database: None,
        backend: None,
        handshake_ms: 1.5,
        connect_ms: None,
        duration_ms: 2.0,
        bytes_in: 517,
        bytes_out: 7,
        close: "reject",
        reason: CloseReason::UnknownHost,
    }
}

fn to(access_to: AccessTo, format: LogFormat) -> Log {
    Log {
        format,
        access_to,
        ..Log::default()
    }
}

fn fields_of(record: &Record) -> Vec<(String, Value)> {
    let Ok(Value::Object(fields)) = serde_json::to_value(record) else {
        panic!("no object: {record:?}");
    };
    fields.into_iter().collect()
}

/// Reads a line of text as its grammar says: pairs between single spaces, quoted values in JSON.
fn parse_text(line: &str) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').expect("a key");
        let (value, left) = if after.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(after).into_iter();
            let value: Value = values.next().expect("a value").expect("a string");
            let (_, left) = after.split_at(values.byte_offset());
            (value, left.strip_prefix(' ').unwrap_or(left))
        } else {
            let (bare, left) = after.split_once(' ').unwrap_or((after, ""));
            (Value::String(bare.to_owned()), left)
        };
        fields.push((key.to_owned(), value));
        rest = left;
    }
    fields
}

#[test]
fn no_client_forges_a_line_or_a_field() {
    for sent in HOSTILE {
        let record = record(7, sent);
        let wanted = fields_of(&record);
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = line(&record, format);
            let (body, end) = line.split_at(line.len() - 1);
            assert_eq!(end, "\n");
            assert!(
                body.bytes().all(|b| (0x20..0x7f).contains(&b)),
                "{sent:?} reaches the log as {body:?}"
            );
        }
        let json: Value = serde_json::from_str(&line(&record, LogFormat::Json)).unwrap();
        assert_eq!(json, serde_json::to_value(&record).unwrap());

        let text = line(&record, LogFormat::Text);
        let read = parse_text(text.trim_end_matches('\n'));
        let keys = |fields: &[(String, Value)]| -> Vec<String> {
            fields.iter().map(|(key, _)| key.clone()).collect()
        };
        assert_eq!(keys(&read), keys(&wanted), "{text}");
        for ((key, value), (_, wanted)) in read.iter().zip(&wanted) {
            let wanted = match wanted {
                Value::Null => Value::String("-".to_owned()),
                Value::Number(n) => Value::String(n.to_string()),
                other => other.clone(),
            };
            assert_eq!(*value, wanted, "{key} in {text}");
        }
    }
}

#[test]
fn what_is_absent_is_told_apart_from_a_dash() {
    let text = line(&record(7, b"-"), LogFormat::Text);
    assert!(text.contains(" alpn=\"-\" tls_version=- "), "{text}");
}

/// Takes the fields of a datagram apart, as the journal does.
fn journal_fields(mut datagram: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    while !datagram.is_empty() {
        let at = datagram.iter().position(|b| matches!(b, b'=' | b'\n'));
        let (name, rest) = datagram.split_at(at.expect("a name"));
        let (value, rest) = if rest[0] == b'=' {
            let end = rest.iter().position(|b| *b == b'\n').expect("an end");
            (&rest[1..end], &rest[end + 1..])
        } else {
            let length = u64::from_le_bytes(rest[1..9].try_into().unwrap());
            let end = 9 + usize::try_from(length).unwrap();
            assert_eq!(rest[end], b'\n');
            (&rest[9..end], &rest[end + 1..])
        };
        fields.push((text(name), text(value)));
        datagram = rest;
    }
    fields
}

#[test]
fn the_journal_gets_a_datagram_a_line_with_every_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let journal = UnixDatagram::bind(&path).unwrap();
    journal.set_read_timeout(Some(LONG)).unwrap();
    let log = to(AccessTo::Journal(path), LogFormat::Text);
    let access_log = AccessLog::start(&log).unwrap();
    for (id, sent) in HOSTILE.iter().enumerate() {
        let record = record(id as u64, sent);
        access_log.write(Arc::new(record.clone()));
        let mut datagram = vec![0; 64 * 1024];
        let n = journal.recv(&mut datagram).unwrap();
        let got = journal_fields(&datagram[..n]);
        let mut wanted = vec![
            ("MESSAGE".to_owned(), line(&record, LogFormat::Text)),
            ("PRIORITY".to_owned(), "6".to_owned()),
            ("SYSLOG_IDENTIFIER".to_owned(), "dbgate".to_owned()),
        ];
        wanted[0].1.pop();
        for (key, value) in fields_of(&record) {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                other => other.to_string(),
            };
            wanted.push((format!("DBGATE_{}", key.to_uppercase()), text));
        }
        assert_eq!(got, wanted);
    }
}

#[test]
fn a_value_of_several_lines_is_one_field() {
    let mut record = record(1, b"a");
    record.listener = "a\nPRIORITY=0\nMESSAGE=forged".into();
    let fields = journal_fields(&super::line::journal(&record, LogFormat::Json));
    let count = |name: &str| fields.iter().filter(|(key, _)| key == name).count();
    assert_eq!((count("PRIORITY"), count("MESSAGE")), (1, 1), "{fields:?}");
    assert!(
        fields.contains(&("DBGATE_LISTENER".to_owned(), record.listener.to_string())),
        "{fields:?}"
    );
}

fn ids(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
    let id = |line: &str| {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        json["id"].as_u64().expect("an id")
    };
    text.lines().map(id).collect()
}

#[test]
fn rotation_loses_no_line_and_tears_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = to(AccessTo::File(path.clone()), LogFormat::Json);
    let access_log = AccessLog::start(&log).unwrap();
    let (rotations, lines) = (20_u64, 500_u64);
    let old = |n: u64| -> PathBuf { folder.path().join(format!("access.log.{n}")) };
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let access_log = &access_log;
            scope.spawn(move || {
                for id in 0..lines {
                    access_log.write(Arc::new(record(thread * lines + id, b"a\nb")));
                }
            });
        }
        for n in 0..rotations {
            std::fs::rename(&path, old(n)).unwrap();
            access_log.switch(Sink::open(&log).unwrap()).unwrap();
        }
    });
    access_log.finish(LONG);
    assert_eq!(access_log.lost(), 0);
    let mut found: Vec<u64> = (0..rotations).flat_map(|n| ids(&old(n))).collect();
    found.extend(ids(&path));
    found.sort_unstable();
    let all: Vec<u64> = (0..2 * lines).collect();
    assert_eq!(found, all);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}

#[test]
fn a_stuck_reader_costs_lines_and_nobody_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let log = to(AccessTo::File(path.clone()), LogFormat::Json);
    assert!(AccessLog::start(&log).is_err(), "nobody reads the pipe");

    let mut reader = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let access_log = AccessLog::start(&log).unwrap();
    let mut written = 0;
    while access_log.lost() < 10 {
        access_log.write(Arc::new(record(written, b"a")));
        written += 1;
    }
    // Leads elsewhere although the pipe is still stuck.
    let other = folder.path().join("other");
    let log = to(AccessTo::File(other.clone()), LogFormat::Json);
    access_log.switch(Sink::open(&log).unwrap()).unwrap();
    access_log.write(Arc::new(record(written, b"a")));
    access_log.finish(Duration::ZERO);
    let deadline = Instant::now() + LONG;
    while ids(&other) != [written] {
        assert!(Instant::now() < deadline, "the other file holds nothing");
        std::thread::yield_now();
    }

    // What the pipe was given is whole.
    let mut bytes = vec![0; 1024];
    let n = reader.read(&mut bytes).unwrap();
    let first = bytes[..n].split(|b| *b == b'\n').next().unwrap();
    let first: Value = serde_json::from_slice(first).unwrap();
    assert_eq!(first["id"], 0);
}

#[test]
fn a_place_that_cannot_be_opened_is_told() {
    for access_to in [
        AccessTo::File("/nowhere/access.log".into()),
        AccessTo::Journal("/nowhere/socket".into()),
    ] {
        let told = AccessLog::start(&to(access_to, LogFormat::Text)).err();
        let told = told.expect("an error").to_string();
        assert!(told.contains("/nowhere/"), "{told}");
    }
}
