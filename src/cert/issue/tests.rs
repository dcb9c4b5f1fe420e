//! Files as they are made, kept, renewed, repaired and refused; verifiers look at the results.

mod bench;
mod unasked;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use bench::{Bench, DAY, refused, text};

use super::*;
use crate::cert::{fits, read_bundle};

#[test]
fn every_field_of_a_leaf_and_of_its_authority() {
    let bench = Bench::new();
    let made = bench.make(&["db1.example.test", "10.0.0.5", "2001:db8::1"]);
    let view = &made.view;
    let names = ["db1.example.test", "10.0.0.5", "2001:db8::1"];
    assert_eq!(view.names, names);
    assert_eq!(view.common_name.as_deref(), Some("db1.example.test"));
    assert_eq!(
        (view.is_ca, view.usages.clone()),
        (false, vec!["serverAuth".to_owned()])
    );
    assert_eq!(view.key, "ECDSA P-256");
    assert_eq!(view.signature, "ecdsa-with-SHA256");
    assert!(view.serial.len() > 24, "{}", view.serial);

    let chain = read_bundle(&made.cert).unwrap().certificates;
    let root = read_bundle(&made.trust).unwrap().certificates;
    let (leaf, root) = (
        Cert::read(&chain[0]).unwrap(),
        Cert::read(&root[0]).unwrap(),
    );
    let usage = |cert: &Cert<'_>| cert.x509.key_usage().unwrap().unwrap().value.flags;
    assert_eq!(usage(&leaf), 1, "digitalSignature alone");
    assert_eq!(usage(&root), 0b110_0000, "keyCertSign and cRLSign");
    let basic = |cert: &Cert<'_>| {
        let found = cert.x509.basic_constraints().unwrap().unwrap();
        (
            found.critical,
            found.value.ca,
            found.value.path_len_constraint,
        )
    };
    assert_eq!(basic(&leaf), (true, false, None));
    assert_eq!(basic(&root), (true, true, Some(0)));
    let ids = |cert: &Cert<'_>| {
        use x509_parser::extensions::ParsedExtension as P;
        let mut own = None;
        let mut above = None;
        for extension in cert.x509.extensions() {
            match extension.parsed_extension() {
                P::SubjectKeyIdentifier(id) => own = Some(id.0.to_vec()),
                P::AuthorityKeyIdentifier(id) => {
                    above = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                _ => {}
            }
        }
        (own, above)
    };
    assert!(ids(&leaf).0.is_some());
    assert_eq!(ids(&leaf).1, ids(&root).0, "the AKI is the authority's SKI");
    let validity = leaf.x509.validity();
    assert_eq!(
        validity.not_after.timestamp() - validity.not_before.timestamp(),
        (DAY * 397 + mint::BACKDATED).as_secs().cast_signed()
    );
}

#[test]
fn verifiers_accept_what_is_made() {
    let bench = Bench::new();
    let server = Purpose::Server;
    let made = bench.make(&["*.example.test", "db1.other.test", "10.0.0.5"]);
    assert!(made.cert.ends_with("_wildcard.example.test.crt"));
    for name in ["any.example.test", "db1.other.test", "10.0.0.5"] {
        assert!(bench.judged(&made, Some(name), server).is_empty(), "{name}");
    }
    let alone = LeafRequest {
        signer: Signer::Itself,
        ..bench.request(&["alone.example.test"])
    };
    let made = make_leaf(&alone, bench.now).unwrap();
    assert_eq!(made.trust, made.cert);
    assert!(
        bench
            .judged(&made, Some("alone.example.test"), server)
            .is_empty()
    );
    let client = LeafRequest {
        subject: Subject::Client("app user".into()),
        ..bench.request(&[])
    };
    let made = make_leaf(&client, bench.now).unwrap();
    assert!(bench.judged(&made, None, Purpose::Client).is_empty());
    assert_eq!(bench.judged(&made, None, server), ["cert-wrong-usage"]);
    assert_eq!(made.view.common_name.as_deref(), Some("app user"));
}

