//! Answers of a database inside TLS: bounded, whole or none.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::probe::active::handshake::HandshakeFailure;
use crate::wire::{Reader, escape, printable};

/// The most of an answer that is shown, when it is text.
const SHOWN: usize = 60;

/// The same for other bytes.
const SHOWN_BYTES: usize = 16;

/// Reason for a missing answer.
pub(super) enum NoAnswer {
    /// The timeout has expired.
    Silent,
    /// TLS ended first, or at once.
    HandshakeFailure(HandshakeFailure),
}

/// Reads until `done` has seen enough, at most `most` bytes.
pub(super) async fn answer(
    stream: &mut (impl AsyncRead + Unpin),
    most: usize,
    limit: Duration,
    mut done: impl FnMut(&[u8]) -> bool,
) -> Result<Vec<u8>, NoAnswer> {
    let mut all = Vec::new();
    let reading = async {
        let mut piece = [0; 2048];
        while all.len() < most {
            match stream.read(&mut piece).await {
                Ok(n @ 1..) => all.extend_from_slice(piece.get(..n).unwrap_or_default()),
                Ok(0) if all.is_empty() => return Err(HandshakeFailure::Ended),
                Err(error) if all.is_empty() => return Err(HandshakeFailure::of(&error)),
                Ok(0) | Err(_) => return Ok(()),
            }
            if done(&all) {
                return Ok(());
            }
        }
        Ok(())
    };
    match timeout(limit, reading).await {
        Ok(Ok(())) => Ok(all),
        Ok(Err(why)) => Err(NoAnswer::HandshakeFailure(why)),
        // What began to come is an answer, if not a whole one.
        Err(_) if !all.is_empty() => Ok(all),
        Err(_) => Err(NoAnswer::Silent),
    }
}

impl From<io::Error> for NoAnswer {
    fn from(error: io::Error) -> Self {
        Self::HandshakeFailure(HandshakeFailure::of(&error))
    }
}

/// The first line of an answer, where it is text.
pub(in crate::probe::active) fn preview(bytes: &[u8]) -> String {
    let line = bytes.split(|&byte| byte == b'\r' || byte == b'\n').next();
    let line = Reader::new(line.unwrap_or_default()).take_up_to(SHOWN);
    match std::str::from_utf8(line) {
        Ok(text) if !text.is_empty() => printable(text),
        _ => escape(Reader::new(bytes).take_up_to(SHOWN_BYTES)),
    }
}
