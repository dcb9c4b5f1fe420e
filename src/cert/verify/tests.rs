//! Every cause once, as a chain made for it; verdicts are rustls'.

mod hostile;
mod made;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose as Eku,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use made::{
    DAY, Made, NAME, PairChange, ca_params, codes, expect, key, leaf_params, now, plain,
    self_signed,
};

use super::*;
use crate::cert::Evidence;

#[test]
fn a_good_chain_has_no_fault() {
    let root = Made::root("Root", plain);
    let middle = root.ca("Middle", plain);
    let leaf = middle.leaf(plain);
    let verification = expect(&[&leaf, &middle], &[&root], NAME, &[]);
    assert_eq!(
        verification.path,
        [format!("CN={NAME}"), "CN=Middle".into()]
    );
    assert_eq!(verification.root.as_deref(), Some("CN=Root"));
    assert_eq!(verification.views.len(), 2);
    expect(&[&leaf, &middle, &root], &[&root], NAME, &[]);
    expect(&[&leaf, &middle], &[&root], "DB1.Example.Test", &[]);
}

#[test]
fn a_leaf_that_is_trusted_itself() {
    let leaf = self_signed(leaf_params("db1", plain));
    let verification = expect(&[&leaf], &[&leaf], NAME, &[]);
    assert_eq!(verification.root.as_deref(), Some("CN=db1"));
    expect(&[&leaf], &[], NAME, &["cert-self-signed"]);
    let again = self_signed(leaf_params("db1", plain));
    expect(&[&again], &[&leaf], NAME, &["cert-ca-regenerated"]);
}

#[test]
fn what_openssl_makes_by_default() {
    let made = Made::root(NAME, plain);
    let untrusted = ["cert-self-signed", "cert-ca-as-leaf", "cert-no-san"];
    expect(&[&made], &[], NAME, &untrusted);
    expect(
        &[&made],
        &[&made],
        NAME,
        &["cert-ca-as-leaf", "cert-no-san"],
    );
}

#[test]
fn roots_that_are_not_known() {
    let root = Made::root("Root", plain);
    let other = Made::root("Other", plain);
    let middle = root.ca("Middle", plain);
    let leaf = middle.leaf(plain);
    for (chain, root_was_sent) in [
        (&[&leaf][..], false),
        (&[&leaf, &middle], false),
        (&[&leaf, &middle, &root], true),
    ] {
        let verification = expect(chain, &[&other], NAME, &["cert-unknown-root"]);
        let Fault::UnknownRoot {
            root_was_sent: sent,
            ..
        } = verification.faults[0]
        else {
            panic!("{verification:#?}");
        };
        assert_eq!(sent, root_was_sent);
    }
    let regenerated = Made::root("Root", plain);
    for chain in [&[&leaf, &middle][..], &[&leaf, &middle, &root]] {
        expect(chain, &[&regenerated], NAME, &["cert-ca-regenerated"]);
    }
}