#[test]
fn a_second_run_changes_nothing() {
    let bench = Bench::new();
    let root = bench.root(&[]);
    assert_eq!(root.change, PairChange::Unchanged);
    let first = bench.make(&["db1.example.test", "b.example.test"]);
    assert_eq!(first.change, PairChange::Made);
    let before = (text(&first.cert), text(&first.key));
    // The order of the names is no difference, nor is another number of days.
    let mut again = bench.request(&["db1.example.test", "b.example.test"]);
    again.lifetime = DAY * 90;
    let second = make_leaf(&again, bench.now + DAY * 300).unwrap();
    assert_eq!(second.change, PairChange::Unchanged);
    assert_eq!((text(&second.cert), text(&second.key)), before);
    assert_eq!(
        fs::read_dir(bench.dir()).unwrap().count(),
        4,
        "nothing left over"
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&first.key), mode(&root.key)), (0o600, 0o600));
}

#[test]
fn what_is_due_is_renewed_with_the_same_key() {
    let bench = Bench::new();
    let names = ["db1.example.test"];
    let first = bench.make(&names);
    let (cert, key) = (text(&first.cert), text(&first.key));
    let later = bench.now + DAY * 368;
    let renewed = make_leaf(&bench.request(&names), later).unwrap();
    assert_eq!(renewed.change, PairChange::Renewed, "29 days left");
    assert_ne!(text(&first.cert), cert);
    assert_eq!(text(&first.key), key);
    // Its own idea of due.
    let mut keen = bench.request(&names);
    keen.if_due = Some(DAY * 400);
    assert_eq!(
        make_leaf(&keen, later + DAY).unwrap().change,
        PairChange::Renewed
    );
    keen.if_due = Some(DAY);
    let end = later + DAY * 390;
    assert_eq!(make_leaf(&keen, end).unwrap().change, PairChange::Unchanged);
    // One of a week is not due from its first day on.
    let mut short = bench.request(&["short.example.test"]);
    short.lifetime = DAY * 7;
    make_leaf(&short, bench.now).unwrap();
    let change = |after| make_leaf(&short, bench.now + after).unwrap().change;
    assert_eq!(change(DAY * 4), PairChange::Unchanged);
    assert_eq!(change(DAY * 5), PairChange::Renewed);
}

#[test]
fn a_leaf_ends_with_its_authority() {
    let bench = Bench::new();
    let names = ["db1.example.test"];
    let late = bench.now + DAY * 3640;
    let made = make_leaf(&bench.request(&names), late).unwrap();
    assert_eq!(made.view.days_left, 10);
    assert!(
        made.remarks
            .iter()
            .any(|r| r.contains("ends with its authority")),
        "{made:?}"
    );
    // A new one would last no longer.
    let again = make_leaf(&bench.request(&names), late + DAY * 8).unwrap();
    assert_eq!(again.change, PairChange::Unchanged);
    let over = make_leaf(&bench.request(&names), late + DAY * 11);
    assert!(refused(over).contains("ended on"));
}

#[test]
fn what_a_crash_leaves_behind_is_repaired() {
    let bench = Bench::new();
    let names = ["db1.example.test"];
    let first = bench.make(&names);
    let (cert, key) = (text(&first.cert), text(&first.key));
    let fit = |made: &IssuedPair| {
        let chain = read_bundle(&made.cert).unwrap().certificates;
        fits(&chain[0], &read_bundle(&made.key).unwrap().key.unwrap())
    };

    // Killed between key and certificate, at first and when forced.
    fs::remove_file(&first.cert).unwrap();
    let made = bench.make(&names);
    assert_eq!(
        (made.change, text(&made.key) == key),
        (PairChange::Made, true)
    );
    assert!(fit(&made));
    let other = mint::new_key().unwrap().serialize_pem();
    fs::write(&first.key, &other).unwrap();
    let made = bench.make(&names);
    assert_eq!(
        (made.change, text(&made.key) == other),
        (PairChange::Repaired, true)
    );
    assert!(fit(&made));

    // Killed while writing.
    fs::write(bench.dir().join("db1.example.test.crt.new"), "half").unwrap();
    fs::write(bench.dir().join("db1.example.test.key.new"), "half").unwrap();
    fs::remove_file(&first.key).unwrap();
    fs::write(&first.cert, &cert).unwrap();
    let made = bench.make(&names);
    assert_eq!(made.change, PairChange::Repaired);
    assert!(fit(&made));
    assert_eq!(
        fs::read_dir(bench.dir()).unwrap().count(),
        4,
        "nothing left over"
    );

    // The authority, between key and certificate.
    let ca = text(&bench.dir().join("ca.key"));
    fs::remove_file(bench.dir().join("ca.crt")).unwrap();
    assert_eq!(bench.root(&[]).change, PairChange::Made);
    assert_eq!(text(&bench.dir().join("ca.key")), ca);
}

