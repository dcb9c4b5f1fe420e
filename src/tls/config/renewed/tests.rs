use std::fs;

use rcgen::{CertificateParams, KeyPair};

use super::super::{BackendFiles, MinVersion, ServerFiles};
use super::*;
use crate::cert::scratch::Scratch;

/// Writes a pair and returns the certificate's fingerprint.
fn renew(dir: &Path, names: &[&str]) -> String {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names).unwrap();
    let cert = params.self_signed(&key).unwrap();
    fs::write(dir.join("cert"), cert.pem()).unwrap();
    fs::write(dir.join("key"), key.serialize_pem()).unwrap();
    hex(digest(&SHA256, cert.der()).as_ref())
}

#[test]
fn what_a_file_holds_now_is_told_with_names_end_and_fingerprint() {
    let scratch = Scratch::new();
    let dir = scratch.path();
    let (cert, key) = (dir.join("cert"), dir.join("key"));
    let files = ServerFiles {
        cert: cert.clone(),
        key: key.clone(),
        client_ca: None,
        client_crl: None,
        min_version: MinVersion::default(),
        alpn: &[],
    };
    let backend = BackendFiles {
        ca: Some(cert.clone()),
        name: None,
        identity: Some((cert.clone(), key.clone())),
        alpn: &[],
    };
    let old = renew(dir, &["a.example", "b.example"]);
    let mut before = Loader::default();
    before.server(&files).unwrap();
    before.backend(&backend).unwrap();
    let mut after = before.clone();
    after.reread();
    after.server(&files).unwrap();
    assert_eq!(after.renewed(&before), BTreeMap::new());

    let new = renew(
        dir,
        &[
            "1.example",
            "2.example",
            "3.example",
            "4.example",
            "5.example",
        ],
    );
    let mut after = before.clone();
    after.reread();
    after.server(&files).unwrap();
    let renewed = after.renewed(&before);
    let told = &renewed[&cert];
    assert!(
        told.running
            .starts_with("CN=rcgen self signed cert (a.example, b.example), until "),
        "{told:?}"
    );
    assert!(
        told.running
            .ends_with(&format!("Z, sha256:{}", &old[..DIGITS])),
        "{told:?}"
    );
    assert!(
        told.file
            .contains("(1.example, 2.example, 3.example, 4.example and 1 more), until "),
        "{told:?}"
    );
    assert!(told.file.ends_with(&new[..DIGITS]), "{told:?}");
    // Nothing of the key itself.
    let told = Renewed {
        running: "the key in force".to_owned(),
        file: "another key".to_owned(),
    };
    assert_eq!(renewed[&key], told);
    assert_eq!(renewed.len(), 2);
}

#[test]
fn authorities_beyond_the_first_are_counted() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let pem = params.self_signed(&key).unwrap().pem().repeat(SHOWN + 2);
    let path = Path::new("ca");
    let told = describe(path, Kind::Authorities, pem.as_bytes(), "");
    assert_eq!(told.matches("sha256:").count(), SHOWN, "{told}");
    assert!(told.ends_with("; and 2 more"), "{told}");
    // Of a chain the leaf is told.
    let told = describe(path, Kind::Chain, pem.as_bytes(), "");
    assert_eq!(told.matches("sha256:").count(), 1, "{told}");
}
