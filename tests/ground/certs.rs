//! Certificates for the tests: authorities, and leafs for servers and clients, as files and in memory;
//! good ones, and ones that are wrong in one way each.
//!
//! Not the certificates of `dbgate cert`: every field is set here, so that a test depends on nothing
//! but itself. What rcgen cannot make (weak keys, old digests, the defaults of others) the openssl
//! command does. Source: RFC 5280, sections 4.1 and 4.2.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tempfile::TempDir;

use crate::testbed;

/// The validity of a certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Validity {
    /// From 2020 to 2090.
    Valid,
    /// From 2020 to 2021.
    Expired,
    /// From 2080 to 2090.
    NotYet,
    /// From a day ago, and exactly this many days more: days are told to the nearest number, so a
    /// test has the one that it asked for, unless it takes half a day.
    Days(u32),
    /// From a hundred days ago; the end is as with `Days`.
    Late(u32),
}

/// A certificate authority; its files live as long as it or one of its leafs does.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    path: PathBuf,
    /// Only openssl reads it.
    key_path: PathBuf,
    folder: Arc<TempDir>,
}

/// An end-entity certificate and its key, in files that live as long as it or its [`Ca`] does.
pub(crate) struct Leaf {
    pub(crate) cert_path: PathBuf,
    /// Mode 0600.
    pub(crate) key_path: PathBuf,
    /// Of a [`Leaf::chained`] one with the authorities between.
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    pub(crate) der: Vec<u8>,
    /// As clients print it: hexadecimal, lower case.
    pub(crate) serial: String,
    folder: Arc<TempDir>,
}

/// An authority to make. Two of one name have different keys: as after a CA was made anew.
pub(crate) struct NewCa {
    params: CertificateParams,
}

/// An end-entity certificate to sign.
pub(crate) struct NewLeaf<'a> {
    ca: &'a Ca,
    params: CertificateParams,
}

impl Ca {
    /// A new root with its own key.
    pub(crate) fn new(name: &str) -> Self {
        Self::named(name).root()
    }

    /// An authority to make.
    pub(crate) fn named(name: &str) -> NewCa {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        NewCa { params }
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
        self.prepare(names).sign()
    }

    /// A server certificate that has run out.
    pub(crate) fn expired(&self, names: &[&str]) -> Leaf {
        self.prepare(names).validity(Validity::Expired).sign()
    }

    /// A client certificate; Postgres takes the common name for the user.
    pub(crate) fn client(&self, user: &str) -> Leaf {
        let client = self.prepare(&[user]).without_names();
        client.usage(ExtendedKeyUsagePurpose::ClientAuth).sign()
    }

