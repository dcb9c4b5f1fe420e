//! What has happened, as `events` tells it: what is kept, and a stream.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;

use super::answer::{self, ClosedSession, EventsAnswer, KindedEvent, KnownEvent, event_line};
use super::params::EventsParams;
use super::reads::{number, time};
use crate::author::Author;
use crate::gateway::Gateway;
use crate::stats::{BackendChange, CertificateFault, Event, EventKind, Operation, Record, Reject};

/// The events that are kept, the latest at the end. Sessions are in the access log.
pub(super) fn recent(gateway: &Gateway, asked: &EventsParams) -> EventsAnswer {
    EventsAnswer {
        events: kept(gateway, gateway.events.changes(), asked),
    }
}

/// Changes and rejects that are asked for, by time.
fn kept(gateway: &Gateway, changes: Vec<Event>, asked: &EventsParams) -> Vec<KindedEvent> {
    let mut kept = changes;
    if asked.wants(EventKind::Reject) {
        let rejects = gateway.rejects.last();
        let rejects = rejects.iter().map(|row| row.reject.clone().into());
        kept.extend(rejects.map(Event::Rejected));
    }
    kept.retain(|event| asked.wants(event.kind()));
    kept.sort_by_key(Event::ts);
    kept.iter().map(kinded).collect()
}

/// Sends the events that are kept, then all others until the caller is gone. A client turned away
/// at the very begin may be told twice.
pub(super) async fn serve(
    id: Value,
    gateway: Arc<Gateway>,
    asked: EventsParams,
    (changes, mut events): (Vec<Event>, broadcast::Receiver<Event>),
    answers: mpsc::Sender<String>,
) {
    for event in kept(&gateway, changes, &asked) {
        if answers.send(event_line(&id, &event)).await.is_err() {
            return;
        }
    }
    drop(gateway);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = answers.closed() => return,
        };
        let event = match event {
            Ok(event) if asked.wants(event.kind()) => kinded(&event),
            Ok(_) => continue,
            Err(RecvError::Lagged(count)) => KindedEvent {
                kind: EventKind::Control.as_str().to_owned(),
                event: answer::Event::Known(KnownEvent::Missed { count }),
            },
            Err(RecvError::Closed) => return,
        };
        if answers.send(event_line(&id, &event)).await.is_err() {
            return;
        }
    }
}

fn kinded(event: &Event) -> KindedEvent {
    KindedEvent {
        kind: event.kind().as_str().to_owned(),
        event: answer(event),
    }
}

/// An event as callers receive it.
pub(super) fn answer(event: &Event) -> answer::Event {
    answer::Event::Known(match event {
        Event::SessionOpened {
            ts,
            id,
            database,
            client,
            backend,
        } => KnownEvent::SessionOpened {
            ts: time(*ts),
            id: *id,
            database: database.to_string(),
            client: client.to_string(),
            backend: backend.to_string(),
        },
        Event::SessionClosed(record) => KnownEvent::SessionClosed(Box::new(closed(record))),
        Event::Rejected(rejected) => KnownEvent::Rejected(reject(rejected)),
        Event::Exposed {
            ts,
            revision,
            database,
            host,
            by,
        } => KnownEvent::Exposed {
            ts: time(*ts),
            revision: *revision,
            database: database.clone(),
            host: host.clone(),
            by: Author::clone(by),
        },
        Event::Hidden {
            ts,
            revision,
            database,
            host,
            by,
        } => KnownEvent::Hidden {
            ts: time(*ts),
            revision: *revision,
            database: database.clone(),
            host: host.clone(),
            by: Author::clone(by),
        },
        Event::Reload {
            ts,
            ok,
            revision,
            problems,
            by,
        } => KnownEvent::Reload {
            ts: time(*ts),
            ok: *ok,
            revision: *revision,
            problems: problems.clone(),
            by: Author::clone(by),
        },
        Event::Drained(of) => KnownEvent::Drained(operation(of)),
        Event::Resumed(of) => KnownEvent::Resumed(operation(of)),
        Event::Deleted(of) => KnownEvent::Deleted(operation(of)),
        Event::Killed(of) => KnownEvent::Killed(operation(of)),
        Event::BackendUp(of) => KnownEvent::BackendUp(backend(of)),
        Event::BackendDown(of) => KnownEvent::BackendDown(backend(of)),
        Event::Certificate {
            ts,
            revision,
            section,
            more,
            file,
            content,
            subject_names,
            not_after,
            old_fingerprint,
            new_fingerprint,
        } => KnownEvent::Certificate {
            ts: time(*ts),
            revision: *revision,
            section: section.clone(),
            more: number(*more),
            file: file.clone(),
            content: (*content).to_owned(),
            subject_names: subject_names.clone(),
            not_after: not_after.map(time),
            old_fingerprint: old_fingerprint.clone(),
            new_fingerprint: new_fingerprint.clone(),
        },
        Event::CertificateFault(fault) => KnownEvent::CertificateFault(certificate_fault(fault)),
    })
}

/// A fault of changed files, as callers receive it.
pub(super) fn certificate_fault(fault: &CertificateFault) -> answer::CertificateFault {
    answer::CertificateFault {
        ts: time(fault.ts),
        files: fault.files.clone(),
        error: fault.error.clone(),
    }
}

fn backend(of: &BackendChange) -> answer::BackendChange {
    answer::BackendChange {
        ts: time(of.ts),
        backend: of.backend.clone(),
        databases: of.databases.clone(),
        by: of.by.to_owned(),
        reason: of.reason.map(|reason| reason.to_string()),
        detail: of.detail.clone(),
    }
}

fn operation(of: &Operation) -> answer::Operation {
    answer::Operation {
        ts: time(of.ts),
        revision: of.revision,
        database: of.database.clone(),
        backend: of.backend.clone(),
        sessions: of.sessions,
        ends: of.ends.clone(),
        by: Author::clone(&of.by),
    }
}

/// A client turned away, as callers receive it.
pub(super) fn reject(reject: &Reject) -> answer::Reject {
    answer::Reject {
        id: reject.id,
        ts: time(reject.ts),
        client: reject.client.to_string(),
        listener: reject.listener.to_string(),
        protocol: reject.protocol.map(str::to_owned),
        reason: reject.reason.to_string(),
        sni: reject.sni.as_deref().map(str::to_owned),
        sni_status: reject.sni_status.map(str::to_owned),
        detail: reject.detail.to_string(),
        remedy: reject.remedy.map(str::to_owned),
    }
}

fn closed(record: &Record) -> ClosedSession {
    ClosedSession {
        ts: time(record.ts),
        id: record.id,
        listener: record.listener.to_string(),
        client: record.client.to_string(),
        protocol: record.protocol.map(str::to_owned),
        tls: record.tls.map(str::to_owned),
        sni: record.sni.as_deref().map(str::to_owned),
        sni_status: record.sni_status.map(str::to_owned),
        alpn: record.alpn.as_deref().map(str::to_owned),
        tls_version: record.tls_version.map(str::to_owned),
        user_cert: record.user_cert.as_deref().map(str::to_owned),
        database: record.database.as_deref().map(str::to_owned),
        backend: record.backend.map(|backend| backend.to_string()),
        handshake_ms: record.handshake_ms,
        connect_ms: record.connect_ms,
        duration_ms: record.duration_ms,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        close: record.close.to_owned(),
        reason: record.reason.to_string(),
    }
}