#[test]
fn an_intermediate_that_was_not_sent() {
    fn organised(params: &mut CertificateParams) {
        let name = &mut params.distinguished_name;
        name.push(DnType::OrganizationName, "Example Ltd");
    }
    fn with_unit(params: &mut CertificateParams) {
        organised(params);
        let name = &mut params.distinguished_name;
        name.push(DnType::OrganizationalUnitName, "Databases");
    }
    fn with_url(params: &mut CertificateParams) {
        // SEQUENCE { SEQUENCE { caIssuers, [6] "http://a/" } }
        let mut der = vec![0x30, 0x17, 0x30, 0x15, 0x06, 8];
        der.extend([0x2b, 6, 1, 5, 5, 7, 48, 2, 0x86, 9]);
        der.extend(b"http://a/");
        let access = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], der);
        params.custom_extensions.push(access);
    }
    fn with_issuer_named(params: &mut CertificateParams) {
        // SEQUENCE { [1] { [4] { Name { CN=Root } } }, [2] 1 }
        let mut der = vec![0x30, 24, 0xa1, 19, 0xa4, 17, 0x30, 15, 0x31, 13, 0x30, 11];
        der.extend([6, 3, 85, 4, 3, 12, 4]);
        der.extend(b"Root");
        der.extend([0x82, 1, 1]);
        params.use_authority_key_identifier_extension = false;
        let id = CustomExtension::from_oid_content(&[2, 5, 29, 35], der);
        params.custom_extensions.push(id);
    }
    let bare = Made::root("Root", plain);
    let rich = Made::root("Root", organised);
    let cases: [(&Made, PairChange, PairChange, Evidence); 4] = [
        (
            &rich,
            organised,
            plain,
            Evidence::SiblingName("CN=Root, O=Example Ltd".into()),
        ),
        (
            &rich,
            with_unit,
            plain,
            Evidence::SameOrganisation("CN=Root, O=Example Ltd".into()),
        ),
        (&bare, plain, with_url, Evidence::Url("http://a/".into())),
        (
            &bare,
            plain,
            with_issuer_named,
            Evidence::NamedRoot("CN=Root".into()),
        ),
    ];
    for (root, middle, leaf, expected) in cases {
        let middle = root.ca("Middle", middle);
        let leaf = middle.leaf(leaf);
        expect(&[&leaf, &middle], &[root], NAME, &[]);
        let verification = expect(&[&leaf], &[root], NAME, &["cert-missing-intermediate"]);
        let Fault::MissingIntermediate { evidence, .. } = &verification.faults[0] else {
            panic!("{verification:#?}");
        };
        assert_eq!(*evidence, expected);
    }
}

#[test]
fn times() {
    fn over(params: &mut CertificateParams) {
        params.not_before = (now() - DAY * 90).into();
        params.not_after = (now() - DAY * 12).into();
    }
    fn to_come(params: &mut CertificateParams) {
        params.not_before = (now() + DAY * 2).into();
    }
    fn soon(params: &mut CertificateParams) {
        params.not_after = (now() + DAY * 29).into();
        params.not_before = (now() - DAY * 100).into();
    }
    fn short_lived(params: &mut CertificateParams) {
        params.not_before = (now() - DAY * 3).into();
        params.not_after = (now() + DAY * 4).into();
    }
    fn long(params: &mut CertificateParams) {
        params.not_after = (now() + DAY * 826).into();
    }
    let root = Made::root("Root", plain);
    let cases: [(PairChange, &[&str]); 5] = [
        (over, &["cert-expired"]),
        (to_come, &["cert-not-yet-valid"]),
        (soon, &["cert-expires-soon"]),
        (short_lived, &[]),
        (long, &["cert-long-validity"]),
    ];
    for (change, expected) in cases {
        expect(&[&root.leaf(change)], &[&root], NAME, expected);
    }
    let leaf = root.leaf(over);
    let verification = expect(
        &[&leaf],
        &[&root],
        "a.test",
        &["cert-expired", "cert-name-mismatch"],
    );
    let text = verification.faults[0].to_string();
    assert_eq!(
        text,
        "the certificate ended on 2027-01-03T08:00:00Z, 12 days ago"
    );

    for (change, code) in [
        (over as PairChange, "cert-chain-expired"),
        (to_come, "cert-not-yet-valid"),
    ] {
        let middle = root.ca("Middle", change);
        let leaf = middle.leaf(plain);
        let verification = expect(&[&leaf, &middle], &[&root], NAME, &[code]);
        assert!(!verification.is_trusted());
        // Of a root, rustls takes name and key only.
        let root = Made::root("Old", change);
        let verification = expect(&[&root.leaf(plain)], &[&root], NAME, &[code]);
        assert!(verification.is_trusted());
    }
}

