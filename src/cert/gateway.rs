//! The gateway's own certificate: self-signed, so that a gateway without
//! configured can end TLS at once.
//!
//! Not here: what the gateway does with it ([`crate::tls::config`]).
//! Source: RFC 5280 section 4.1 and 4.2 (fields and extensions of a certificate).

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::der::parse;
use super::error::CertError;
use super::files::{self, Locked, PUBLIC, SECRET};
use super::mint::{self, HostName, Leaf};
use super::purpose::Purpose;
use super::view::seconds;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Lifetime of a certificate: the most that clients with rules about it accept.
const LIFETIME: Duration = DAY.saturating_mul(397);

/// A certificate with less time left is made anew.
const RENEWED_BEFORE: Duration = DAY.saturating_mul(30);

/// The gateway's own certificate and key in `dir`, as the paths of `gateway.crt` and
/// `gateway.key`.
///
/// Both are made where they are missing or do not fit each other, and made anew within 30 days of
/// the certificate's end. The names in it are the machine's host name and `localhost`.
///
/// # Errors
/// The files cannot be read or written, or the system gives no random bytes.
pub fn gateway_pair(dir: &Path) -> Result<(PathBuf, PathBuf), CertError> {
    gateway_pair_at(dir, SystemTime::now())
}

fn gateway_pair_at(dir: &Path, now: SystemTime) -> Result<(PathBuf, PathBuf), CertError> {
    let paths = (dir.join("gateway.crt"), dir.join("gateway.key"));
    let kept = files::read_own(&paths.0)?.zip(files::read_own(&paths.1)?);
    if kept.is_some_and(|(cert, key)| is_good(&cert, &key, now + RENEWED_BEFORE)) {
        return Ok(paths);
    }
    let names: Vec<HostName> = host_name()
        .into_iter()
        .chain(["localhost".to_owned()])
        .filter_map(|name| name.parse().ok())
        .collect();
    let leaf = Leaf {
        common_name: "dbgate gateway",
        names: &names,
        purpose: Purpose::Server,
        until: now + LIFETIME,
    };
    let key = mint::new_key()?;
    let cert = leaf.sign(&key, None, now)?;
    let locked = Locked::open(dir)?;
    locked.put(&paths.1, &key.serialize_pem(), SECRET)?;
    locked.put(&paths.0, &cert, PUBLIC)?;
    Ok(paths)
}

/// Returns whether the certificate is of this key and good until `until`.
fn is_good(cert: &[u8], key: &[u8], until: SystemTime) -> bool {
    let Ok(cert) = CertificateDer::from_pem_slice(cert) else {
        return false;
    };
    let Ok(key) = PrivateKeyDer::from_pem_slice(key) else {
        return false;
    };
    let lasts =
        parse(&cert).is_ok_and(|cert| cert.validity().not_after.timestamp() > seconds(until));
    lasts && files::fits(&cert, &key)
}

/// This machine's name, if it can be in a certificate next to `localhost`.
fn host_name() -> Option<String> {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().ok()?;
    (is_dns_name(name) && name != "localhost").then(|| name.to_ascii_lowercase())
}

fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let last_is_number = name
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(is_label) && !last_is_number
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
    use x509_parser::extensions::{GeneralName, ParsedExtension};

    use super::*;
    use crate::cert::scratch::Scratch;
    use crate::tls::config::{Loader, MinVersion, ServerSettings, ServerTls};
    use crate::tls::files::Files;

    fn load((cert, key): &(PathBuf, PathBuf)) -> Arc<ServerTls> {
        let settings = ServerSettings {
            cert: cert.clone().into(),
            key: key.clone().into(),
            client_ca: None,
            client_crl: None,
            min_version: MinVersion::default(),
            alpn: &[],
        };
        Loader::new(Arc::new(Files)).server(&settings).unwrap()
    }

    fn texts(paths: &(PathBuf, PathBuf)) -> (String, String) {
        let read = |path| fs::read_to_string(path).unwrap();
        (read(&paths.0), read(&paths.1))
    }

    #[test]
    fn the_pair_is_made_once_and_kept() {
        let scratch = Scratch::new();
        let first = gateway_pair(scratch.path()).unwrap();
        let before = texts(&first);
        assert_eq!(gateway_pair(scratch.path()).unwrap(), first);
        assert_eq!(texts(&first), before);
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&first.1), 0o600);
        // The umask decides whether others may read the certificate.
        assert_eq!(mode(&first.0) & !0o044, 0o600);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
        let other = Scratch::new();
        assert_ne!(texts(&gateway_pair(other.path()).unwrap()), before);
    }

    #[test]
    fn a_pair_that_ends_soon_or_does_not_fit_is_made_anew() {
        let scratch = Scratch::new();
        let now = SystemTime::now();
        let paths = gateway_pair_at(scratch.path(), now - DAY * 366).unwrap();
        let first = texts(&paths);
        gateway_pair_at(scratch.path(), now).unwrap();
        assert_eq!(texts(&paths), first, "31 days left");
        gateway_pair_at(scratch.path(), now + DAY * 2).unwrap();
        let second = texts(&paths);
        assert_ne!(second, first, "29 days left");

        fs::write(&paths.0, first.0).unwrap();
        fs::write(scratch.path().join("gateway.key.new"), "left behind").unwrap();
        gateway_pair(scratch.path()).unwrap();
        load(&paths);
        fs::remove_file(&paths.1).unwrap();
        gateway_pair(scratch.path()).unwrap();
        load(&paths);
        fs::write(&paths.1, "damaged").unwrap();
        gateway_pair(scratch.path()).unwrap();
        load(&paths);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
    }

    #[test]
    fn errors_name_the_file() {
        let scratch = Scratch::new();
        let nowhere = scratch.path().join("none");
        fs::write(&nowhere, "").unwrap();
        let error = gateway_pair(&nowhere).unwrap_err().to_string();
        assert!(error.contains("none/gateway.crt"), "{error}");
        fs::create_dir(scratch.path().join("gateway.crt")).unwrap();
        let error = gateway_pair(scratch.path()).unwrap_err().to_string();
        assert!(error.contains("gateway.crt"), "{error}");
    }

    #[test]
    fn every_field_is_set() {
        let scratch = Scratch::new();
        let tls = load(&gateway_pair(scratch.path()).unwrap());
        let (_, cert) = x509_parser::parse_x509_certificate(&tls.leaf).unwrap();
        assert_eq!(cert.subject().to_string(), "CN=dbgate gateway");
        assert_eq!(cert.issuer(), cert.subject());
        assert!(cert.raw_serial().len() >= mint::SERIAL_LEN - 1);
        let validity = cert.validity();
        let length = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert_eq!(length, (LIFETIME + mint::BACKDATED).as_secs().cast_signed());
        let mut found = BTreeSet::new();
        for extension in cert.extensions() {
            found.insert(match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(basic) => format!("ca {}", basic.ca),
                ParsedExtension::KeyUsage(usage) => format!("usage {}", usage.flags),
                ParsedExtension::ExtendedKeyUsage(usage) => format!("server {}", usage.server_auth),
                ParsedExtension::SubjectAlternativeName(names) => {
                    let local = GeneralName::DNSName("localhost");
                    format!("localhost {}", names.general_names.contains(&local))
                }
                ParsedExtension::SubjectKeyIdentifier(_) => continue,
                other => format!("{other:?}"),
            });
        }
        let expected = ["ca false", "localhost true", "server true", "usage 1"];
        assert_eq!(found, expected.map(str::to_owned).into());
    }

    #[test]
    fn a_client_that_trusts_the_certificate_accepts_it() {
        let scratch = Scratch::new();
        let tls = load(&gateway_pair(scratch.path()).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(tls.leaf.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
        let mut client =
            ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(tls.config.clone()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
    }

    #[test]
    fn only_dns_names_go_into_a_certificate() {
        for name in ["db1", "db-1.example", "1a"] {
            assert!(is_dns_name(name), "{name}");
        }
        let long = "a".repeat(64);
        for name in ["", ".", "a..b", "a_b", "a b", "10.0.0.1", "ü", &long] {
            assert!(!is_dns_name(name), "{name}");
        }
    }
}