#[test]
fn an_intermediate_is_sent_along() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer};

    let bench = Bench::new();
    let ca = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let root_key = mint::new_key().unwrap();
    let root = ca("Root").self_signed(&root_key).unwrap().pem();
    let key = mint::new_key().unwrap();
    let issuer = Issuer::new(ca("Root"), root_key);
    let middle = ca("Middle").signed_by(&key, &issuer).unwrap().pem();
    fs::write(bench.dir().join("ca.crt"), middle + &root).unwrap();
    fs::write(bench.dir().join("ca.key"), key.serialize_pem()).unwrap();
    let made = bench.make(&["db1.example.test"]);
    let chain = read_bundle(&made.cert).unwrap().certificates;
    assert_eq!(chain.len(), 2, "leaf and intermediate, no root");
    let root = bench.dir().join("root.crt");
    let parts = read_bundle(&made.trust).unwrap().certificates;
    fs::write(&root, files::pem(&parts[1])).unwrap();
    let made = IssuedPair {
        trust: root,
        ..made
    };
    assert!(
        bench
            .judged(&made, Some("db1.example.test"), Purpose::Server)
            .is_empty()
    );
}

#[test]
fn remarks_and_files_of_names() {
    let bench = Bench::new();
    let said = |made: &IssuedPair, words: &str| made.remarks.iter().any(|r| r.contains(words));
    let made = bench.make(&["*.test"]);
    assert!(
        said(&made, "exactly one label") && said(&made, "top-level"),
        "{made:?}"
    );
    let mut long = bench.request(&["long.test"]);
    long.lifetime = DAY * 826;
    let made = make_leaf(&long, bench.now).unwrap();
    assert!(said(&made, "825"), "{made:?}");
    assert_eq!(
        bench.judged(&made, Some("long.test"), Purpose::Server),
        ["cert-long-validity"]
    );
    assert!(bench.make(&["::1"]).cert.ends_with("--1.crt"));
    let made = bench.make(&["loose.test"]);
    fs::set_permissions(&made.key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(said(&bench.make(&["loose.test"]), "chmod 600"));
    let name = "a".repeat(60) + ".test";
    let made = bench.make(&[&name]);
    assert_eq!(made.view.common_name.map(|name| name.len()), Some(64));
    assert_eq!(made.view.names, [name]);
    for name in ["", "../up", "a/b", ".hidden", &"x".repeat(65), "a\nb"] {
        let client = LeafRequest {
            subject: Subject::Client(name.into()),
            ..bench.request(&[])
        };
        refused(make_leaf(&client, bench.now));
    }
    let wanted = LeafRequest {
        out: bench.dir().join("new/deep"),
        ..bench.request(&["a.test"])
    };
    make_leaf(&wanted, bench.now).unwrap();
    let found = fs::metadata(bench.dir().join("new/deep")).unwrap();
    assert_eq!(found.mode() & 0o777, 0o700);
}

#[test]
fn two_at_a_time_agree() {
    let bench = Bench::new();
    let request = bench.request(&["db1.example.test"]);
    let changes: Vec<PairChange> = std::thread::scope(|scope| {
        let make = || make_leaf(&request, bench.now).unwrap().change;
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let made = changes.iter().filter(|change| **change == PairChange::Made);
    assert_eq!(made.count(), 1, "{changes:?}");
    let chain = read_bundle(&bench.dir().join("db1.example.test.crt")).unwrap();
    let key = read_bundle(&bench.dir().join("db1.example.test.key")).unwrap();
    assert!(fits(&chain.certificates[0], &key.key.unwrap()));
}
