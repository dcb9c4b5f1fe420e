//! Cases that are never done unasked, or never at all.

use std::fs;
use std::time::SystemTime;

use super::bench::{Bench, conflict, refused, text};
use crate::cert::scratch::Scratch;
use crate::cert::{
    CertError, LeafRequest, PairChange, Purpose, Signer, Subject, make_leaf, make_root, mint,
};

#[test]
fn what_is_there_is_not_replaced_unasked() {
    let bench = Bench::new();
    let first = bench.make(&["db1.example.test", "b.example.test"]);
    let before = (text(&first.cert), text(&first.key));
    let names = conflict(make_leaf(&bench.request(&["db1.example.test"]), bench.now));
    assert!(
        names.contains("not for db1.example.test") && names.contains("--force"),
        "{names}"
    );
    let asked = bench.request(&["db1.example.test", "b.example.test"]);
    let alone = LeafRequest {
        signer: Signer::Itself,
        ..asked.clone()
    };
    assert!(conflict(make_leaf(&alone, bench.now)).contains("not by itself"));
    let elsewhere = Bench::new();
    let foreign = LeafRequest {
        signer: Signer::Authority(elsewhere.dir().to_owned()),
        ..asked.clone()
    };
    assert!(conflict(make_leaf(&foreign, bench.now)).contains("is signed by"));
    let client = LeafRequest {
        subject: Subject::Client("db1.example.test".into()),
        ..asked.clone()
    };
    assert!(conflict(make_leaf(&client, bench.now)).contains("is for a server"));
    assert_eq!((text(&first.cert), text(&first.key)), before);

    let forced = LeafRequest {
        force: true,
        ..foreign
    };
    let made = make_leaf(&forced, bench.now).unwrap();
    assert_eq!(made.change, PairChange::Replaced);
    assert_ne!(text(&first.key), before.1, "a new key");

    fs::write(&first.key, "damaged").unwrap();
    match make_leaf(&asked, bench.now) {
        Err(CertError::Content { path, what }) => {
            assert_eq!(path, first.key);
            assert!(what.contains("--force"), "{what}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(text(&first.key), "damaged");
}

#[test]
fn an_authority_is_never_overwritten() {
    let bench = Bench::new();
    let (cert, key) = (bench.dir().join("ca.crt"), bench.dir().join("ca.key"));
    let before = (text(&cert), text(&key));
    let mut named = bench.root_request(&[]);
    named.name = Some("Other".into());
    assert!(conflict(make_root(&named, bench.now)).contains("is named"));
    let limited = bench.root_request(&["example.test"]);
    assert!(conflict(make_root(&limited, bench.now)).contains("any name"));
    let forced = LeafRequest {
        force: true,
        ..bench.request(&["ca"])
    };
    assert!(refused(make_leaf(&forced, bench.now)).contains("authority"));
    assert_eq!((text(&cert), text(&key)), before);

    fs::remove_file(&key).unwrap();
    assert!(conflict(make_root(&bench.root_request(&[]), bench.now)).contains("not its key"));
    assert!(refused(make_leaf(&bench.request(&["a.test"]), bench.now)).contains("cannot sign"));
    let other = mint::new_key().unwrap().serialize_pem();
    fs::write(&key, other).unwrap();
    assert!(conflict(make_root(&bench.root_request(&[]), bench.now)).contains("together"));
    assert!(refused(make_leaf(&bench.request(&["a.test"]), bench.now)).contains("belong"));
    fs::remove_file(&cert).unwrap();
    fs::remove_file(&key).unwrap();
    assert!(refused(make_leaf(&bench.request(&["a.test"]), bench.now)).contains("dbgate cert ca"));
}

#[test]
fn constraints_are_kept_by_who_issues_and_by_who_verifies() {
    let bench = Bench {
        scratch: Scratch::new(),
        now: SystemTime::now(),
    };
    bench.root(&["db.example", "other.test"]);
    for inside in [
        "db.example",
        "a.db.example",
        "*.db.example",
        "x.y.other.test",
    ] {
        let made = bench.make(&[inside]);
        let name = inside.replace('*', "any");
        assert!(
            bench.judged(&made, Some(&name), Purpose::Server).is_empty(),
            "{inside}"
        );
    }
    for outside in ["a.example", "adb.example", "*.example", "10.0.0.5", "::1"] {
        let asked = bench.request(&["a.db.example", outside]);
        let message = refused(make_leaf(&asked, bench.now));
        assert!(message.contains(&format!("\"{outside}\"")), "{message}");
        assert!(message.contains("db.example, other.test"), "{message}");
    }
    let client = |name: &str| LeafRequest {
        subject: Subject::Client(name.into()),
        ..bench.request(&[])
    };
    make_leaf(&client("app"), bench.now).unwrap();
    refused(make_leaf(&client("app.elsewhere"), bench.now));
    // The same constraints in another order are the same authority.
    assert_eq!(
        bench.root(&["other.test", "db.example"]).change,
        PairChange::Unchanged
    );
}
