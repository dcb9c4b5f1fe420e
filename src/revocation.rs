//! Revocation lists of client certificates, read again by themselves when their files change.
//!
//! Sessions that run go on: a list is for those who come.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};

use crate::gateway::Gateway;

/// The time between two looks at the files; a list is in force this much later at most.
const PAUSE: Duration = Duration::from_secs(5);

/// Starts to look, on a thread of its own, since a disk may be slow; it ends with the gateway.
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
    loop {
        thread::sleep(PAUSE);
        let Some(gateway) = gateway.upgrade() else {
            return;
        };
        look(&gateway);
    }
}

fn look(gateway: &Gateway) {
    for verifier in gateway.store.client_verifiers() {
        let Some(path) = verifier.crl() else {
            continue;
        };
        let file = path.display();
        match verifier.reread_if_changed() {
            Ok(false) => {}
            Ok(true) => info!(%file, "client_crl: read again, in force for new clients"),
            Err(error) => {
                warn!(%file, %error, "client_crl cannot be read again: what it held before stays in force");
            }
        }
    }
}
