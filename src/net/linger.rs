//! Closing so that the last bytes written arrive.
//!
//! A socket that is closed with unread input sends a reset, and a reset makes the peer's kernel
//! throw away what it had not read yet: the very answer that explains the close. So: end our
//! side, read and forget what still comes, for a bounded time.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How long a peer gets to read our last bytes and hang up.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Input that is read and forgotten at most, in bytes; a peer that sends more is not listening.
const MAX_DISCARDED: usize = 256 * 1024;

/// Ends our side of `stream`, waits for the peer to end its own, and drops it.
pub async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let drain = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        // On the heap, since this future is part of every session's and rarely runs.
        let mut forgotten = vec![0; 1024];
        let mut total = 0;
        while let Ok(n @ 1..) = stream.read(&mut forgotten).await {
            total += n;
            if total > MAX_DISCARDED {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(TIMEOUT, drain).await;
}