    /// A server certificate to sign, for these DNS names and IP addresses; the first one is its common
    /// name.
    pub(crate) fn prepare(&self, names: &[&str]) -> NewLeaf<'_> {
        let mut params = params(names.first().expect("a name"));
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        params.subject_alt_names = CertificateParams::new(names)
            .expect("names for a certificate")
            .subject_alt_names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        NewLeaf { ca: self, params }
    }

    /// A server certificate for one DNS name that openssl signs: `key` as in `openssl req -newkey`,
    /// such as `rsa:1024`, and `digest` such as `sha1`.
    pub(crate) fn by_openssl(&self, name: &str, key: &str, digest: &str) -> Leaf {
        let extensions = format!(
            "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n\
             keyUsage=critical,digitalSignature,keyEncipherment\nsubjectAltName=DNS:{name}\n"
        );
        self.openssl_x509(name, key, digest, Some(&extensions))
    }

    /// Made by `openssl x509 -req` without extensions: version 1 of X.509.
    pub(crate) fn version_1(&self, name: &str) -> Leaf {
        self.openssl_x509(name, "rsa:2048", "sha256", None)
    }

    /// A list of these certificates as revoked, PEM, with its next update due in this year.
    pub(crate) fn crl(&self, revoked: &[&Leaf], next_update: i32) -> String {
        let this_update = date_time_ymd(2020, 1, 1);
        let serial = |leaf: &Leaf| u64::from_str_radix(&leaf.serial, 16).expect("a serial number");
        let revoked_certs = revoked.iter().map(|leaf| RevokedCertParams {
            serial_number: serial(leaf).into(),
            revocation_time: this_update,
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update,
            next_update: date_time_ymd(next_update, 1, 1),
            crl_number: new_serial().into(),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a signed list");
        list.pem().expect("PEM")
    }

    fn openssl_x509(&self, name: &str, key: &str, digest: &str, extensions: Option<&str>) -> Leaf {
        let serial = new_serial();
        let file = |suffix: &str| self.folder.path().join(format!("{serial:x}.{suffix}"));
        openssl(|command| {
            command.args(["req", "-new", "-nodes", "-newkey", key, "-subj"]);
            command.arg(format!("/CN={name}"));
            command.arg("-keyout").arg(file("key"));
            command.arg("-out").arg(file("csr"));
        });
        openssl(|command| {
            command.args(["x509", "-req", "-days", "90", &format!("-{digest}")]);
            command.arg("-in").arg(file("csr"));
            command.arg("-CA").arg(&self.path);
            command.arg("-CAkey").arg(&self.key_path);
            command.arg("-set_serial").arg(format!("0x{serial:x}"));
            if let Some(extensions) = extensions {
                fs::write(file("ext"), extensions).expect("a new file");
                command.arg("-extfile").arg(file("ext"));
            }
            command.arg("-out").arg(file("crt"));
        });
        let folder = Arc::clone(&self.folder);
        Leaf::read(file("crt"), file("key"), format!("{serial:x}"), folder)
    }
}

impl NewCa {
    /// Its validity; 2020 to 2090 by default.
    pub(crate) fn validity(mut self, validity: Validity) -> Self {
        validity.set(&mut self.params);
        self
    }

    /// It may sign for these DNS domains and what is below them, for nothing else.
    pub(crate) fn permitted(mut self, domains: &[&str]) -> Self {
        let subtree = |domain: &&str| GeneralSubtree::DnsName((*domain).to_owned());
        self.params.name_constraints = Some(NameConstraints {
            permitted_subtrees: domains.iter().map(subtree).collect(),
            excluded_subtrees: Vec::new(),
        });
        self
    }

    /// Its name has an organisation, as those of public authorities do.
    pub(crate) fn organisation(mut self, name: &str) -> Self {
        let names = &mut self.params.distinguished_name;
        names.push(DnType::OrganizationName, name);
        self
    }

    /// It is none: it signs nevertheless.
    pub(crate) fn not_a_ca(mut self) -> Self {
        self.params.is_ca = IsCa::ExplicitNoCa;
        self.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        self
    }

    /// Signed by itself.
    pub(crate) fn root(self) -> Ca {
        self.signed(None)
    }

    /// Signed by another: an intermediate one.
    pub(crate) fn under(mut self, ca: &Ca) -> Ca {
        self.params.use_authority_key_identifier_extension = true;
        self.signed(Some(ca))
    }

    fn signed(self, ca: Option<&Ca>) -> Ca {
        let key = new_key();
        let certificate = match ca {
            Some(ca) => self.params.signed_by(&key, &ca.issuer),
            None => self.params.self_signed(&key),
        };
        let pem = certificate.expect("a signed certificate").pem();
        let folder = testbed::scratch();
        Ca {
            path: write(folder.path(), "ca.crt", &pem, 0o644),
            key_path: write(folder.path(), "ca.key", &key.serialize_pem(), 0o600),
            issuer: Issuer::new(self.params, key),
            pem,
            folder: Arc::new(folder),
        }
    }
}

impl NewLeaf<'_> {
    /// Its validity; 2020 to 2090 by default.
    pub(crate) fn validity(mut self, validity: Validity) -> Self {
        validity.set(&mut self.params);
        self
    }

    /// Its name is in the subject only.
    pub(crate) fn without_names(mut self) -> Self {
        self.params.subject_alt_names.clear();
        self
    }

    /// It does not tell the key of its issuer: only the signature does.
    pub(crate) fn without_key_id(mut self) -> Self {
        self.params.use_authority_key_identifier_extension = false;
        self
    }

    /// It calls itself an authority.
    pub(crate) fn ca_true(mut self) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self
    }

    /// Its purpose; a server by default.
    pub(crate) fn usage(mut self, usage: ExtendedKeyUsagePurpose) -> Self {
        self.params.extended_key_usages = vec![usage];
        self
    }

    /// Signs it.
    pub(crate) fn sign(self) -> Leaf {
        self.signed(true)
    }

    /// Signs it by its own key; the authority has no part in it.
    pub(crate) fn self_signed(mut self) -> Leaf {
        self.params.use_authority_key_identifier_extension = false;
        self.signed(false)
    }

    fn signed(self, by_ca: bool) -> Leaf {
        let Self { ca, params } = self;
        let key = new_key();
        let certificate = if by_ca {
            params.signed_by(&key, &ca.issuer)
        } else {
            params.self_signed(&key)
        };
        let certificate = certificate.expect("a signed certificate");
        let serial = params.serial_number.expect("a serial number").to_string();
        let serial = serial.replace(':', "");
        let (cert_pem, key_pem) = (certificate.pem(), key.serialize_pem());
        let folder = ca.folder.path();
        Leaf {
            cert_path: write(folder, &format!("{serial}.crt"), &cert_pem, 0o644),
            key_path: write(folder, &format!("{serial}.key"), &key_pem, 0o600),
            cert_pem,
            key_pem,
            der: certificate.der().to_vec(),
            serial,
            folder: Arc::clone(&ca.folder),
        }
    }
}

