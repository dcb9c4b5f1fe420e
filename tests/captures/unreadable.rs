//! Files that are no captures.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{folder, pcap};

#[track_caller]
fn refused(file: &str, what: &str) {
    for output in ["text", "json"] {
        let ran = pcap(&["-o", output, file]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.err.contains(what), "{what}: {ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    }
}

#[test]
fn each_is_told_what_it_looks_like() {
    refused("/dev/null", "it is empty");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let name = file.to_str().unwrap();
    refused(name, "No such file");
    refused(dir.path().to_str().unwrap(), "it is a directory");

    fs::write(&file, "12:00:00.1 IP 10.0.0.1.1 > 10.0.0.2.2: Flags [S]\n").unwrap();
    refused(name, "it is text");
    fs::write(&file, [0x0a, 0x0d, 0x0d]).unwrap();
    refused(name, "not a pcap or pcapng capture");

    let capture = folder().join("pg-plaintext.pcap");
    fs::write(&file, &fs::read(&capture).unwrap()[..10]).unwrap();
    refused(name, "ends within the file header");

    let mut gzip = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(fs::File::create(&file).unwrap())
        .spawn()
        .unwrap();
    let content = fs::read(&capture).unwrap();
    gzip.stdin.take().unwrap().write_all(&content).unwrap();
    assert!(gzip.wait().unwrap().success());
    refused(name, &format!("gunzip -c {name} | dbgate probe pcap -"));
}

#[test]
fn a_capture_without_packets_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("empty.pcap");
    let capture = fs::read(folder().join("pg-plaintext.pcap")).unwrap();
    fs::write(&file, &capture[..24]).unwrap();
    let ran = pcap(&[file.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.out,
        "0 conversations, 0 established, 0 failed, 0 packets\n"
    );
}
