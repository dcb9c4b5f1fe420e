//! Certificates for the tests: authorities, and leafs for servers and clients, as files and in memory.
//!
//! Not the certificates of `dbgate cert`: every field is set here, so that a test depends on nothing
//! but itself. Source: RFC 5280, sections 4.1 and 4.2.

use std::{
    fs::File,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

use crate::testbed;

/// Not before and not after, as (year, month, day).
type Validity = [(i32, u8, u8); 2];

const VALID: Validity = [(2020, 1, 1), (2090, 1, 1)];
const EXPIRED: Validity = [(2020, 1, 1), (2021, 1, 1)];

/// A certificate authority; its files live as long as it does.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    path: PathBuf,
    folder: TempDir,
}

/// An end-entity certificate and its key, in files that live as long as their [`Ca`].
pub(crate) struct Leaf {
    pub(crate) cert_path: PathBuf,
    /// Mode 0600.
    pub(crate) key_path: PathBuf,
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    pub(crate) der: Vec<u8>,
    /// As clients print it: hexadecimal, lower case.
    pub(crate) serial: String,
}

impl Ca {
    /// A new authority with its own key.
    pub(crate) fn new(name: &str) -> Self {
        let folder = testbed::scratch();
        let mut params = params(name, VALID);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key();
        let pem = params
            .self_signed(&key)
            .expect("a self-signed certificate")
            .pem();
        let path = write(folder.path(), "ca.crt", &pem, 0o644);
        Self {
            issuer: Issuer::new(params, key),
            pem,
            path,
            folder,
        }
    }

    /// The authority's certificate as a PEM file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The authority's certificate as PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A server certificate for these DNS names and IP addresses; the first one is its common name.
    pub(crate) fn leaf(&self, names: &[&str]) -> Leaf {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, VALID)
    }

    /// A server certificate that has run out.
    pub(crate) fn expired(&self, names: &[&str]) -> Leaf {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, EXPIRED)
    }

    /// A client certificate; Postgres takes the common name for the user.
    pub(crate) fn client(&self, user: &str) -> Leaf {
        self.sign(&[user], ExtendedKeyUsagePurpose::ClientAuth, VALID)
    }

    fn sign(&self, names: &[&str], usage: ExtendedKeyUsagePurpose, validity: Validity) -> Leaf {
        let (first, rest) = names.split_first().expect("a name");
        let mut params = params(first, validity);
        let serial = params
            .serial_number
            .as_ref()
            .map(|serial| hex(serial.as_ref()))
            .expect("a serial number");
        if usage == ExtendedKeyUsagePurpose::ServerAuth {
            let names: Vec<String> = [first]
                .into_iter()
                .chain(rest)
                .map(ToString::to_string)
                .collect();
            params.subject_alt_names = CertificateParams::new(names)
                .expect("names for a certificate")
                .subject_alt_names;
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = new_key();
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("a signed certificate");
        let (cert_pem, key_pem) = (certificate.pem(), key.serialize_pem());
        let folder = self.folder.path();
        Leaf {
            cert_path: write(folder, &format!("{serial}.crt"), &cert_pem, 0o644),
            key_path: write(folder, &format!("{serial}.key"), &key_pem, 0o600),
            cert_pem,
            key_pem,
            der: certificate.der().to_vec(),
            serial,
        }
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

fn params(name: &str, [from, to]: Validity) -> CertificateParams {
    // Distinct within a run, and of a fixed length without a leading zero: every client prints it alike.
    static SERIAL: AtomicU64 = AtomicU64::new(0x1000_0000_0000_0001);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
    params.serial_number = Some(SerialNumber::from(SERIAL.fetch_add(1, Ordering::Relaxed)));
    params
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn write(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&path)
        .expect("a new file");
    file.write_all(text.as_bytes()).expect("a new file");
    path
}
