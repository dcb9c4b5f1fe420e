//! Certificates, keys and revocation lists that files hold now: put in force, and told in the log
//! and the events.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use tracing::info;

use super::Controller;
use crate::route::database::GatewayTls;
use crate::route::renewed::RenewedFile;
use crate::route::{Attempt, Database};
use crate::stats::{CertificateFault, Event};
use crate::tls::config::{BackendSettings, MaterialKind, ServerSettings};
use crate::tls::material::MaterialOrigin;

/// Changed files that do not fit together, and so are not in force.
#[derive(Clone, Debug)]
pub struct RenewalFault {
    /// The origins of what does not fit together.
    pub origins: Vec<MaterialOrigin>,
    /// What is told of it.
    pub told: Arc<CertificateFault>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Those there are, the first at the front.
    pub all: Vec<RenewalFault>,
    /// The gateway's certificate, where there are any.
    gateway: Option<GatewayTls>,
}

impl Faults {
    /// Those that a database has part in.
    pub fn of(&self, database: &Database) -> impl Iterator<Item = &RenewalFault> {
        let server = self.gateway.as_ref();
        let server = server.and_then(|gateway| database.server_settings(gateway));
        let backend = database.backend_settings();
        let lists = database.spec.tls.client();
        let lists = lists.and_then(|client| client.client_crl.clone());
        let used: HashSet<MaterialOrigin> = server
            .iter()
            .flat_map(ServerSettings::origins)
            .chain(backend.iter().flat_map(BackendSettings::origins))
            .chain(lists.iter())
            .cloned()
            .collect();
        let all = self.all.iter();
        all.filter(move |fault| fault.origins.iter().any(|origin| used.contains(origin)))
    }
}

impl Controller {
    /// Keeps the faults there are, for those who look, and emits an event for each of `news`.
    pub fn tell_faults(&self, all: Vec<RenewalFault>, news: Vec<Arc<CertificateFault>>) {
        let gateway = (!all.is_empty()).then(|| self.gateway.store.gateway_tls());
        let faults = Faults { all, gateway };
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
        for fault in news {
            self.gateway
                .events
                .emit_change(Event::CertificateFault(fault));
        }
    }

    /// The faults there are.
    pub(super) fn faults(&self) -> Faults {
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads these files again and puts in force what fits together.
    #[must_use]
    pub fn renew(&self, files: &HashSet<MaterialOrigin>) -> Vec<Attempt> {
        let renewal = self.gateway.store.renew(files);
        self.tell_renewed(renewal.revision, &renewal.renewed);
        renewal.attempts
    }

    /// One line of the log for each file that holds something else, and one event where that is
    /// not a key.
    pub(super) fn tell_renewed(&self, revision: u64, renewed: &[RenewedFile]) {
        let mut files: BTreeMap<&MaterialOrigin, Vec<&RenewedFile>> = BTreeMap::new();
        for file in renewed {
            files.entry(&file.origin).or_default().push(file);
        }
        let only_keys = renewed.iter().all(|f| f.content.kind == MaterialKind::Key);
        for (origin, users) in files {
            // A file may hold a key, too.
            let certificate = users.iter().find(|f| f.content.kind != MaterialKind::Key);
            let (Some(told), more) = (certificate.or(users.first()), users.len() - 1) else {
                continue;
            };
            // A new key comes with its certificate.
            if told.content.kind == MaterialKind::Key && !only_keys {
                continue;
            }
            let name = match &told.database {
                Some(database) => format!("database.{database}"),
                None => "tls".to_owned(),
            };
            let content = &told.content;
            info!(file = %origin, %name, more, running = %content.running, file_holds = %content.file,
                "{}: changed, in force for new sessions", told.key);
            if content.kind == MaterialKind::Key {
                continue;
            }
            let (old, new) = content.fingerprints.clone();
            self.gateway.events.emit_change(Event::Certificate {
                ts: SystemTime::now(),
                revision,
                section: name,
                more,
                file: origin.to_string(),
                content: content.kind.as_str(),
                subject_names: content.names.clone(),
                not_after: content.not_after,
                old_fingerprint: old,
                new_fingerprint: new,
            });
        }
    }
}
