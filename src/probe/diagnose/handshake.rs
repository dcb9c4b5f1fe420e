//! Findings about the handshake: from the first byte of the ClientHello to the last plaintext byte.

use super::super::exchange::{Side, StreamEnd};
use super::super::report::Finding;
use super::super::rules::{self, Rule, Severity};
use super::{Diagnoser, Vantage, how_ended};
use crate::preface::sniff::Spoken;
use crate::protocol::Protocol;
use crate::tls::observed::{Message, Observed, ServerHello};
use crate::tls::{Alert, ClientHello, Sni, names};
use crate::wire::Reader;

/// The message that ends the server's first flight of TLS 1.2.
const SERVER_HELLO_DONE: u8 = 14;

impl Diagnoser<'_> {
    pub(super) fn tls(&self, found: &mut Vec<Finding>) {
        let client = &self.dissection.client_tls;
        let Some((hello, _)) = &client.hello else {
            if let Some(fault) = &client.fault {
                if !self.exchange.client.has_start() {
                    return;
                }
                let rule = &rules::HELLO_MALFORMED;
                found.push(Finding::new(rule, fault.what.to_string()));
            } else if self.is_open() {
                self.still_open(found, "the rest of the ClientHello");
            } else if self.is_whole(Side::Client) {
                let known = self.exchange.client.bytes().len();
                let detail = format!("{known} bytes came, then nothing more");
                found.push(Finding::new(&rules::HELLO_INCOMPLETE, detail));
            }
            return;
        };
        if self.client_is_foreign() {
            self.sni(found, hello);
        }
        match self.dissection.alert {
            Some((code, Side::Server)) if self.server_is_foreign() => {
                found.push(self.server_alert(code, hello));
            }
            Some((code, Side::Client)) if self.vantage == Vantage::Capture => {
                found.push(self.client_alert(code));
                self.hidden(found);
            }
            None if self.dissection.established => self.established(found, hello),
            None if self.server_is_foreign() => self.unfinished(found),
            // A probe's own alert only answers what the server did.
            Some((_, Side::Client)) if self.vantage == Vantage::Active => self.unfinished(found),
            Some(_) | None => {}
        }
    }

    fn sni(&self, found: &mut Vec<Finding>, hello: &ClientHello) {
        // Whoever listens asks whether this client can be routed by name; a capture shows servers
        // that may need no name at all.
        let severity = if self.vantage == Vantage::Listen {
            Severity::Warn
        } else {
            Severity::Note
        };
        let finding = match &hello.sni {
            Sni::Name(_) => return,
            Sni::None => Finding::new(&rules::SNI_NONE, "the ClientHello has no server_name"),
            Sni::Ip(sent) => Finding::new(&rules::SNI_IP, format!("it sent {sent}")),
            Sni::Invalid(sent) => Finding::new(&rules::SNI_INVALID, format!("it sent {sent}")),
        };
        found.push(finding.with(severity));
    }

    /// In TLS 1.3 the certificate that the client refused cannot be shown.
    fn hidden(&self, found: &mut Vec<Finding>) {
        let chosen = self.dissection.server_tls.server_hello.as_ref();
        if chosen.is_some_and(|hello| hello.version >= 0x0304) {
            found.push(Finding::new(
                &rules::TLS13_HIDDEN,
                "which certificate the client saw is not known",
            ));
        }
    }

    fn server_alert(&self, code: u8, hello: &ClientHello) -> Finding {
        let server = &self.dissection.server_tls;
        let before_hello = server.server_hello.is_none();
        let named = hello.sni != Sni::None;
        let rule = server_alert_rule(code, named, server.certificate_request);
        let when = if before_hello {
            "right after the ClientHello"
        } else {
            "after its ServerHello"
        };
        let name = self.dissection.alert_name().unwrap_or_default();
        let asked = match &hello.sni {
            _ if rule.code == rules::ALERT_PROTOCOL_VERSION.code => {
                format!("that offered TLS {}", super::versions(hello).join(" and "))
            }
            Sni::Name(name) => format!("for {name}"),
            Sni::None => "that named no server".to_owned(),
            Sni::Ip(sent) | Sni::Invalid(sent) => format!("for {sent}"),
        };
        Finding::new(
            rule,
            format!("alert {code} {name} came {when}, to a client {asked}"),
        )
    }

    fn client_alert(&self, code: u8) -> Finding {
        let rule = match Alert::from_code(code) {
            Some(Alert::UnknownCa) => &rules::CLIENT_UNKNOWN_CA,
            Some(Alert::BadCertificate) => &rules::CLIENT_BAD_CERTIFICATE,
            Some(Alert::CertificateExpired) => &rules::CLIENT_CERTIFICATE_EXPIRED,
            Some(Alert::CertificateUnknown) => &rules::CLIENT_CERTIFICATE_UNKNOWN,
            Some(Alert::UnsupportedCertificate) => &rules::CLIENT_UNSUPPORTED_CERTIFICATE,
            _ => &rules::CLIENT_ALERT,
        };
        let name = self.dissection.alert_name().unwrap_or_default();
        Finding::new(rule, format!("the client sent alert {code} {name}"))
    }

    fn established(&self, found: &mut Vec<Finding>, hello: &ClientHello) {
        let dissection = self.dissection;
        let direct = dissection.requests.is_empty() && self.exchange.client.has_start();
        if self.client_is_foreign()
            && self.hint == Some(Protocol::Postgres)
            && direct
            && hello.alpn.is_empty()
        {
            found.push(Finding::new(
                &rules::CLIENT_DIRECT_WITHOUT_ALPN,
                "the ClientHello offers no ALPN protocol",
            ));
        }
        let server = &dissection.server_tls;
        let last_is_alert = server.encrypted.last.is_some_and(|last| last.likely_alert);
        let only_handshake = dissection.client_tls.encrypted.records <= 2;
        let server_ended = matches!(self.exchange.ended_first(), Some((Side::Server, _)));
        let whole = self.is_whole(Side::Client) && self.is_whole(Side::Server);
        let server_ended = server_ended && whole;
        if self.vantage == Vantage::Capture && last_is_alert && only_handshake && server_ended {
            found.push(Finding::new(
                &rules::SERVER_LIKELY_REFUSED,
                "its last record has the length of an alert",
            ));
        }
    }

    /// A complete hello, no alert, no handshake.
    fn unfinished(&self, found: &mut Vec<Finding>) {
        let dissection = self.dissection;
        let ended = self.exchange.ended_first();
        let (_, server_at) = dissection.tls_at.unwrap_or_default();
        let heard = self.exchange.server.bytes().len().saturating_sub(server_at);
        let Some(chosen) = &dissection.server_tls.server_hello else {
            if let (1.., Some(fault)) = (heard, &dissection.server_tls.fault) {
                if !self.have_starts() {
                    return;
                }
                found.push(if matches!(dissection.server_speaks, Some(Spoken::Tls)) {
                    let detail = format!(
                        "its bytes begin like TLS and break the rules: {}",
                        fault.what
                    );
                    Finding::new(&rules::TLS_INCOMPATIBLE, detail)
                } else {
                    let rule = self.spoken_rule(&rules::TLS_NOT_TLS);
                    Finding::new(rule, self.instead("TLS"))
                });
            } else if self.is_lost(Side::Server) {
            } else if dissection.server_tls.hello_retry || heard > 0 {
                let when = "the server's first message is not complete";
                self.interrupted(found, Side::Server, when);
            } else {
                self.no_server_hello(found, ended);
            }
            return;
        };
        if self.is_lost(Side::Client) || self.is_lost(Side::Server) {
            return;
        }
        let whole = self.is_whole(Side::Client) && self.is_whole(Side::Server);
        if chosen.version < 0x0303 && (whole || self.is_open()) {
            if self.is_open() && self.vantage == Vantage::Capture {
                return self.still_open(found, "the end of the handshake");
            }
            let version = names::version(chosen.version);
            let detail = format!("the server chose TLS {version}");
            return found.push(Finding::new(&rules::TLS_TOO_OLD, detail));
        }
        let likely_alert =
            |tls: &Observed| tls.encrypted.last.is_some_and(|last| last.likely_alert);
        let starts = self.exchange.client.has_start();
        if self.vantage == Vantage::Capture && starts && likely_alert(&dissection.client_tls) {
            let detail = "it came where the client's Finished should be";
            found.push(Finding::new(&rules::CLIENT_LIKELY_REFUSED, detail));
            return self.hidden(found);
        }
        match ended {
            Some(_) if !whole => {}
            Some((Side::Client, end)) if self.is_flight_cut() => {
                let detail = format!(
                    "of the server's part {heard} bytes came, the last ones of something that is \
                     not complete, then the client {}",
                    how_ended(end)
                );
                found.push(Finding::new(&rules::TLS_FLIGHT_CUT, detail));
            }
            Some((Side::Client, end)) if self.client_is_foreign() => {
                let detail = format!(
                    "it {} after the server's part of the handshake",
                    how_ended(end)
                );
                found.push(Finding::new(&rules::CLIENT_LEFT_IN_HANDSHAKE, detail));
                self.hidden(found);
            }
            None if self.is_open() => self.still_open(found, "the end of the handshake"),
            _ => self.interrupted(found, Side::Server, "the ServerHello had come"),
        }
    }

    /// Returns whether the server's part of the handshake stops before its end, as far as that
    /// shows: in the middle of a record, or of what TLS 1.2 says in the clear.
    fn is_flight_cut(&self) -> bool {
        let tls = &self.dissection.server_tls;
        let (_, server_at) = self.dissection.tls_at.unwrap_or_default();
        let heard = self.exchange.server.bytes().len().saturating_sub(server_at);
        let hidden = |chosen: &ServerHello| chosen.version >= 0x0304;
        let said_all = if tls.server_hello.as_ref().is_some_and(hidden) {
            tls.encrypted.records > 0
        } else {
            let done = |message: &Message| message.kind == SERVER_HELLO_DONE;
            tls.change_cipher_spec.is_some() || tls.messages.iter().any(done)
        };
        heard > tls.wire_read || !said_all
    }

    fn no_server_hello(&self, found: &mut Vec<Finding>, ended: Option<(Side, StreamEnd)>) {
        let hello = self.dissection.client_tls.hello.as_ref();
        let size = hello.map_or(0, |(hello, _)| hello.wire_len);
        let (rule, what) = match ended {
            Some(_) if !self.is_whole(Side::Server) => return,
            Some((Side::Server, StreamEnd::Closed)) => (&rules::TLS_CLOSED_AFTER_HELLO, "closed"),
            Some((Side::Server, StreamEnd::Reset)) => (&rules::TLS_RESET_AFTER_HELLO, "reset"),
            None if self.is_open() && self.vantage == Vantage::Capture => {
                return self.still_open(found, "the ServerHello");
            }
            _ if !self.is_whole(Side::Server) => return,
            _ => (&rules::TLS_NO_ANSWER, "not answered"),
        };
        let detail = format!("a ClientHello of {size} bytes was sent, and the connection {what}");
        let detail = detail.replace("connection not answered", "server did not answer");
        found.push(Finding::new(rule, detail));
    }

    /// One of the ends has given up before the `missing` side had said all of its part.
    pub(super) fn interrupted(&self, found: &mut Vec<Finding>, missing: Side, when: &str) {
        let who = match self.exchange.ended_first() {
            Some(_) if !self.is_whole(missing) => return,
            Some((side, end)) => format!("then the {} {}", side.as_str(), how_ended(end)),
            None if self.is_open() && self.vantage == Vantage::Capture => {
                return self.still_open(found, "the end of the handshake");
            }
            None => "then nothing more came".to_owned(),
        };
        let detail = match self.cut() {
            Some(cut) => format!("{when}, {who}; {cut}"),
            None => format!("{when}, {who}"),
        };
        found.push(Finding::new(&rules::TLS_INTERRUPTED, detail));
    }

    /// Position at which the server's bytes stop in the middle of a record.
    fn cut(&self) -> Option<String> {
        let server = &self.exchange.server;
        let (_, start) = self.dissection.tls_at?;
        let bytes = server.bytes();
        if server.total() > bytes.len() as u64 || self.dissection.server_tls.fault.is_some() {
            return None;
        }
        let mut reader = Reader::new(bytes);
        reader
            .skip(start + self.dissection.server_tls.wire_read)
            .ok()?;
        let part = reader.rest().len();
        (part > 0).then(|| {
            let all = bytes.len() - start;
            let record = match reader.skip(3).and_then(|()| reader.u16()) {
                Ok(length) => format!("{part} bytes into a record of {}", 5 + usize::from(length)),
                Err(_) => "in the header of a record".to_owned(),
            };
            format!("the server's bytes stop in the middle: {all} came, the last {record}")
        })
    }
}

