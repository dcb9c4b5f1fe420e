//! Writing to the terminal or the pipe behind it, without a panic when nobody reads any more.

use std::io::{self, ErrorKind, Write};

/// Writes to standard output; a reader that has left, such as `head`, has seen enough.
///
/// # Errors
/// The output cannot be written for any other reason.
pub(crate) fn print(text: &str) -> io::Result<()> {
    print_on(text).map(drop)
}

/// Writes to standard output for somebody who goes on reading; false when nobody does any more.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_on(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

/// Writes to standard error; where that fails there is nobody to tell.
pub(crate) fn print_err(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Says what went wrong.
pub(crate) fn complain(message: &str) {
    print_err(&format!("dbgate: {message}\n"));
}
