//! Chains made for one fault each, and a look at what is said of them.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Eku,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, ServerName};

use crate::cert::purpose::Purpose;
use crate::cert::verify::{Verification, verify};
use crate::cert::{Fault, Severity};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(super) const NAME: &str = "db1.example.test";

/// Time of all verifications; within the validity of the files in tests/data/certs.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A certificate with the key that signs the next one.
pub(super) struct Made {
    pub(super) der: CertificateDer<'static>,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

pub(super) type PairChange = fn(&mut CertificateParams);

pub(super) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(7));
    params.not_before = (now() - DAY).into();
    params.not_after = (now() + DAY * 300).into();
    params.use_authority_key_identifier_extension = true;
    params
}

pub(super) fn ca_params(name: &str, change: PairChange) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    change(&mut params);
    params
}

pub(super) fn leaf_params(name: &str, change: PairChange) -> CertificateParams {
    let mut params = params(name);
    params.subject_alt_names = vec![SanType::DnsName(NAME.try_into().unwrap())];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![Eku::ServerAuth];
    change(&mut params);
    params
}

pub(super) fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

pub(super) fn self_signed(params: CertificateParams) -> Made {
    let key = key();
    let der = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    Made { der, issuer }
}

impl Made {
    pub(super) fn root(name: &str, change: PairChange) -> Self {
        self_signed(ca_params(name, change))
    }

    pub(super) fn sign(&self, params: CertificateParams) -> Self {
        let key = key();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        Self { der, issuer }
    }

    pub(super) fn ca(&self, name: &str, change: PairChange) -> Self {
        self.sign(ca_params(name, change))
    }

    pub(super) fn leaf(&self, change: PairChange) -> Self {
        self.sign(leaf_params(NAME, change))
    }
}

pub(super) fn plain(_: &mut CertificateParams) {}

pub(super) fn judged(chain: &[&Made], roots: &[&Made], name: &str) -> Verification {
    let ders = |made: &[&Made]| made.iter().map(|m| m.der.clone()).collect::<Vec<_>>();
    let name = ServerName::try_from(name).unwrap();
    verify(
        &ders(chain),
        &ders(roots),
        Some(&name),
        Purpose::Server,
        now(),
    )
}

/// The codes of a verification, after a look at what always holds.
pub(super) fn codes(verification: &Verification) -> Vec<&'static str> {
    let refused = |fault: &Fault| fault.severity() == Severity::Refused;
    assert_eq!(
        verification.is_trusted(),
        !verification.faults.iter().any(refused),
        "{verification:#?}"
    );
    for fault in &verification.faults {
        assert!(!fault.advice().is_empty());
        assert!(
            crate::probe::rules::by_code(fault.code()).is_some(),
            "{fault:?}"
        );
        assert!(!fault.to_string().ends_with('.'), "{fault}");
    }
    verification.faults.iter().map(Fault::code).collect()
}

#[track_caller]
pub(super) fn expect(
    chain: &[&Made],
    roots: &[&Made],
    name: &str,
    expected: &[&str],
) -> Verification {
    let verification = judged(chain, roots, name);
    assert_eq!(codes(&verification), expected, "{verification:#?}");
    verification
}
