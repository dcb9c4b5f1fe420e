//! A directory with an authority, and requests for it.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName as PkiName;

use crate::cert::scratch::Scratch;
use crate::cert::{
    CertError, Fault, IssuedPair, LeafRequest, Purpose, RootRequest, Signer, Subject, make_leaf,
    make_root, read_bundle, verify,
};
use crate::tls::ServerName;

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory with an authority, and requests for it.
pub(super) struct Bench {
    pub(super) scratch: Scratch,
    pub(super) now: SystemTime,
}

impl Bench {
    pub(super) fn new() -> Self {
        let bench = Self {
            scratch: Scratch::new(),
            now: SystemTime::now(),
        };
        bench.root(&[]);
        bench
    }

    pub(super) fn dir(&self) -> &Path {
        self.scratch.path()
    }

    pub(super) fn root(&self, domains: &[&str]) -> IssuedPair {
        make_root(&self.root_request(domains), self.now).unwrap()
    }

    pub(super) fn root_request(&self, domains: &[&str]) -> RootRequest {
        RootRequest {
            dir: self.dir().to_owned(),
            name: None,
            lifetime: DAY * 3650,
            domains: domains
                .iter()
                .map(|name| ServerName::parse(name).unwrap())
                .collect(),
        }
    }

    pub(super) fn request(&self, names: &[&str]) -> LeafRequest {
        LeafRequest {
            subject: Subject::Server(names.iter().map(|name| name.parse().unwrap()).collect()),
            signer: Signer::Authority(self.dir().to_owned()),
            lifetime: DAY * 397,
            out: self.dir().to_owned(),
            if_due: None,
            force: false,
            new_key: false,
        }
    }

    pub(super) fn make(&self, names: &[&str]) -> IssuedPair {
        make_leaf(&self.request(names), self.now).unwrap()
    }

    /// Verdict of a verifier that trusts the authority and asks for `name`.
    pub(super) fn judged(
        &self,
        made: &IssuedPair,
        name: Option<&str>,
        purpose: Purpose,
    ) -> Vec<&'static str> {
        let chain = read_bundle(&made.cert).unwrap().certificates;
        let roots = read_bundle(&made.trust).unwrap().certificates;
        let name = name.map(|name| PkiName::try_from(name).unwrap());
        let verification = verify(&chain, &roots, name.as_ref(), purpose, self.now);
        verification.faults.iter().map(Fault::code).collect()
    }
}

pub(super) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

pub(super) fn conflict(made: Result<IssuedPair, CertError>) -> String {
    match made {
        Err(CertError::Conflict(message)) => message,
        other => panic!("{other:?}"),
    }
}

pub(super) fn refused(made: Result<IssuedPair, CertError>) -> String {
    match made {
        Err(CertError::Refused(message) | CertError::Name(message)) => message,
        other => panic!("{other:?}"),
    }
}
