//! `diff`: differences between the running gateway and its files, and the effect of a reload on
//! them. `reload` reports its changes with the same rows.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::Controller;
use crate::config::difference::{Difference, Effect, Presence};
use crate::control::answer::{DiffAnswer, DifferenceRow};
use crate::control::error::CommandError;
use crate::control::reads::{millis, number};
use crate::gateway::Gateway;
use crate::reload::Reloaded;
use crate::service::user;
use crate::sessions::LiveSession;

impl Controller {
    /// Changes made by `ctl`, and differences between the files and the running gateway.
    ///
    /// # Errors
    /// The files cannot be read, or a reload would refuse them.
    pub(super) fn diff(&self) -> Result<DiffAnswer, CommandError> {
        let preview = self.reloader.preview(&self.gateway).map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(|p| user::with_user(p)).collect();
            CommandError::refused(format!("nothing can be compared\n{}", problems.join("\n")))
        })?;
        let ended = self.affected(&preview.change);
        let mut rows = by_ctl(&self.gateway);
        rows.extend(rows_of(&preview, &ended, Tense::Future));
        Ok(DiffAnswer {
            differences: rows,
            more_databases: number(preview.differences.more),
            sessions: number(ended.len()),
            drain_ms: millis(self.drain_time(None)),
        })
    }
}

/// A difference before or after a reload.
#[derive(Clone, Copy)]
pub(super) enum Tense {
    /// The files are not in force yet.
    Future,
    /// They are.
    Past,
}

impl Tense {
    fn of_section(self, place: Presence) -> &'static str {
        match (self, place) {
            (Self::Future, Presence::Both) => "changed in the file, not loaded yet",
            (Self::Future, Presence::File) => "new in the file, not loaded yet",
            (Self::Future, Presence::Running) => "gone from the file, still loaded",
            (Self::Past, Presence::Both) => "changed",
            (Self::Past, Presence::File) => "new",
            (Self::Past, Presence::Running) => "gone",
        }
    }

    fn of_content(self) -> &'static str {
        match self {
            Self::Future => "renewed on disk, not loaded yet",
            Self::Past => "renewed",
        }
    }
}

/// The differences between files and gateway, a row for each key. `ended` are the sessions whose
/// database or host is gone with them.
pub(super) fn rows_of(
    reloaded: &Reloaded,
    ended: &[Arc<LiveSession>],
    tense: Tense,
) -> Vec<DifferenceRow> {
    let mut sessions: HashMap<&str, usize> = HashMap::new();
    for entry in ended {
        *sessions.entry(&entry.database.name).or_default() += 1;
    }
    let keys = reloaded.differences.keys.iter().map(|found| {
        let what = match (tense, found.effect) {
            // It is not in force yet.
            (Tense::Past, Effect::Restart) => Tense::Future.of_section(found.presence),
            _ => tense.of_section(found.presence),
        };
        row(
            &found.section,
            &found.key,
            what,
            (&found.running, &found.file),
            &effect(found, &sessions),
        )
    });
    let renewed = reloaded.change.renewed.iter().map(|renewed| {
        let section = match &renewed.database {
            Some(name) => format!("database.{name}"),
            None => "tls".to_owned(),
        };
        let content = &renewed.content;
        row(
            &section,
            renewed.key,
            tense.of_content(),
            (
                &content.running.clone().into(),
                &content.file.clone().into(),
            ),
            Effect::NewSessions.as_str(),
        )
    });
    keys.chain(renewed).collect()
}

fn row(
    section: &str,
    key: &str,
    what: &str,
    (running, file): (&Value, &Value),
    effect: &str,
) -> DifferenceRow {
    DifferenceRow {
        kind: "file".to_owned(),
        database: section.strip_prefix("database.").map(ToOwned::to_owned),
        what: what.to_owned(),
        section: section.to_owned(),
        key: Some(key.to_owned()),
        running: running.clone(),
        file: file.clone(),
        effect: effect.to_owned(),
    }
}

/// The effect of a reload on a difference: sessions end whose database, or the host by which they
/// came, is gone.
fn effect(found: &Difference, sessions: &HashMap<&str, usize>) -> String {
    let ended = found
        .section
        .strip_prefix("database.")
        .filter(|_| found.presence == Presence::Running || found.key == "hosts")
        .map(|name| sessions.get(name).copied().unwrap_or_default());
    match ended {
        Some(0) if found.presence != Presence::Running => found.effect.as_str().to_owned(),
        Some(1) => "ends 1 session".to_owned(),
        Some(n) => format!("ends {n} sessions"),
        None => found.effect.as_str().to_owned(),
    }
}

fn by_ctl(gateway: &Gateway) -> Vec<DifferenceRow> {
    let row = |name: &str, key: Option<&str>, what: String| DifferenceRow {
        kind: "runtime".to_owned(),
        database: Some(name.to_owned()),
        what,
        section: format!("database.{name}"),
        key: key.map(ToOwned::to_owned),
        running: Value::Null,
        file: Value::Null,
        effect: "kept".to_owned(),
    };
    let runtime = gateway.store.runtime();
    let made = runtime.databases.keys();
    let made = made.map(|name| row(name, None, "made by ctl".to_owned()));
    let exposed = runtime.exposed.iter().flat_map(|(name, hosts)| {
        let said = |host| row(name, Some("hosts"), format!("host {host} exposed by ctl"));
        hosts.keys().map(said)
    });
    let hidden = runtime.hidden.iter().flat_map(|(name, hosts)| {
        let said = |host| row(name, Some("hosts"), format!("host {host} hidden by ctl"));
        hosts.iter().map(said)
    });
    made.chain(exposed).chain(hidden).collect()
}
