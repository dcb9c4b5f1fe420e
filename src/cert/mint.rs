//! Certificates as dbgate makes them: every field set here, none left to a library's default.
//!
//! Not here: files, and when a certificate is due ([`super::issue`], [`super::authority`]).
//! Source: RFC 5280 sections 4.1 and 4.2; "Requirements for trusted certificates in iOS 13 and
//! macOS 10.15" (Apple).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};

use super::error::CertError;
use super::purpose::Purpose;
use crate::tls::ServerName;

/// Clock skew allowed to clients.
pub(super) const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// Bytes of a serial number; RFC 5280 allows 20.
pub(super) const SERIAL_LEN: usize = 16;

/// The longest life: its end has to have four digits for the year, whatever the clock says.
const MAX_LIFETIME: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The longest common name (ub-common-name, RFC 5280 appendix A.1), in characters.
pub(super) const MAX_COMMON_NAME: usize = 64;

/// One name of a server: DNS name, wildcard or address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostName {
    /// A DNS name.
    Dns(ServerName),
    /// `*.` before a DNS name: any one label there.
    Wildcard(ServerName),
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let told = |error: crate::tls::name::NameError| format!("\"{text}\": {error}");
        match text.strip_prefix("*.") {
            Some(base) => ServerName::typed(base).map(Self::Wildcard).map_err(told),
            None => ServerName::typed(text).map(Self::Dns).map_err(told),
        }
    }
}

/// As in a certificate.
impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "{name}"),
            Self::Wildcard(base) => write!(f, "*.{base}"),
            Self::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

/// Fields of an end-entity certificate.
pub(super) struct Leaf<'a> {
    /// Cut to what a certificate takes.
    pub(super) common_name: &'a str,
    pub(super) names: &'a [HostName],
    pub(super) purpose: Purpose,
    pub(super) until: SystemTime,
}

impl Leaf<'_> {
    /// The certificate for `key`, PEM, signed by `issuer` or else by the key itself.
    pub(super) fn sign(
        &self,
        key: &KeyPair,
        issuer: Option<&Issuer<'_, KeyPair>>,
        now: SystemTime,
    ) -> Result<String, CertError> {
        let mut params = params(self.common_name, now, self.until)?;
        params.subject_alt_names = self
            .names
            .iter()
            .map(|name| match name {
                HostName::Ip(ip) => Ok(SanType::IpAddress(*ip)),
                name => name.to_string().as_str().try_into().map(SanType::DnsName),
            })
            .collect::<Result<_, _>>()
            .map_err(CertError::Mint)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match self.purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let signed = match issuer {
            Some(issuer) => {
                params.use_authority_key_identifier_extension = true;
                params.signed_by(key, issuer)
            }
            None => params.self_signed(key),
        };
        signed.map(|cert| cert.pem()).map_err(CertError::Mint)
    }
}

/// A root for `key`, PEM, that issues end-entity certificates only, and with `domains` only for
/// names in them and no address.
pub(super) fn root(
    common_name: &str,
    domains: &[ServerName],
    key: &KeyPair,
    now: SystemTime,
    until: SystemTime,
) -> Result<String, CertError> {
    let mut params = params(common_name, now, until)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if !domains.is_empty() {
        let domain = |name: &ServerName| GeneralSubtree::DnsName(name.to_string());
        // A rule about DNS names alone would leave every address allowed.
        let all = [
            CidrSubnet::from_v4_prefix([0; 4], 0),
            CidrSubnet::from_v6_prefix([0; 16], 0),
        ];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: domains.iter().map(domain).collect(),
            excluded_subtrees: all.map(GeneralSubtree::IpAddress).into(),
        });
    }
    let cert = params.self_signed(key).map_err(CertError::Mint)?;
    Ok(cert.pem())
}

/// End of a certificate that is made now.
pub(super) fn end(now: SystemTime, lifetime: Duration) -> Result<SystemTime, CertError> {
    Some(lifetime)
        .filter(|lifetime| (Duration::from_secs(1)..=MAX_LIFETIME).contains(lifetime))
        .and_then(|lifetime| now.checked_add(lifetime))
        .ok_or_else(|| CertError::Refused("a certificate is for 100 years at most".into()))
}

pub(super) fn new_key() -> Result<KeyPair, CertError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CertError::Mint)
}

/// Fields of every certificate.
fn params(
    common_name: &str,
    now: SystemTime,
    until: SystemTime,
) -> Result<CertificateParams, CertError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&random::<SERIAL_LEN>()?));
    params.not_before = (now - BACKDATED).into();
    params.not_after = until.into();
    params.distinguished_name = DistinguishedName::new();
    let common_name: String = common_name.chars().take(MAX_COMMON_NAME).collect();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    Ok(params)
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], CertError> {
    let mut bytes = [0; N];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| CertError::NoRandomness)?;
    Ok(bytes)
}
