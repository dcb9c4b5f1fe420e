//! The error packet (`ERR_Packet`), with which a server refuses at any time.

use super::{MysqlError, SECURE_TRANSPORT_REQUIRED, packet::encode};
use crate::preface::{Refusal, RefusalKind};
use crate::wire::{Reader, Short};

/// The first byte of an error's payload.
pub(super) const MARK: u8 = 0xff;

/// The most bytes kept of a message; servers send at most 512.
const MAX_MESSAGE: usize = 512;

/// A refusal as an error packet; code and SQLSTATE are those of a server that refuses for the same
/// reason (MySQL documentation, "Server Error Message Reference").
pub(super) fn refusal(refusal: &Refusal<'_>) -> ErrPacket {
    let (code, sqlstate) = match refusal.kind {
        RefusalKind::NeedsTls => (SECURE_TRANSPORT_REQUIRED, b"HY000"),
        RefusalKind::Denied => (1045, b"28000"),
        RefusalKind::Busy => (1040, b"08004"),
        RefusalKind::Ended => (1053, b"08S01"),
        RefusalKind::NoName
        | RefusalKind::Rejected
        | RefusalKind::WrongProtocol
        | RefusalKind::Unavailable
        | RefusalKind::Unanswered => (1105, b"HY000"),
    };
    ErrPacket {
        code,
        sqlstate: Some(*sqlstate),
        message: refusal.message.clone().into_bytes(),
    }
}

/// A server's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrPacket {
    /// The server's error code, such as 1040.
    pub code: u16,
    /// The SQLSTATE; servers leave it out as long as they know nothing of the client.
    pub sqlstate: Option<[u8; 5]>,
    /// The message, at most 512 bytes; any bytes, not safe to print.
    pub message: Vec<u8>,
}

impl ErrPacket {
    /// Reads the payload of an error.
    ///
    /// # Errors
    /// [`MysqlError::NotError`] for another first byte, [`MysqlError::Truncated`] for a payload
    /// that has not even a code.
    pub fn parse(payload: &[u8]) -> Result<Self, MysqlError> {
        let truncated = |_: Short| MysqlError::Truncated("error");
        let mut reader = Reader::new(payload);
        match reader.u8().map_err(truncated)? {
            MARK => {}
            other => return Err(MysqlError::NotError(other)),
        }
        let code = reader.u16_le().map_err(truncated)?;
        let mut marked = reader;
        let sqlstate = match (marked.u8(), marked.take(5)) {
            (Ok(b'#'), Ok(state)) => state.try_into().ok(),
            _ => None,
        };
        let mut message = if sqlstate.is_some() { marked } else { reader };
        Ok(Self {
            code,
            sqlstate,
            message: message.take_up_to(MAX_MESSAGE).to_vec(),
        })
    }

    /// The whole packet with this number: one more than that of the packet which it answers.
    #[must_use]
    pub fn encode(&self, seq: u8) -> Vec<u8> {
        let mut payload = vec![MARK];
        payload.extend(self.code.to_le_bytes());
        if let Some(state) = &self.sqlstate {
            payload.push(b'#');
            payload.extend(state);
        }
        payload.extend(self.message.iter().take(MAX_MESSAGE));
        encode(seq, &payload)
    }
}
