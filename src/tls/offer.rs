//! The offer of a `ClientHello` beyond what a gateway routes by: for fingerprints and reports.
//!
//! There is one walk over a hello, the one of [`super::hello`]; it hands each field in here when
//! somebody asks. What is read here decides nothing, so nothing here is an error: of a list that
//! is cut or malformed, the entries before the fault count.
//! Source: RFC 8446 sections 4.1.2 and 4.2; RFC 5077 section 3.2 (`SessionTicket`); RFC 8701
//! (GREASE); RFC 9849 section 5 (`encrypted_client_hello`).

use super::hello::{ClientHello, HelloError, HelloParser, is_grease};
use crate::wire::Reader;

/// The most entries kept of each list; real clients offer some dozens.
pub const MAX_LISTED: usize = 512;

const SUPPORTED_GROUPS: u16 = 0x000a;
const SIGNATURE_ALGORITHMS: u16 = 0x000d;
const SESSION_TICKET: u16 = 0x0023;
const PRE_SHARED_KEY: u16 = 0x0029;
const EARLY_DATA: u16 = 0x002a;
const KEY_SHARE: u16 = 0x0033;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// The lists of a hello in the client's order, without GREASE, each of at most [`MAX_LISTED`]
/// entries, and what the presence of some extensions says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent marks of a hello, none of which excludes another"
)]
pub struct Offer {
    /// The cipher suites.
    pub suites: Vec<u16>,
    /// The numbers of the extensions.
    pub extensions: Vec<u16>,
    /// `supported_groups`.
    pub groups: Vec<u16>,
    /// The groups for which `key_share` holds a key: what TLS 1.3 can begin with at once.
    pub key_shares: Vec<u16>,
    /// `signature_algorithms`.
    pub signature_algorithms: Vec<u16>,
    /// True if the client wants to resume an earlier session.
    ///
    /// By `pre_shared_key`, by a ticket, or by a session id where that still means something:
    /// clients of TLS 1.3 always send one, for the sake of middleboxes.
    pub resumes: bool,
    /// `early_data`: application data follows the hello before any answer.
    pub early_data: bool,
    /// `encrypted_client_hello`: the name in this hello may not be the one that is meant.
    pub ech: bool,
    /// True if GREASE was among the suites, extensions, groups, shares or signature algorithms.
    pub grease: bool,
}

impl Offer {
    pub(super) fn read_suites(&mut self, suites: Reader<'_>) {
        self.grease |= read_list(suites, &mut self.suites);
    }

    pub(super) fn read_extension(&mut self, extension: u16, mut body: Reader<'_>) {
        self.grease |= push(extension, &mut self.extensions);
        match extension {
            SUPPORTED_GROUPS => {
                if let Ok(list) = body.vec_u16() {
                    self.grease |= read_list(list, &mut self.groups);
                }
            }
            SIGNATURE_ALGORITHMS => {
                if let Ok(list) = body.vec_u16() {
                    self.grease |= read_list(list, &mut self.signature_algorithms);
                }
            }
            KEY_SHARE => {
                if let Ok(mut list) = body.vec_u16() {
                    while let (Ok(group), Ok(_key)) = (list.u16(), list.vec_u16()) {
                        self.grease |= push(group, &mut self.key_shares);
                    }
                }
            }
            // An empty ticket only asks for one.
            SESSION_TICKET => self.resumes |= !body.is_empty(),
            PRE_SHARED_KEY => self.resumes = true,
            EARLY_DATA => self.early_data = true,
            ENCRYPTED_CLIENT_HELLO => self.ech = true,
            _ => {}
        }
    }

    pub(super) fn judge_session_id(&mut self, session_id: Reader<'_>, newest_version: u16) {
        self.resumes |= !session_id.is_empty() && newest_version < 0x0304;
    }
}

/// Appends all values of two bytes but GREASE; whether there was any.
fn read_list(mut list: Reader<'_>, to: &mut Vec<u16>) -> bool {
    let mut grease = false;
    while let Ok(value) = list.u16() {
        grease |= push(value, to);
    }
    grease
}

/// Appends a value unless it is GREASE; whether it was.
fn push(value: u16, to: &mut Vec<u16>) -> bool {
    let grease = is_grease(value);
    if !grease && to.len() < MAX_LISTED {
        to.push(value);
    }
    grease
}

/// Reads hello and offer from the start of a TLS stream: the input of [`HelloParser::advance`].
///
/// `None` means that more bytes are needed.
///
/// # Errors
/// [`HelloError`] for exactly the inputs for which the parser has one, and the same.
pub fn read(input: &[u8]) -> Result<Option<(ClientHello, Offer)>, HelloError> {
    let mut offer = Offer::default();
    let hello = HelloParser::default().walk(input, Some(&mut offer))?;
    Ok(hello.map(|hello| (hello, offer)))
}

#[cfg(test)]
mod tests;
