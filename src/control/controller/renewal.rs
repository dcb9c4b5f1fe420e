//! Certificates, keys and revocation lists that files hold now: put in force, and told in the log
//! and the events.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use tracing::info;

use super::Controller;
use crate::route::Attempt;
use crate::route::renewed::RenewedFile;
use crate::stats::Event;
use crate::tls::config::MaterialKind;
use crate::tls::material::MaterialOrigin;

impl Controller {
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
