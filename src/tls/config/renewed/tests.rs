use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};

use super::super::{BackendSettings, MinVersion, ServerSettings};
use super::*;
use crate::cert::scratch::Scratch;
use crate::tls::files::Files;

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
    let files = ServerSettings {
        cert: cert.clone().into(),
        key: key.clone().into(),
        client_ca: None,
        client_crl: None,
        min_version: MinVersion::default(),
        alpn: &[],
    };
    let backend = BackendSettings {
        ca: Some(cert.clone().into()),
        name: None,
        identity: Some((cert.clone().into(), key.clone().into())),
        alpn: &[],
    };
    let old = renew(dir, &["a.example", "b.example"]);
    let mut before = Loader::new(Arc::new(Files));
    before.server(&files).unwrap();
    before.backend(&backend).unwrap();
    let mut after = before.clone();
    after.reread();
    after.server(&files).unwrap();
    assert!(after.renewed(&before).is_empty());
    assert!(!after.has_changed());

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
    assert!(after.has_changed());
    let content = |path: PathBuf, kind| {
        let (was, now) = &renewed[&MaterialOrigin::File(path)];
        Renewed::new(kind, was, now)
    };
    let told = content(cert, MaterialKind::Chain);
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
    assert_eq!(told.names.len(), 5, "{told:?}");
    assert_eq!(told.fingerprints, (old, new));
    // Nothing of the key itself.
    let told = Renewed {
        kind: MaterialKind::Key,
        running: "the key in force".to_owned(),
        file: "another key".to_owned(),
        names: Vec::new(),
        not_after: None,
        fingerprints: Default::default(),
    };
    assert_eq!(content(key, MaterialKind::Key), told);
    assert_eq!(renewed.len(), 2);
}

#[test]
fn authorities_beyond_the_first_are_counted() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let pem = params.self_signed(&key).unwrap().pem().repeat(SHOWN + 2);
    let pem = Material::new(PathBuf::from("ca").into(), pem.into());
    let told = describe(MaterialKind::Authorities, &pem, "");
    assert_eq!(told.matches("sha256:").count(), SHOWN, "{told}");
    assert!(told.ends_with("; and 2 more"), "{told}");
    // Of a chain the leaf is told.
    let told = describe(MaterialKind::Chain, &pem, "");
    assert_eq!(told.matches("sha256:").count(), 1, "{told}");
}
