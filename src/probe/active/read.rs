//! Bounded reads: an answer never takes more bytes or time than it is given.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Time for the rest of an answer that has begun.
pub(super) const REST: Duration = Duration::from_millis(500);

/// Reads until the other end stops, `most` bytes are there, or `limit` is over.
pub(super) async fn read_for(
    stream: &mut (impl AsyncRead + Unpin),
    most: usize,
    limit: Duration,
) -> Vec<u8> {
    read_until(stream, most, limit, |_| false).await
}

/// The same, or until what is there is `enough`.
pub(super) async fn read_until(
    stream: &mut (impl AsyncRead + Unpin),
    most: usize,
    limit: Duration,
    enough: impl Fn(&[u8]) -> bool,
) -> Vec<u8> {
    let mut all = Vec::new();
    let reading = async {
        let mut piece = [0; 1024];
        while all.len() < most && !enough(&all) {
            match stream.read(&mut piece).await {
                Ok(n @ 1..) => all.extend_from_slice(piece.get(..n).unwrap_or_default()),
                Ok(0) | Err(_) => return,
            }
        }
    };
    // What came before the time was over counts.
    let _ = timeout(limit, reading).await;
    all
}
