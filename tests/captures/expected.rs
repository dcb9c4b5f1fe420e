//! Each capture says what `expected.json` knows about it from another program.

use std::fs;

use serde_json::Value;

use super::write::{Frame, Order, pcap as pcap_file};
use super::{folder, ip_packets, pcap};

/// Fields of which the expectation names another word that is as good.
fn as_good(field: &str, expected: &Value, row: &Value) -> bool {
    let said = row[field].as_str().unwrap_or_default();
    match (field, expected.as_str().unwrap_or_default()) {
        ("protocol", "tls") => {
            said == "redis" && row["server"].as_str().unwrap().ends_with(":6379")
        }
        ("protocol", "mysql") => said == "mariadb",
        _ => false,
    }
}

#[test]
fn every_capture_gives_what_is_expected() {
    let text = fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let expected = expected.as_object().unwrap();
    assert_eq!(expected.len(), 12, "every capture is in it");
    for (name, facts) in expected {
        let ran = pcap(&["-o", "json", folder().join(name).to_str().unwrap()]);
        let rows = ran.rows();
        let number = facts["conversations"].as_u64().unwrap_or(1);
        assert_eq!(rows.len() as u64, number, "{name}: {ran:?}");
        let established = rows.iter().all(|row| row["established"] == true);
        assert_eq!(
            ran.code,
            Some(if established { 0 } else { 4 }),
            "{name}: {ran:?}"
        );
        for (field, value) in facts.as_object().unwrap() {
            if field == "note" || field == "conversations" {
                continue;
            }
            let row = &rows[0];
            assert!(
                row[field] == *value || as_good(field, value, row),
                "{name}: {field} should be {value}: {row:#}"
            );
        }
    }
}

#[test]
fn conversations_of_one_capture_are_told_apart() {
    let file = folder().join("any-sll2.pcapng");
    let ran = pcap(&["-o", "json", file.to_str().unwrap()]);
    let rows = ran.rows();
    let names: Vec<&Value> = rows.iter().map(|row| &row["sni"]).collect();
    assert_eq!(
        names,
        ["my-redis.example", "my-postgres.example"],
        "{ran:?}"
    );
    assert!(rows.iter().all(|row| row["established"] == true), "{ran:?}");
    assert_eq!((&rows[0]["id"], &rows[1]["id"]), (&1.into(), &2.into()));
}

#[test]
fn the_table_names_ends_outcome_and_meaning() {
    let file = folder().join("pg-unknown-ca.pcap");
    let ran = pcap(&[file.to_str().unwrap()]);
    let lines: Vec<&str> = ran.out.lines().collect();
    let [header, row, summary] = lines[..] else {
        panic!("{ran:?}");
    };
    assert!(header.starts_with("ID  TIME"), "{header}");
    for word in [
        "11:37:40.222",
        ":5432",
        "my-postgres.example",
        "client-unknown-ca",
        "alert 48",
    ] {
        assert!(row.contains(word), "{word}: {row}");
    }
    assert_eq!(
        summary,
        "1 conversation, 0 established, 1 failed, 13 packets"
    );
    assert_eq!(ran.code, Some(4));
    assert_eq!(ran.err, "");
}

#[test]
fn only_failed_leaves_out_what_is_well() {
    let file = folder().join("redis-cli-sni.pcap");
    let ran = pcap(&["--only-failed", "-o", "json", file.to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.err.contains("1 conversation, 1 established"), "{ran:?}");
}

#[test]
fn a_port_can_be_given_its_protocol() {
    let file = folder().join("tls-version-mismatch.pcap");
    let file = file.to_str().unwrap();
    let protocol = |args: &[&str]| pcap(args).rows()[0]["protocol"].clone();
    assert_eq!(protocol(&["-o", "json", file]), "tls");
    assert_eq!(
        protocol(&["-o", "json", "--port", "5498=redis", file]),
        "redis"
    );
}

#[test]
fn a_story_tells_what_each_packet_completed() {
    let file = folder().join("pg-unknown-ca.pcap");
    let ran = pcap(&["--stream", "1", "-o", "json", file.to_str().unwrap()]);
    let trace = &ran.rows()[0];
    assert_eq!(trace["code"], "client-unknown-ca");
    let told: Vec<String> = trace["packets"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|packet| packet["tcp"] != "ACK")
        .map(|packet| {
            let done = packet["done"].as_array().unwrap();
            let done: Vec<&str> = done.iter().map(|words| words.as_str().unwrap()).collect();
            format!(
                "{} {} {}",
                packet["from"].as_str().unwrap(),
                packet["tcp"].as_str().unwrap(),
                done.join("; ")
            )
        })
        .collect();
    let expected = [
        "client SYN ",
        "server SYN ACK ",
        "client 8 bytes SSLRequest",
        "server 1 byte S: TLS granted",
        "client 321 bytes ClientHello for my-postgres.example (TLS 1.3, 321 bytes in 1 segment)",
        "server 99 bytes HelloRetryRequest: asks for another ClientHello with a key for secp256r1; \
         ChangeCipherSpec",
        "client 360 bytes ChangeCipherSpec; ClientHello again, as the server asked",
        "server 873 bytes ServerHello (TLS 1.3, TLS_AES_256_GCM_SHA384); encrypted from here on",
        "client 7 bytes alert unknown_ca",
        "client RST ",
    ];
    assert_eq!(told, expected);

    let none = pcap(&["--stream", "9", file.to_str().unwrap()]);
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.err.contains("no conversation 9"), "{none:?}");
}

#[test]
fn a_session_that_ran_before_the_capture_has_not_failed() {
    let name = "pg-starttls-psql15.pcap";
    let whole = fs::read(folder().join(name)).unwrap();
    let frames: Vec<Frame> = ip_packets(&whole)
        .iter()
        // The last packets of the session: its handshake is over by then.
        .skip(18)
        .map(|(at, ip)| Frame::new(*at, &[], ip))
        .collect();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("late.pcap");
    fs::write(&file, pcap_file(Order::Little, false, 101, &frames)).unwrap();
    let ran = pcap(&[file.to_str().unwrap()]);
    let summary = ran.out.lines().last().unwrap_or_default();
    assert!(ran.out.contains("capture-start-unknown"), "{ran:?}");
    assert!(
        summary.contains("0 failed, 1 unknown (not enough was seen)"),
        "{ran:?}"
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let failed = pcap(&[file.to_str().unwrap(), "--only-failed", "-o", "json"]);
    assert_eq!(
        (failed.code, failed.out.as_str()),
        (Some(0), ""),
        "{failed:?}"
    );
}

#[test]
fn a_conversation_that_the_file_does_not_end_has_not_failed() {
    let whole = fs::read(folder().join("pg-unknown-ca.pcap")).unwrap();
    let frames: Vec<Frame> = ip_packets(&whole)
        .iter()
        // The ServerHello has not come yet.
        .take(9)
        .map(|(at, ip)| Frame::new(*at, &[], ip))
        .collect();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("early.pcap");
    fs::write(&file, pcap_file(Order::Little, false, 101, &frames)).unwrap();
    let ran = pcap(&[file.to_str().unwrap()]);
    assert!(ran.out.contains("capture-still-open"), "{ran:?}");
    assert!(
        ran.out
            .contains("0 failed, 1 unknown (not enough was seen)"),
        "{ran:?}"
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
