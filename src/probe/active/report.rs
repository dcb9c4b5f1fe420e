//! Report on one connection: its diagnosis, and what only this end of it knows.

use super::attempt::Attempt;
use super::handshake::HandshakeFailure;
use super::plan::Plan;
use crate::probe::diagnose::{self, Vantage};
use crate::probe::dissection;
use crate::probe::report::{Finding, Report};
use crate::probe::rules::{self, Rule, Severity};
use crate::wire::escape;

/// Diagnoses a connection, and adds what only this end of it knows.
pub(super) fn report(attempt: &Attempt, plan: &Plan) -> Report {
    let mut report = diagnose::report(&attempt.exchange, plan.protocol, Vantage::Active);
    for (name, took) in &attempt.phases {
        report.phase(name, *took);
    }
    report.told.clone_from(&attempt.told);
    if let Some(negotiated) = &attempt.negotiated {
        report.established = true;
        report.tls_version = Some(negotiated.version.clone());
        report.cipher = Some(negotiated.cipher.clone());
        report.group.clone_from(&negotiated.group);
        report.alpn_agreed = negotiated.alpn.as_deref().map(escape);
    }
    if let Some(why) = &attempt.certs.wrong_key {
        report.established = false;
        report.find(Finding::new(&rules::TLS_OTHER_KEY, why.clone()));
    }
    match &attempt.failed {
        Some(HandshakeFailure::Alert(alert)) => {
            refused(&mut report, attempt, plan, u8::from(*alert));
        }
        Some(HandshakeFailure::Unacceptable(words)) => {
            // The recording alone shows that this end closed for no reason.
            let interrupted = &rules::TLS_INTERRUPTED;
            let left = |finding: &Finding| std::ptr::eq(finding.rule, interrupted);
            report.findings.retain(|finding| !left(finding));
            if report.findings.is_empty() {
                let detail = format!("the handshake was ended here: {words}");
                report.find(Finding::new(&rules::TLS_INCOMPATIBLE, detail));
            }
        }
        Some(HandshakeFailure::Ended)
            if attempt.negotiated.is_none() && has_answered_request(attempt, plan) =>
        {
            // A server of TLS 1.2 that misses a certificate may be gone before all that follows is
            // sent, and a connection that breaks takes its alert along.
            let (rule, asked) = client_cert_rule(attempt, plan);
            report.findings.retain(|old| old.severity != Severity::Fail);
            report.find(Finding::new(rule, format!("{asked}, and it hung up")));
        }
        _ => {}
    }
    for finding in &attempt.findings {
        report.find(finding.clone());
    }
    report
}

/// Returns whether the server has the answer to its request for a certificate, which TLS 1.2 shows:
/// one that closed before did so for another reason.
fn has_answered_request(attempt: &Attempt, plan: &Plan) -> bool {
    /// `certificate` (RFC 5246 section 7.4).
    const CERTIFICATE: u8 = 11;
    let dissection = dissection::dissect(&attempt.exchange, plan.protocol);
    let mut sent = dissection.client_tls.messages.iter();
    attempt.certs.requested && sent.any(|message| message.kind == CERTIFICATE)
}

/// The rule for a server that ends because of the certificate it asked for, and what it got.
pub(super) fn client_cert_rule(attempt: &Attempt, plan: &Plan) -> (&'static Rule, &'static str) {
    if attempt.certs.presented {
        let asked = "it asked for a certificate, was shown one";
        return (&rules::CLIENT_CERT_REFUSED, asked);
    }
    let asked = match plan.offer.identity {
        Some(_) => {
            "it asked for a certificate, the key of the one at hand fits none of the signature \
             algorithms that it takes, so none was shown"
        }
        None => "it asked for a certificate, none was shown",
    };
    (&rules::ALERT_CERTIFICATE_REQUIRED, asked)
}

/// The server ended TLS by an alert, which may have been encrypted.
fn refused(report: &mut Report, attempt: &Attempt, plan: &Plan, code: u8) {
    let name = dissection::alert_name(code);
    let mut rule =
        diagnose::server_alert_rule(code, plan.offer.sni.is_some(), attempt.certs.requested);
    let about_certificate = [
        &rules::ALERT_CERTIFICATE_REQUIRED,
        &rules::CLIENT_CERT_REFUSED,
    ];
    let when = if attempt.negotiated.is_some() {
        "once TLS was up"
    } else {
        "in the handshake"
    };
    let mut detail = format!("alert {code} {name} came {when}");
    if about_certificate
        .iter()
        .any(|other| std::ptr::eq(*other, rule))
        && attempt.certs.requested
    {
        // Servers do not agree on which alert is for which of the two; this end knows.
        let (fitting, asked) = client_cert_rule(attempt, plan);
        (rule, detail) = (fitting, format!("{asked}, and {detail}"));
    } else if report.alert.is_some() && attempt.negotiated.is_none() {
        // It came in plaintext, and was diagnosed with the rest of the recording.
        return;
    }
    report.findings.retain(|old| old.severity != Severity::Fail);
    report.find(Finding::new(rule, detail));
    report.alert = Some(name);
    report.alert_by = Some("server");
    report.established = false;
}
