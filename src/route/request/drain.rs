//! `drain` and `resume`: a database or one of its backends takes no new sessions, and takes them
//! again.

use super::{ChangeError, Changed, DrainRequest, no_database};
use crate::route::admin::Drain;
use crate::route::runtime::RuntimeChanges;
use crate::route::{Database, Snapshot};
use crate::upstream::BackendAddr;

/// Begins or ends a drain; `runtime` is in force in `now`.
///
/// # Errors
/// An unknown database or backend.
pub(in crate::route) fn drain(
    now: &Snapshot,
    runtime: &RuntimeChanges,
    request: &DrainRequest,
    changed: &mut Changed,
) -> Result<(), ChangeError> {
    let DrainRequest {
        name,
        backend,
        drain,
    } = request;
    let entry = runtime.get(name);
    let before = entry.and_then(|entry| entry.admin.as_ref());
    let of = backend.as_ref().map(ToString::to_string);
    let of = of.as_deref();
    let before = before.and_then(|admin| admin.drain(of));
    // What is drained can be taken back, even where it is not declared any more.
    if before.is_none() || drain.is_some() {
        let database = now.databases.get(name.as_str());
        let database = database.ok_or_else(|| no_database(name, None))?;
        if let Some(backend) = backend {
            has(database, backend)?;
        }
    }
    let mut entry = entry.cloned().unwrap_or_default();
    let drain = match (before, drain) {
        (Some(before), Some(drain)) if is_same(before, drain) => Some(before.clone()),
        (_, drain) => drain.clone(),
    };
    entry.order(|admin| admin.set_drain(of, drain));
    changed.insert(name.clone(), entry);
    Ok(())
}

/// True if a drain in force says what this one does. One that ends by a time of its own never does.
fn is_same(before: &Drain, drain: &Drain) -> bool {
    let ends = before.ends_ms.is_some() || drain.ends_ms.is_some();
    !ends && (drain.by.reason.is_none() || drain.by.reason == before.by.reason)
}

fn has(database: &Database, backend: &BackendAddr) -> Result<(), ChangeError> {
    let all = &database.spec.backends;
    if all.contains(backend) {
        return Ok(());
    }
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    Err(ChangeError::NotFound(format!(
        "database {} has no backend {backend}; it has {}",
        database.name,
        all.join(", ")
    )))
}