impl Leaf {
    /// Made by `openssl req -x509` with its defaults: signed by itself, an authority, the
    /// name in the subject only.
    pub(crate) fn openssl_req(name: &str) -> Self {
        let serial = new_serial();
        let folder = testbed::scratch();
        let file = |name: &str| folder.path().join(name);
        openssl(|command| {
            command.args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90",
            ]);
            command.args(["-subj", &format!("/CN={name}")]);
            command.args(["-set_serial", &format!("0x{serial:x}")]);
            command.arg("-keyout").arg(file("server.key"));
            command.arg("-out").arg(file("server.crt"));
        });
        let (cert, key) = (file("server.crt"), file("server.key"));
        Self::read(cert, key, format!("{serial:x}"), Arc::new(folder))
    }

    /// One that somebody else has made, in this folder.
    pub(crate) fn found(folder: &Arc<TempDir>, cert: &str, key: &str, serial: &str) -> Self {
        let (cert, key) = (folder.path().join(cert), folder.path().join(key));
        Self::read(cert, key, serial.to_owned(), Arc::clone(folder))
    }

    /// The same certificate, sent along with those of the authorities between, its issuer first.
    pub(crate) fn chained(&self, between: &[&Ca]) -> Self {
        let mut cert_pem = self.cert_pem.clone();
        cert_pem.extend(between.iter().map(|ca| ca.pem()));
        // Another chain of the same leaf has the same serial.
        let name = format!("{:x}.chain.crt", new_serial());
        Self {
            cert_path: write(self.folder.path(), &name, &cert_pem, 0o644),
            key_path: self.key_path.clone(),
            cert_pem,
            key_pem: self.key_pem.clone(),
            der: self.der.clone(),
            serial: self.serial.clone(),
            folder: Arc::clone(&self.folder),
        }
    }

    /// This certificate beside the key of another one.
    pub(crate) fn with_key_of(self, other: &Self) -> Self {
        Self {
            key_path: other.key_path.clone(),
            key_pem: other.key_pem.clone(),
            ..self
        }
    }

    fn read(cert_path: PathBuf, key_path: PathBuf, serial: String, folder: Arc<TempDir>) -> Self {
        let read = |path: &Path| fs::read_to_string(path).expect("a file of openssl");
        let (cert_pem, key_pem) = (read(&cert_path), read(&key_path));
        let der = CertificateDer::from_pem_slice(cert_pem.as_bytes()).expect("a certificate");
        Self {
            cert_path,
            key_path,
            der: der.to_vec(),
            cert_pem,
            key_pem,
            serial,
            folder,
        }
    }
}

impl Validity {
    fn set(self, params: &mut CertificateParams) {
        let day = Duration::from_secs(24 * 60 * 60);
        let now = SystemTime::now();
        [params.not_before, params.not_after] = match self {
            Self::Valid => [date_time_ymd(2020, 1, 1), date_time_ymd(2090, 1, 1)],
            Self::Expired => [date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)],
            Self::NotYet => [date_time_ymd(2080, 1, 1), date_time_ymd(2090, 1, 1)],
            Self::Days(days) => [(now - day).into(), (now + day * days).into()],
            Self::Late(days) => {
                let until = now + day * days;
                [(now - day * 100).into(), until.into()]
            }
        };
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

/// Distinct within a run, and of a fixed length without a leading zero: every client prints it alike.
fn new_serial() -> u64 {
    static SERIAL: AtomicU64 = AtomicU64::new(0x1000_0000_0000_0001);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(new_serial()));
    Validity::Valid.set(&mut params);
    params
}

fn openssl(arguments: impl FnOnce(&mut Command)) {
    let mut command = Command::new("openssl");
    arguments(&mut command);
    let output = command.output().expect("openssl");
    assert!(output.status.success(), "{command:?}: {output:?}");
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
