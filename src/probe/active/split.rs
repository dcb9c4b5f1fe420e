//! The `ClientHello` cut into pieces on its way out; everything after it passes as it is.
//!
//! TLS lets a hello span records (RFC 8446 section 5.1) and TCP knows no messages at all, so a
//! server has to put the pieces together.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::options::Split;
use crate::wire::Reader;

/// A stream whose first write, the hello, leaves in pieces.
#[derive(Debug)]
pub(super) struct SplitStream<S> {
    inner: S,
    split: Option<Split>,
    /// The pieces of the write that is under way, and how many bytes it was.
    under_way: Option<(VecDeque<Bytes>, usize)>,
}

impl<S> SplitStream<S> {
    /// Cuts the first write to `inner`; without a split it is `inner` in all respects.
    ///
    /// `inner` has to send each write at once (`TCP_NODELAY`).
    pub(super) fn new(inner: S, split: Option<Split>) -> Self {
        Self {
            inner,
            split,
            under_way: None,
        }
    }
}

/// The pieces of a hello, each to be written by itself.
fn pieces(hello: &[u8], split: Split) -> VecDeque<Bytes> {
    match split {
        Split::Bytes(n) => hello.chunks(n).map(Bytes::copy_from_slice).collect(),
        Split::Records(n) => {
            let mut reader = Reader::new(hello);
            // Type and version stay; each record has a length of its own.
            let (Ok(start), Ok(())) = (reader.take(3), reader.skip(2)) else {
                return VecDeque::from([Bytes::copy_from_slice(hello)]);
            };
            let record = |payload: &[u8]| {
                let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
                let mut record = start.to_vec();
                record.extend(length.to_be_bytes());
                record.extend(payload);
                record
            };
            // One write: it is the records that are awkward here, not the segments.
            let all: Vec<u8> = reader.rest().chunks(n).flat_map(record).collect();
            VecDeque::from([Bytes::from(all)])
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SplitStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SplitStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(split) = this.split.take() {
            this.under_way = Some((pieces(buf, split), buf.len()));
        }
        let Some((left, length)) = &mut this.under_way else {
            return Pin::new(&mut this.inner).poll_write(cx, buf);
        };
        // By the contract of a write that is pending, `buf` is the same each time.
        while let Some(piece) = left.front_mut() {
            let n = ready!(Pin::new(&mut this.inner).poll_write(cx, piece))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            piece.advance(n.min(piece.len()));
            if piece.is_empty() {
                left.pop_front();
            }
        }
        let length = *length;
        this.under_way = None;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::probe::exchange::Side;
    use crate::probe::tap::{Recording, Tap};

    /// The bytes that leave, and their pieces, when a record of ten bytes and then more is written
    /// through a pipe that holds three.
    async fn sent(split: Option<Split>) -> (Vec<u8>, usize) {
        let (near, mut far) = duplex(3);
        let recording = Recording::start();
        let tap = Tap::new(near, recording.clone(), Side::Client);
        let mut cut = SplitStream::new(tap, split);
        let writing = async move {
            cut.write_all(b"\x16\x03\x01\x00\x05hello").await.unwrap();
            cut.write_all(b"more").await.unwrap();
        };
        let mut all = Vec::new();
        let ((), read) = tokio::join!(writing, far.read_to_end(&mut all));
        read.unwrap();
        let pieces = recording.exchange().client.pieces().len();
        (all, pieces)
    }

    #[tokio::test]
    async fn only_the_first_write_is_cut() {
        let plain = b"\x16\x03\x01\x00\x05hellomore".to_vec();
        assert_eq!(sent(None).await.0, plain);
        assert_eq!(sent(Some(Split::Bytes(100))).await.0, plain);
        let (bytes, pieces) = sent(Some(Split::Bytes(1))).await;
        assert_eq!(bytes, plain);
        // Ten of one byte, and `more` in two.
        assert_eq!(pieces, 12);
    }

    #[tokio::test]
    async fn records_get_headers_of_their_own() {
        let (bytes, _) = sent(Some(Split::Records(2))).await;
        assert_eq!(
            bytes,
            b"\x16\x03\x01\x00\x02he\x16\x03\x01\x00\x02ll\x16\x03\x01\x00\x01omore"
        );
    }
}