#[test]
fn the_way_that_is_in_time_is_the_one_that_is_told() {
    fn over(params: &mut CertificateParams) {
        params.not_before = (now() - DAY * 90).into();
        params.not_after = (now() - DAY * 12).into();
    }
    // One key under two certificates: the old root's has run out, the new one's has not.
    let (old, new) = (Made::root("Old", plain), Made::root("New", plain));
    let key = key();
    let sign = |root: &Made, change: PairChange| {
        let params = ca_params("Middle", change);
        let der = params.signed_by(&key, &root.issuer).unwrap().der().clone();
        let issuer = Issuer::new(params, KeyPair::try_from(key.serialized_der()).unwrap());
        Made { der, issuer }
    };
    let (first, second) = (sign(&old, over), sign(&new, plain));
    let leaf = first.leaf(plain);
    let verification = expect(&[&leaf, &first, &second], &[&old, &new], NAME, &[]);
    assert_eq!(verification.root.as_deref(), Some("CN=New"));
    expect(
        &[&leaf, &first],
        &[&old, &new],
        NAME,
        &["cert-chain-expired"],
    );
}

#[test]
fn names() {
    fn wildcard(params: &mut CertificateParams) {
        let name = "*.example.test".try_into().unwrap();
        params.subject_alt_names = vec![SanType::DnsName(name)];
    }
    fn address(params: &mut CertificateParams) {
        let v6 = "2001:db8::1".parse().unwrap();
        params.subject_alt_names = vec![
            SanType::IpAddress([10, 0, 0, 5].into()),
            SanType::IpAddress(v6),
        ];
    }
    fn address_as_name(params: &mut CertificateParams) {
        let name = "10.0.0.5".try_into().unwrap();
        params.subject_alt_names = vec![SanType::DnsName(name)];
    }
    fn none(params: &mut CertificateParams) {
        params.subject_alt_names = Vec::new();
    }
    let root = Made::root("Root", plain);
    let cases: [(PairChange, &str, &[&str]); 14] = [
        (plain, "db2.example.test", &["cert-name-mismatch"]),
        (plain, "10.0.0.5", &["cert-ip-not-covered"]),
        (wildcard, "any.example.test", &[]),
        (wildcard, "a.b.example.test", &["cert-wildcard-depth"]),
        (wildcard, "example.test", &["cert-wildcard-depth"]),
        (wildcard, "an-example.test", &["cert-name-mismatch"]),
        (address, "10.0.0.5", &[]),
        (address, "2001:db8::1", &[]),
        (address, "10.0.0.6", &["cert-ip-not-covered"]),
        (address, NAME, &["cert-name-mismatch"]),
        (address_as_name, "10.0.0.5", &["cert-ip-not-covered"]),
        (none, NAME, &["cert-no-san"]),
        (none, "10.0.0.5", &["cert-no-san"]),
        (plain, NAME, &[]),
    ];
    for (change, name, expected) in cases {
        expect(&[&root.leaf(change)], &[&root], name, expected);
    }
    let leaf = root.leaf(plain).der;
    let verification = verify(&[leaf], &[root.der], None, Purpose::Server, now());
    assert!(
        codes(&verification).is_empty(),
        "no name, names not checked"
    );
}

#[test]
fn issuers_that_may_not_issue() {
    fn constrained(params: &mut CertificateParams) {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("other.test".into())],
            excluded_subtrees: vec![],
        });
    }
    fn excluding(params: &mut CertificateParams) {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![],
            excluded_subtrees: vec![GeneralSubtree::DnsName("example.test".into())],
        });
    }
    fn shallow(params: &mut CertificateParams) {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    }
    fn no_ca(params: &mut CertificateParams) {
        params.is_ca = IsCa::ExplicitNoCa;
    }
    fn no_signing(params: &mut CertificateParams) {
        params.key_usages = vec![KeyUsagePurpose::CrlSign];
    }
    fn for_mail(params: &mut CertificateParams) {
        params.extended_key_usages = vec![Eku::EmailProtection];
    }
    let root = Made::root("Root", plain);
    let cases: [(PairChange, &[&str], bool); 6] = [
        (constrained, &["cert-name-constraint"], false),
        (excluding, &["cert-name-constraint"], false),
        (shallow, &["cert-path-too-long"], false),
        (no_ca, &["cert-issuer-not-a-ca"], false),
        (no_signing, &["cert-issuer-not-a-ca"], true),
        (for_mail, &["cert-wrong-usage"], false),
    ];
    for (change, expected, is_trusted) in cases {
        let upper = root.ca("Upper", change);
        let lower = upper.ca("Lower", plain);
        let leaf = lower.leaf(plain);
        let verification = expect(&[&leaf, &lower, &upper], &[&root], NAME, expected);
        assert_eq!(verification.is_trusted(), is_trusted, "{verification:#?}");
    }
    let root = Made::root("Root", no_ca);
    let verification = expect(
        &[&root.leaf(plain)],
        &[&root],
        NAME,
        &["cert-issuer-not-a-ca"],
    );
    assert!(verification.is_trusted(), "{verification:#?}");
    let root = Made::root("Root", constrained);
    expect(
        &[&root.leaf(plain)],
        &[&root],
        NAME,
        &["cert-name-constraint"],
    );
}

