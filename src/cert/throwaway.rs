//! Throwaway certificate for one connection: never in a file, and not trusted by any client.
//!
//! It shows whether a client verifies what it is shown.

use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::error::CertError;
use super::mint::{HostName, Leaf, new_key};
use super::purpose::Purpose;

/// Validity: a session may resume with it.
const VALID: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate for a server of this name, signed by its own new key, and the key.
///
/// # Errors
/// The name is none, or the system gives no random bytes.
pub fn throwaway(
    name: &str,
    now: SystemTime,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), CertError> {
    let host: HostName = name.parse().map_err(CertError::Refused)?;
    let key = new_key()?;
    let leaf = Leaf {
        common_name: name,
        names: &[host],
        purpose: Purpose::Server,
        until: now + VALID,
    };
    let pem = leaf.sign(&key, None, now)?;
    let cert = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| CertError::Refused("the certificate that was made is damaged".into()))?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((cert, key.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_for_the_name_and_no_two_are_alike() {
        let now = SystemTime::now();
        let (cert, key) = throwaway("pg.example.test", now).unwrap();
        let view = super::super::view(&cert, now).unwrap();
        assert_eq!(view.names, ["pg.example.test"]);
        assert!(view.self_signed, "{view:?}");
        assert!(super::super::fits(&cert, &key));
        let (other, _) = throwaway("pg.example.test", now).unwrap();
        assert_ne!(cert, other);
        assert!(throwaway("no name", now).is_err());
    }
}
