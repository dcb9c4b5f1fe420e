//! Ctrl-C as the way to end a command that goes on until then.

use std::io::{self, Write};
use std::process;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

/// Ends the process with exit code 0 at Ctrl-C, after these last bytes to standard output.
///
/// # Errors
/// A thread or a signal handler cannot be had.
pub(crate) fn ends(last: &'static str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut interrupt = {
        let _within = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(interrupt.recv());
            if !last.is_empty() {
                let mut out = io::stdout();
                let _ = out.write_all(last.as_bytes()).and_then(|()| out.flush());
            }
            // A reader that takes nothing may hold the other thread in the middle of a line.
            process::exit(0);
        })?;
    Ok(())
}