#[test]
fn purposes() {
    fn for_clients(params: &mut CertificateParams) {
        params.extended_key_usages = vec![Eku::ClientAuth];
    }
    let root = Made::root("Root", plain);
    let (server, client) = (root.leaf(plain), root.leaf(for_clients));
    expect(&[&client], &[&root], NAME, &["cert-wrong-usage"]);
    let as_client = |leaf: &Made| {
        let (chain, roots) = ([leaf.der.clone()], [root.der.clone()]);
        codes(&verify(&chain, &roots, None, Purpose::Client, now()))
    };
    assert_eq!(as_client(&client), [""; 0]);
    assert_eq!(as_client(&server), ["cert-wrong-usage"]);
}

#[test]
fn what_was_sent_out_of_order() {
    let root = Made::root("Root", plain);
    let upper = root.ca("Upper", plain);
    let lower = upper.ca("Lower", plain);
    let leaf = lower.leaf(plain);
    let stranger = Made::root("Stranger", plain);
    let order = ["cert-chain-order"];
    let verification = expect(&[&leaf, &upper, &lower], &[&root], NAME, &order);
    assert_eq!(verification.faults, [Fault::WrongOrder]);
    let verification = expect(&[&leaf, &lower, &upper, &stranger], &[&root], NAME, &order);
    assert!(verification.is_trusted(), "{verification:#?}");
    let first = ["cert-leaf-not-first"];
    expect(&[&lower, &leaf, &upper], &[&root], NAME, &first);
    expect(&[&root, &lower, &upper, &leaf], &[&root], NAME, &first);
}

#[test]
fn old_and_weak_certificates() {
    let read = |name: &str| {
        let path = format!("{}/tests/data/certs/{name}.crt", env!("CARGO_MANIFEST_DIR"));
        CertificateDer::from_pem_file(path).unwrap()
    };
    let name = ServerName::try_from(NAME).unwrap();
    for (leaf, root, expected) in [
        (
            "sha1",
            "root",
            &["cert-weak-signature", "cert-long-validity"][..],
        ),
        (
            "md5",
            "root",
            &["cert-weak-signature", "cert-long-validity"],
        ),
        ("rsa1024", "root", &["cert-weak-key", "cert-long-validity"]),
        (
            "under1024",
            "weakroot",
            &["cert-weak-key", "cert-long-validity"],
        ),
        (
            "v1",
            "root",
            &["cert-version-1", "cert-no-san", "cert-long-validity"],
        ),
    ] {
        let (chain, roots) = ([read(leaf)], [read(root)]);
        let verification = verify(&chain, &roots, Some(&name), Purpose::Server, now());
        assert_eq!(codes(&verification), expected, "{leaf}: {verification:#?}");
        assert!(!verification.is_trusted(), "{leaf}");
    }
}

#[test]
fn a_reason_of_its_own_is_told_in_the_verifiers_words() {
    fn strange(params: &mut CertificateParams) {
        let mut critical = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        critical.set_criticality(true);
        params.custom_extensions.push(critical);
    }
    let root = Made::root("Root", plain);
    let verification = expect(&[&root.leaf(strange)], &[&root], NAME, &["cert-rejected"]);
    let text = verification.faults[0].to_string();
    assert!(text.contains("marked critical and not known"), "{text}");
}