/// Rule for an alert of the server: to a client that has sent a name or not, and that it has
/// asked for a certificate or not.
pub(in crate::probe) fn server_alert_rule(code: u8, named: bool, asked: bool) -> &'static Rule {
    match Alert::from_code(code) {
        Some(Alert::UnrecognizedName) if !named => &rules::ALERT_NO_NAME,
        Some(Alert::UnrecognizedName) => &rules::ALERT_UNRECOGNIZED_NAME,
        Some(Alert::CertificateRequired) => &rules::ALERT_CERTIFICATE_REQUIRED,
        Some(Alert::HandshakeFailure) if asked => &rules::ALERT_CERTIFICATE_REQUIRED,
        Some(Alert::HandshakeFailure) => &rules::ALERT_HANDSHAKE_FAILURE,
        Some(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCa,
        ) => &rules::CLIENT_CERT_REFUSED,
        Some(Alert::ProtocolVersion) => &rules::ALERT_PROTOCOL_VERSION,
        Some(Alert::InternalError) => &rules::ALERT_INTERNAL_ERROR,
        Some(Alert::AccessDenied) => &rules::ALERT_ACCESS_DENIED,
        Some(Alert::NoApplicationProtocol) => &rules::ALERT_NO_APPLICATION_PROTOCOL,
        Some(Alert::DecodeError) => &rules::ALERT_DECODE_ERROR,
        Some(Alert::UnexpectedMessage) => &rules::ALERT_UNEXPECTED_MESSAGE,
        _ => &rules::ALERT_OTHER,
    }
}
