//! Running the half of a preface that faces a backend.
//!
//! Not here: the time that the backend has for it ([`super::connect`]).

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::end::SessionEnd;
use crate::preface::{AnyInitiator, Initiator, InitiatorError, InitiatorErrorKind, InitiatorStep};
use crate::stats::CloseReason;
use crate::tls::error;

/// Time for the rest of a backend's words whose first bytes have come.
const REST_OF_ERROR: Duration = Duration::from_millis(500);

/// Runs an initiator until TLS starts or the backend takes the client's bytes; gives the backend's
/// bytes that are for the client.
pub(super) async fn initiate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    mut initiator: AnyInitiator,
) -> Result<Bytes, SessionEnd> {
    let lost = |e: io::Error| SessionEnd::new(CloseReason::BackendBadReply, error::words(&e));
    let mut input = Input::default();
    let mut give_up = None;
    let mut ended = false;
    loop {
        let step = if ended {
            initiator.end(input.bytes())
        } else {
            initiator.advance(input.bytes())
        };
        match step {
            Ok(InitiatorStep::StartTls) => return Ok(Bytes::new()),
            Ok(InitiatorStep::Ready(answer)) => return Ok(answer),
            Ok(InitiatorStep::Send { consumed, bytes }) => {
                input.consume(consumed);
                stream.write_all(&bytes).await.map_err(lost)?;
                stream.flush().await.map_err(lost)?;
            }
            Ok(InitiatorStep::NeedMore) if ended => {
                return Err(SessionEnd::new(
                    CloseReason::BackendBadReply,
                    "the backend closed the connection in the middle of its answer",
                ));
            }
            Ok(InitiatorStep::NeedMore) => ended = input.read(stream).await.map_err(lost)? == 0,
            // The rest follows at once, if it does.
            Err(error) if error.partial && !ended => {
                let give_up = *give_up.get_or_insert_with(|| Instant::now() + REST_OF_ERROR);
                let read = timeout_at(give_up, input.read(stream)).await;
                ended = !matches!(read, Ok(Ok(1..)));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The bytes of a backend's answer; short ones, as nearly all are, need no memory of their own.
#[derive(Default)]
struct Input {
    short: [u8; 16],
    len: usize,
    long: BytesMut,
}

impl Input {
    fn bytes(&self) -> &[u8] {
        if self.long.is_empty() {
            self.short.get(..self.len).unwrap_or_default()
        } else {
            &self.long
        }
    }

    fn consume(&mut self, n: usize) {
        if n > 0 {
            let rest = self.bytes().get(n..).unwrap_or_default();
            self.long = BytesMut::from(rest);
            self.len = 0;
        }
    }

    async fn read<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<usize> {
        if self.len == 0 && self.long.is_empty() {
            self.len = stream.read(&mut self.short).await?;
            return Ok(self.len);
        }
        if self.long.is_empty() {
            self.long = BytesMut::from(self.bytes());
        }
        stream.read_buf(&mut self.long).await
    }
}

impl From<InitiatorError> for SessionEnd {
    fn from(error: InitiatorError) -> Self {
        let reason = match error.kind {
            InitiatorErrorKind::NoTls => CloseReason::BackendNoTls,
            InitiatorErrorKind::Closed => CloseReason::BackendClosedEarly,
            InitiatorErrorKind::BadReply => CloseReason::BackendBadReply,
        };
        let end = Self::new(reason, error.message);
        match error.said {
            Some(said) => end.with_said(said),
            None => end,
        }
    }
}
