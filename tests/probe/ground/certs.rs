//! Each certificate is refused by `openssl verify` for the one reason it was made for.

use std::process::Command;

use rcgen::ExtendedKeyUsagePurpose;

use crate::certs::{Ca, Leaf, Validity};

const NAME: &str = "pg1.example.test";

/// The verdict of `openssl verify` on a server certificate that was asked for by a name.
fn verify(root: &Ca, between: &[&Ca], leaf: &Leaf, name: &str) -> String {
    let mut command = Command::new("openssl");
    command.args([
        "verify",
        "-purpose",
        "sslserver",
        "-no-CApath",
        "-no-CAstore",
    ]);
    let ip = name.parse::<std::net::IpAddr>().is_ok();
    command.args([if ip { "-verify_ip" } else { "-verify_hostname" }, name]);
    command.arg("-CAfile").arg(root.path());
    for ca in between {
        command.arg("-untrusted").arg(ca.path());
    }
    let output = command.arg(&leaf.cert_path).output().expect("openssl");
    let [out, err] =
        [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    out + &err
}

/// The text of a certificate by openssl.
fn text(leaf: &Leaf) -> String {
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-text", "-in"]);
    let output = command.arg(&leaf.cert_path).output().expect("openssl");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn assert_verdict(said: &str, wanted: &str) {
    assert!(said.contains(wanted), "not {wanted:?}: {said}");
}

#[test]
fn a_leaf_is_wrong_in_one_way_only() {
    let (ca, again) = (Ca::new("Root"), Ca::new("Root"));
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let cases = [
        (ca.leaf(&[NAME]), ": OK"),
        (ca.leaf(&["*.example.test"]), ": OK"),
        (ca.expired(&[NAME]), "certificate has expired"),
        (
            ca.prepare(&[NAME]).validity(Validity::NotYet).sign(),
            "certificate is not yet valid",
        ),
        (
            ca.prepare(&[NAME]).validity(Validity::Days(5)).sign(),
            ": OK",
        ),
        (ca.leaf(&["pg2.example.test"]), "hostname mismatch"),
        // The name in the subject counts for openssl where there is no other.
        (ca.prepare(&[NAME]).without_names().sign(), ": OK"),
        (
            ca.prepare(&[NAME]).usage(client).sign(),
            "unsuitable certificate purpose",
        ),
        (
            again.leaf(&[NAME]),
            "unable to get local issuer certificate",
        ),
        (
            again.prepare(&[NAME]).without_key_id().sign(),
            "certificate signature failure",
        ),
        (
            Ca::new("Another").leaf(&[NAME]),
            "unable to get local issuer certificate",
        ),
        (Leaf::openssl_req(NAME), "self-signed certificate"),
        (ca.prepare(&[NAME]).ca_true().sign(), ": OK"),
        (ca.by_openssl(NAME, "rsa:1024", "sha256"), ": OK"),
    ];
    for (leaf, wanted) in cases {
        assert_verdict(&verify(&ca, &[], &leaf, NAME), wanted);
    }
    assert_verdict(
        &verify(&ca, &[], &ca.leaf(&["127.0.0.1"]), "127.0.0.1"),
        ": OK",
    );
    assert_verdict(
        &verify(&ca, &[], &ca.leaf(&[NAME]), "127.0.0.1"),
        "IP address mismatch",
    );
}

#[test]
fn an_intermediate_authority_is_wrong_in_one_way_only() {
    let ca = Ca::new("Root");
    let between = Ca::named("Between").under(&ca);
    let leaf = between.leaf(&[NAME]);
    assert_verdict(&verify(&ca, &[&between], &leaf, NAME), ": OK");
    assert_verdict(
        &verify(&ca, &[], &leaf, NAME),
        "unable to get local issuer certificate",
    );

    let late = Ca::named("Late").validity(Validity::Expired).under(&ca);
    let said = verify(&ca, &[&late], &late.leaf(&[NAME]), NAME);
    assert_verdict(&said, "certificate has expired");
    assert_verdict(&said, "error 10 at 1 depth");

    let narrow = Ca::named("Narrow").permitted(&["example.org"]).under(&ca);
    let said = verify(&ca, &[&narrow], &narrow.leaf(&[NAME]), NAME);
    assert_verdict(&said, "permitted subtree violation");
}

#[test]
fn a_certificate_says_what_it_was_made_to_say() {
    let ca = Ca::new("Root");
    let cases = [
        (ca.by_openssl(NAME, "rsa:1024", "sha1"), "sha1"),
        (ca.by_openssl(NAME, "rsa:1024", "sha256"), "(1024 bit)"),
        (
            ca.by_openssl(NAME, "rsa:2048", "sha256"),
            "DNS:pg1.example.test",
        ),
        (Leaf::openssl_req(NAME), "CA:TRUE"),
        (ca.prepare(&[NAME]).ca_true().sign(), "CA:TRUE"),
        (
            ca.leaf(&["*.example.test", "192.0.2.1"]),
            "DNS:*.example.test, IP Address:192.0.2.1",
        ),
    ];
    for (leaf, wanted) in cases {
        let text = text(&leaf);
        assert!(
            text.to_lowercase().contains(&wanted.to_lowercase()),
            "not {wanted:?}: {text}"
        );
        let serial = leaf
            .serial
            .as_bytes()
            .chunks(2)
            .map(|it| String::from_utf8_lossy(it));
        let serial = serial.collect::<Vec<_>>().join(":");
        // openssl prints short ones as a number.
        assert!(
            text.contains(&serial) || text.contains(&leaf.serial),
            "{}: {text}",
            leaf.serial
        );
    }
    for leaf in [
        Leaf::openssl_req(NAME),
        ca.prepare(&[NAME]).without_names().sign(),
    ] {
        let text = text(&leaf);
        assert!(!text.contains("Subject Alternative Name"), "{text}");
    }
    // Five days: more than four, less than six.
    let soon = ca.prepare(&[NAME]).validity(Validity::Days(5)).sign();
    for (seconds, ends) in [("345600", false), ("518400", true)] {
        let status = Command::new("openssl")
            .args(["x509", "-noout", "-checkend", seconds, "-in"])
            .arg(&soon.cert_path)
            .status()
            .expect("openssl");
        assert_eq!(!status.success(), ends, "{seconds}: {}", text(&soon));
    }
}

#[test]
fn a_chained_leaf_is_followed_by_its_issuers() {
    let ca = Ca::new("Root");
    let upper = Ca::named("Upper").under(&ca);
    let lower = Ca::named("Lower").under(&upper);
    let leaf = lower.leaf(&[NAME]);
    let chained = leaf.chained(&[&lower, &upper]);
    assert_eq!(
        chained.cert_pem,
        format!("{}{}{}", leaf.cert_pem, lower.pem(), upper.pem())
    );
    let written = std::fs::read_to_string(&chained.cert_path).expect("its file");
    assert_eq!(written, chained.cert_pem);
    assert_eq!((chained.serial, chained.der), (leaf.serial, leaf.der));
}
