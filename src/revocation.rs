//! Revocation lists of client certificates, read again when their files change.
//!
//! Sessions that run go on: a list is for new clients.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};

use crate::gateway::Gateway;
use crate::tls::client::ClientVerifier;
use crate::tls::files::Files;
use crate::tls::material::{MAX_CRL, MaterialError, MaterialOrigin, ReadMaterial};

/// The time between two looks at the files; a list is in force this much later at most.
const PAUSE: Duration = Duration::from_secs(5);

/// Starts to watch, on a thread of its own, since a disk may be slow; it ends with the gateway.
///
/// # Errors
/// The thread cannot be started.
pub fn watch(gateway: &Arc<Gateway>) -> io::Result<()> {
    let gateway = Arc::downgrade(gateway);
    thread::Builder::new()
        .name("revocation".to_owned())
        .spawn(move || run(&gateway))?;
    Ok(())
}

fn run(gateway: &Weak<Gateway>) {
    let mut seen = HashMap::new();
    loop {
        thread::sleep(PAUSE);
        let Some(gateway) = gateway.upgrade() else {
            return;
        };
        look(&gateway, &mut seen);
    }
}

/// The last look at a file.
#[derive(Default)]
struct Seen {
    stamp: Option<Stamp>,
    /// The error that was logged.
    fault: Option<String>,
}

/// The identity of a file and of its content, links followed: device, inode, size, and the times
/// of the last changes of content and inode in nanoseconds.
type Stamp = (u64, u64, u64, [i64; 4]);

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    let times = [
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    ];
    Some((file.dev(), file.ino(), file.size(), times))
}

fn look(gateway: &Gateway, seen: &mut HashMap<MaterialOrigin, Seen>) {
    let mut all: HashMap<MaterialOrigin, Vec<Arc<ClientVerifier>>> = HashMap::new();
    for verifier in gateway.store.client_verifiers() {
        if let Some(origin) = verifier.crl() {
            all.entry(origin.clone()).or_default().push(verifier);
        }
    }
    seen.retain(|origin, _| all.contains_key(origin));
    for (origin, verifiers) in all {
        let seen = seen.entry(origin.clone()).or_default();
        // Before the content: a change in between is seen at the next look.
        let now = origin.path().and_then(stamp);
        if now.is_some() && now == seen.stamp {
            continue;
        }
        seen.stamp = now;
        let replaced = replace(&origin, &verifiers);
        let error = replaced.as_ref().err().map(ToString::to_string);
        let before = std::mem::replace(&mut seen.fault, error.clone());
        match (replaced, error) {
            (_, Some(error)) if before.as_ref() != Some(&error) => {
                warn!(file = %origin, %error, "client_crl cannot be read again: what it held before stays in force");
            }
            (Ok(changed), _) if changed || before.is_some() => {
                info!(file = %origin, "client_crl: read again, in force for new clients");
            }
            _ => {}
        }
    }
}

/// Reads revocation lists, and puts them in force; whether any of the verifiers had others.
fn replace(
    origin: &MaterialOrigin,
    verifiers: &[Arc<ClientVerifier>],
) -> Result<bool, MaterialError> {
    let lists = Files.material(origin, MAX_CRL)?;
    let mut changed = false;
    for verifier in verifiers {
        changed |= verifier.replace(&lists)?;
    }
    Ok(changed)
}
