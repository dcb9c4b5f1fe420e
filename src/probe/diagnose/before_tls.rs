//! Findings about what was said, or not said, before TLS.
//!
//! Not here: anything behind the first byte of a ClientHello ([`super::handshake`]).

use super::super::dissection::{Opening, Request};
use super::super::exchange::{Connect, Side, StreamEnd};
use super::super::report::Finding;
use super::super::rules::{self, Severity};
use super::{Diagnoser, Vantage, how_ended};
use crate::protocol::Protocol;

impl Diagnoser<'_> {
    /// The client has said nothing but requests for TLS, if that.
    pub(super) fn nothing(&self, found: &mut Vec<Finding>) {
        let dissection = self.dissection;
        if let Some((code, message)) = &dissection.mysql_error {
            return found.push(mysql_error(*code, message));
        }
        if self.is_lost(Side::Client) {
            return;
        }
        if let Some(request) = dissection.requests.last() {
            return self.after_request(found, *request);
        }
        if dissection.mysql_ssl_request {
            let when = "the client asked for TLS and sent no ClientHello";
            return self.interrupted(found, Side::Client, when);
        }
        if !matches!(
            self.exchange.connect,
            Connect::Accepted(_) | Connect::Unseen
        ) {
            return;
        }
        if let Some((_, false)) = dissection.greeting
            && self.server_is_foreign()
        {
            return found.push(Finding::new(&rules::MYSQL_NO_TLS, self.greeted()));
        }
        if self.hint.is_some_and(Protocol::server_first)
            && dissection.greeting.is_none()
            && self.server_is_foreign()
        {
            return self.no_greeting(found);
        }
        if self.is_open() {
            return self.still_open(found, "the client's first word");
        }
        if !self.is_whole(Side::Client) {
            return;
        }
        if self.client_is_foreign() {
            let ended = match self.exchange.ended_first() {
                Some((Side::Server, StreamEnd::Reset)) => {
                    return found.push(Finding::new(
                        &rules::TCP_RESET,
                        "the server reset the connection before the client had said anything",
                    ));
                }
                Some((Side::Server, StreamEnd::Closed)) => "the server hung up first",
                _ => "the client hung up",
            };
            found.push(Finding::new(&rules::CLIENT_SAID_NOTHING, ended));
        } else if let Some((Side::Server, StreamEnd::Reset)) = self.exchange.ended_first() {
            found.push(Finding::new(
                &rules::TCP_RESET,
                "it came right after the connection stood",
            ));
        }
    }

    fn no_greeting(&self, found: &mut Vec<Finding>) {
        if !self.dissection.server_bytes.is_empty() {
            if !self.have_starts() {
                return;
            }
            let rule = self.spoken_rule(&rules::MYSQL_DAMAGED);
            return found.push(Finding::new(rule, self.instead("a greeting")));
        }
        if !self.is_whole(Side::Server) {
            if self.is_open() {
                self.still_open(found, "the server's greeting");
            }
            return;
        }
        let finding = match self.exchange.ended_first() {
            Some((Side::Server, _)) => Finding::new(
                &rules::MYSQL_CLOSED,
                "the connection stood, and the server ended it",
            ),
            _ => Finding::new(
                &rules::MYSQL_NO_GREETING,
                "the connection stood, and nothing came",
            ),
        };
        found.push(finding);
    }

    fn greeted(&self) -> String {
        let version = self
            .dissection
            .greeting
            .as_ref()
            .map(|(version, _)| version);
        format!(
            "the greeting of version {} lacks CLIENT_SSL",
            version.map_or("unknown", String::as_str)
        )
    }

    /// After an `SSLRequest` or `GSSENCRequest` and its answer nothing came from the client.
    fn after_request(&self, found: &mut Vec<Finding>, request: Request) {
        let ended = self.exchange.ended_first();
        if request.answer.is_some() && !self.have_starts() {
            return;
        }
        match request.answer {
            None if self.is_lost(Side::Server) || !self.server_is_foreign() => {}
            None if self.dissection.server_speaks.is_some() => {
                let rule = self.spoken_rule(&rules::PG_UNEXPECTED_ANSWER);
                found.push(Finding::new(rule, self.instead("S or N")));
            }
            None if !self.is_open() && !self.is_whole(Side::Server) => {}
            None => match ended {
                Some((Side::Server, end)) => {
                    let how = how_ended(end);
                    let detail = format!("it {how} after the 8 bytes of the SSLRequest");
                    found.push(Finding::new(&rules::PG_CLOSED_AFTER_REQUEST, detail));
                }
                None if self.is_open() && self.vantage == Vantage::Capture => {
                    self.still_open(found, "the answer to the SSLRequest");
                }
                _ => found.push(Finding::new(
                    &rules::PG_NO_ANSWER,
                    "the SSLRequest was sent, and no byte came back",
                )),
            },
            Some(b'S') => match ended {
                None if self.is_open() => self.still_open(found, "the ClientHello"),
                _ if !self.is_whole(Side::Client) => {}
                Some((Side::Server, end)) if self.server_is_foreign() => {
                    let detail = format!("the server {} after its S", how_ended(end));
                    found.push(Finding::new(&rules::TLS_INTERRUPTED, detail));
                }
                _ if self.client_is_foreign() => found.push(Finding::new(
                    &rules::CLIENT_LEFT_AFTER_S,
                    "no ClientHello followed the S",
                )),
                _ => {}
            },
            // A refusal of GSSAPI is followed by a request for TLS, as a rule.
            Some(b'N') if !request.tls && self.is_open() => {
                self.still_open(found, "the client's next request");
            }
            Some(b'N') if !request.tls && !self.is_whole(Side::Client) => {}
            Some(b'N') => {
                if self.server_is_foreign() {
                    found.push(Finding::new(
                        &rules::PG_TLS_REFUSED,
                        "SSLRequest was answered by N",
                    ));
                }
                if self.client_is_foreign() && ended.is_some() && self.is_whole(Side::Client) {
                    let finding =
                        Finding::new(&rules::CLIENT_LEFT_AFTER_N, "it hung up after the N");
                    found.push(finding.with(Severity::Note));
                }
            }
            Some(b'E') if self.server_is_foreign() => {
                let said = self.dissection.server_error.clone();
                let detail = said.unwrap_or_else(|| "the message is not all there".to_owned());
                found.push(Finding::new(&rules::PG_ERROR_ANSWER, detail));
            }
            Some(_) if self.server_is_foreign() => {
                let rule = self.spoken_rule(&rules::PG_UNEXPECTED_ANSWER);
                found.push(Finding::new(rule, self.instead("S or N")));
            }
            Some(_) => {}
        }
    }

    pub(super) fn incomplete(&self, found: &mut Vec<Finding>) {
        if self.is_lost(Side::Client) {
            return;
        }
        if self.is_open() {
            return self.still_open(found, "the rest of the client's first message");
        }
        if !self.is_whole(Side::Client) {
            return;
        }
        if self.client_is_foreign() {
            found.push(Finding::new(
                &rules::CLIENT_DAMAGED,
                "the first message stops in the middle",
            ));
        }
    }

    /// The client goes on without TLS.
    pub(super) fn plaintext(&self, found: &mut Vec<Finding>) {
        let dissection = self.dissection;
        if let Some((_, false)) = dissection.greeting
            && self.server_is_foreign()
        {
            found.push(Finding::new(&rules::MYSQL_NO_TLS, self.greeted()).with(Severity::Warn));
        }
        if !self.client_is_foreign() {
            return;
        }
        if let Some(error) = &dissection.server_error
            && self.server_is_foreign()
        {
            found.push(Finding::new(
                &rules::SERVER_REFUSED_PLAINTEXT,
                error.clone(),
            ));
        }
        let refused = dissection.ssl_answer() == Some(b'N') && self.have_starts();
        // A client that has asked goes on in plaintext only when it was refused, seen or not.
        let finding = if refused || (dissection.starttls() && !self.has_opening(Side::Server)) {
            if refused && self.server_is_foreign() {
                let detail = "SSLRequest was answered by N";
                found.push(Finding::new(&rules::PG_TLS_REFUSED, detail).with(Severity::Warn));
            }
            Finding::new(
                &rules::CLIENT_PLAINTEXT_AFTER_N,
                "it sent its StartupMessage in the clear",
            )
        } else {
            let what = match &dissection.opening {
                Opening::Startup => "a StartupMessage".to_owned(),
                Opening::Other(spoken) => spoken.to_string(),
                _ => "its login".to_owned(),
            };
            Finding::new(
                &rules::CLIENT_PLAINTEXT,
                format!("it began with {what} in the clear"),
            )
        };
        found.push(finding);
    }
}

fn mysql_error(code: u16, message: &str) -> Finding {
    let rule = match code {
        1040 => &rules::MYSQL_TOO_MANY,
        1129 => &rules::MYSQL_HOST_BLOCKED,
        1130 => &rules::MYSQL_HOST_NOT_ALLOWED,
        _ => &rules::MYSQL_ERROR,
    };
    Finding::new(rule, format!("error {code}: {message}"))
}
