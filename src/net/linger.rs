//! Closing so that the last bytes written arrive.
//!
//! A socket that is closed with unread input sends a reset, and a reset makes the peer's kernel
//! discard bytes that the peer has not read yet: the very answer that explains the close. So end
//! the sending side first, then read and discard input for a bounded time.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Time for the peer to read the last bytes and hang up.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Most input that is discarded, in bytes; a peer that sends more is not reading.
const MAX_DISCARDED: usize = 256 * 1024;

/// Ends the sending side of `stream`, waits for the peer to end its own, and drops the stream.
pub async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let drain = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        // On the heap: this future is part of every session's and rarely runs.
        let mut discarded = vec![0; 1024];
        let mut total = 0;
        while let Ok(n @ 1..) = stream.read(&mut discarded).await {
            total += n;
            if total > MAX_DISCARDED {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(TIMEOUT, drain).await;
}
