//! Reading some of the material again while the rest stays: a configuration gets its new material
//! as a whole or stays as it was, whatever becomes of the others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustls::ClientConfig;

use super::{BackendSettings, Kept, Loader, ServerSettings, ServerTls};
use crate::tls::client::ClientVerifier;
use crate::tls::material::{Digest, MAX_CRL, Material, MaterialError, MaterialOrigin};

/// A loader's second look at some of its material; each origin is read once, at its first use.
#[derive(Debug)]
pub struct Again {
    loader: Loader,
    /// The origins that a configuration has now been built of.
    used: HashSet<MaterialOrigin>,
}

impl ServerSettings {
    /// The origins of its material, but for revocation lists.
    pub fn origins(&self) -> impl Iterator<Item = &MaterialOrigin> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca)
    }
}

impl BackendSettings {
    /// The origins of its material.
    pub fn origins(&self) -> impl Iterator<Item = &MaterialOrigin> {
        let identity = self.identity.iter();
        let identity = identity.flat_map(|(cert, key)| [cert, key]);
        self.ca.iter().chain(identity)
    }
}

impl Again {
    /// Begins a second look, which changes nothing of `loader`.
    #[must_use]
    pub fn new(loader: &Loader) -> Self {
        let mut loader = loader.clone();
        loader.material = Kept::default();
        Self {
            loader,
            used: HashSet::new(),
        }
    }

    /// The configuration towards clients of what is there now.
    ///
    /// # Errors
    /// As [`Loader::server`].
    pub fn server(&mut self, settings: &ServerSettings) -> Result<Arc<ServerTls>, MaterialError> {
        let tls = self.loader.server(settings)?;
        self.used.extend(settings.origins().cloned());
        Ok(tls)
    }

    /// The configuration towards backends of what is there now.
    ///
    /// # Errors
    /// As [`Loader::backend`].
    pub fn backend(
        &mut self,
        settings: &BackendSettings,
    ) -> Result<Arc<ClientConfig>, MaterialError> {
        let config = self.loader.backend(settings)?;
        self.used.extend(settings.origins().cloned());
        Ok(config)
    }

    /// Puts the revocation lists of an origin in force, where they are used, and returns them with
    /// the digest of those before; `None` where nothing has changed.
    ///
    /// # Errors
    /// They cannot be read or used; those in force remain.
    pub fn lists(
        &self,
        origin: &MaterialOrigin,
    ) -> Result<Option<(Digest, Material)>, MaterialError> {
        let all = self.loader.servers.values();
        let verifiers = all.filter_map(|tls| tls.clients.as_ref());
        let using = |verifier: &&Arc<ClientVerifier>| verifier.crl() == Some(origin);
        let mut verifiers = verifiers.filter(using).peekable();
        if verifiers.peek().is_none() {
            return Ok(None);
        }
        let lists = self.loader.reader.material(origin, MAX_CRL)?;
        let mut before = None;
        for verifier in verifiers {
            before = verifier.replace(&lists)?.or(before);
        }
        Ok(before.map(|before| (before, lists)))
    }

    /// Puts into `loader` what configurations have been built of, and returns what of it is
    /// another than before, with both.
    pub fn finish(self, loader: &mut Loader) -> HashMap<MaterialOrigin, (Material, Material)> {
        let mut renewed = HashMap::new();
        let before = std::mem::replace(
            loader,
            Loader {
                material: loader.material.clone(),
                ..self.loader.clone()
            },
        );
        for origin in self.used {
            let Some(now) = self.loader.material.get(&origin) else {
                continue;
            };
            let was = before.material.get(&origin);
            if was == Some(now) {
                continue;
            }
            Arc::make_mut(&mut loader.material).insert(origin.clone(), now.clone());
            if let Some(was) = was {
                renewed.insert(origin, (was.clone(), now.clone()));
            }
        }
        renewed
    }
}

impl Loader {
    /// Forgets configurations that nothing uses any more.
    pub fn prune(&mut self) {
        fn unused<T>(kept: &Arc<T>) -> bool {
            Arc::strong_count(kept) == 1
        }
        if self.servers.values().any(unused) {
            Arc::make_mut(&mut self.servers).retain(|_, tls| !unused(tls));
        }
        if self.backends.values().any(unused) {
            Arc::make_mut(&mut self.backends).retain(|_, config| !unused(config));
        }
    }
}
