//! Chains of nothing, of too much, of nonsense, and damaged ones.

use rcgen::{CertificateParams, DistinguishedName, DnType};
use rustls::pki_types::{CertificateDer, ServerName};

use super::made::{Made, NAME, codes, judged, leaf_params, now, plain, self_signed};
use crate::cert::purpose::Purpose;
use crate::cert::verify::verify;

#[test]
fn chains_of_nothing_and_of_too_much() {
    let verify = |chain: &[CertificateDer<'static>], roots: &[CertificateDer<'static>]| {
        verify(chain, roots, None, Purpose::Server, now())
    };
    let root = Made::root("Root", plain);
    let leaf = root.leaf(plain);
    assert_eq!(codes(&verify(&[], &[])), ["cert-none"]);
    let nonsense = CertificateDer::from(vec![0x30, 1, 0]);
    let verification = verify(
        &[nonsense.clone(), leaf.der.clone()],
        std::slice::from_ref(&root.der),
    );
    assert_eq!(codes(&verification), ["cert-unreadable"]);
    assert!(!verification.is_trusted());
    let verification = verify(
        &[leaf.der.clone(), nonsense],
        std::slice::from_ref(&root.der),
    );
    assert_eq!(codes(&verification), ["cert-unreadable"]);
    assert!(verification.is_trusted(), "{verification:#?}");

    // All of one name, each signed by the last: as many ways to look as there are orders.
    let mut chain = vec![Made::root("Root", plain)];
    for _ in 0..40 {
        chain.push(chain[chain.len() - 1].ca("Root", plain));
    }
    let mut ders: Vec<_> = chain.iter().map(|made| made.der.clone()).collect();
    ders.insert(0, chain[40].leaf(plain).der);
    let verification = verify(&ders, &[Made::root("Root", plain).der]);
    assert_eq!(verification.views.len(), 16);
    assert!(!verification.is_trusted());
}

#[test]
fn hostile_texts_are_harmless() {
    fn hostile(params: &mut CertificateParams) {
        let name = &mut params.distinguished_name;
        *name = DistinguishedName::new();
        name.push(
            DnType::CommonName,
            "a\x1b[2J\u{202e}b".to_owned() + &"x".repeat(1000),
        );
    }
    let made = self_signed(leaf_params("db1", hostile));
    let verification = judged(&[&made], &[], NAME);
    let text = verification.views[0].subject.clone() + &verification.faults[0].to_string();
    assert!(
        !text.contains('\x1b') && !text.contains('\u{202e}'),
        "{text}"
    );
    assert!(verification.views[0].subject.chars().count() < 300);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever is changed in a chain, it is read or refused, and never trusted.
    #[test]
    fn damaged_chains_are_never_trusted(
        at in 0_usize..2000,
        flip in 1_u8..=255,
        cut in proptest::option::of(0_usize..2000),
    ) {
        let root = Made::root("Root", plain);
        let middle = root.ca("Middle", plain);
        let mut chain = [middle.leaf(plain).der.to_vec(), middle.der.to_vec()].concat();
        let leaf_length = chain.len() - middle.der.len();
        let at = at % chain.len();
        chain[at] ^= flip;
        let (leaf, issuer) = chain.split_at(leaf_length);
        let issuer = &issuer[..cut.unwrap_or(issuer.len()).min(issuer.len())];
        let ders = [leaf.to_vec().into(), issuer.to_vec().into()];
        let name = ServerName::try_from(NAME).unwrap();
        let verification = verify(&ders, &[root.der], Some(&name), Purpose::Server, now());
        codes(&verification);
        proptest::prop_assert!(!verification.is_trusted(), "{verification:#?}");
    }
}
