//! Looks whose hello offers something else than the first: less, more, or in another form.

use super::context::{FollowUp, Other, gist, names};
use crate::probe::active::attempt::Attempt;
use crate::probe::active::full_hello;
use crate::probe::active::options::OnlyVersion;
use crate::probe::active::setup::PROVIDER;
use crate::probe::active::{connection, reach};
use crate::probe::exchange::KEPT;
use crate::probe::{Finding, Rule, rules};
use crate::tls::Alert;
use crate::tls::observed::{End, observe};

/// A hello beyond this needs a second packet on most paths.
const ONE_PACKET: usize = 1400;

impl FollowUp<'_> {
    pub(super) async fn unsplit(&mut self) -> bool {
        let Some(split) = self.plan.offer.split else {
            return false;
        };
        let other = self
            .other("the ClientHello in one piece", |plan| {
                plan.offer.split = None;
            })
            .await;
        let works = other.is_some_and(|other| other.report.established);
        if works {
            let detail = format!("in {split} the ClientHello fails, in one piece it does not");
            self.conclude(&rules::HELLO_SPLIT_REFUSED, &detail);
        }
        works
    }

    pub(super) async fn both_versions(&mut self) {
        let both = self.other("TLS 1.2 and 1.3 on offer", |plan| plan.offer.only = None);
        let Some(both) = both.await.filter(|other| other.report.established) else {
            return;
        };
        let version = both.report.tls_version.unwrap_or_default();
        let detail = format!("with both on offer it took TLS {version}");
        self.conclude(&rules::TLS_VERSION_NOT_OFFERED, &detail);
    }

    pub(super) async fn smaller(&mut self) -> bool {
        let bytes = self.report.hello.as_ref().map_or(0, |hello| hello.bytes);
        if bytes <= ONE_PACKET {
            return false;
        }
        let other = self
            .other("a ClientHello without post-quantum key shares", |plan| {
                plan.offer.small = true;
            })
            .await;
        let Some(small) = other.filter(|other| other.report.established) else {
            return false;
        };
        let size = small.report.hello.map_or(0, |hello| hello.bytes);
        let detail = format!("a ClientHello of {bytes} bytes fails, one of {size} bytes does not");
        self.conclude(&rules::HELLO_TOO_BIG, &detail);
        true
    }

    pub(super) async fn without_sni(&mut self) -> Option<Other> {
        self.other("no server name", |plan| plan.offer.sni = None)
            .await
    }

    pub(super) async fn compare_no_sni(&mut self) {
        if self.plan.offer.sni.is_none() {
            return;
        }
        let Some(other) = self.without_sni().await else {
            return;
        };
        let leaf = |attempt: &Attempt| attempt.certs.chain.first().cloned();
        let finding = if !other.report.established {
            let why = gist(&other.report);
            Finding::new(&rules::SNI_REQUIRED, format!("without one: {why}"))
        } else if leaf(&other.attempt) == leaf(self.first) {
            let detail = "both times the same certificate came";
            Finding::new(&rules::SNI_IGNORED, detail)
        } else {
            let detail = format!(
                "without one came a certificate for {}",
                names(&other.report)
            );
            Finding::new(&rules::SNI_REQUIRED, detail)
        };
        self.report.find(finding);
    }

    /// Returns whether the server has refused what was on offer, and nothing else.
    pub(super) fn is_offer_refused(&self) -> bool {
        let refusals = [
            Alert::HandshakeFailure,
            Alert::ProtocolVersion,
            Alert::InsufficientSecurity,
        ];
        let report = &self.report;
        let lead = report.findings.first();
        let by_alert = lead.is_some_and(|finding| {
            let rules = [
                &rules::ALERT_HANDSHAKE_FAILURE,
                &rules::ALERT_PROTOCOL_VERSION,
                &rules::ALERT_OTHER,
            ];
            rules.iter().any(|rule| std::ptr::eq(*rule, finding.rule))
        });
        let alert = report.alert.as_deref();
        by_alert
            && refusals.iter().any(|refusal| alert == Some(refusal.name()))
            && report.alert_by == Some("server")
            && report.tls_version.is_none()
            && !self.first.certs.requested
    }

    /// Offers everything, to see what the server chooses; true if that is the cause.
    pub(super) async fn full_offer(&mut self) -> bool {
        // TLS 1.3 does not answer the question about TLS 1.2.
        let (versions, what) = match self.plan.offer.only {
            Some(OnlyVersion::Tls12) => (full_hello::UP_TO_12, "all suites and groups on offer"),
            _ => (
                full_hello::VERSIONS,
                "all versions, suites and groups on offer",
            ),
        };
        let Some(limit) = self.limit() else {
            return false;
        };
        let mut random = [0; 32];
        if PROVIDER.secure_random.fill(&mut random).is_err() {
            return false;
        }
        let mut plan = self.plan.clone();
        plan.limit = limit;
        let (sni, alpn) = (plan.offer.sni.as_ref(), plan.offer.alpn);
        let hello = full_hello::hello(&random, sni, alpn, versions);
        let answer = match reach::connect(self.address, limit).await {
            Ok((tcp, took)) => {
                let enough = |bytes: &[u8]| full_hello::is_answered(&observe(bytes, End::Server));
                connection::answer(tcp, took, &plan, &hello, KEPT, enough).await
            }
            Err(finding) => {
                let lost = format!("{what}: {}", finding.rule.summary);
                self.report.looks.push(lost);
                return false;
            }
        };
        // Without an answer to the preface there is none to the hello.
        let answer = answer.unwrap_or_default();
        let answer = observe(&answer, End::Server);
        let (mut rule, said) = full_hello::meaning(&answer);
        self.report.looks.push(format!("{what}: {said}"));
        let refused: &Rule = &rules::ALERT_HANDSHAKE_FAILURE;
        let lead = self.report.findings.first();
        let by_offer = lead.is_some_and(|lead| std::ptr::eq(lead.rule, refused));
        let again = answer.alert.and_then(|alert| alert.alert()) == Some(Alert::HandshakeFailure);
        if rule.is_none() && by_offer && answer.server_hello.is_some() {
            // Versions, suites and groups were not why, so the certificate is left.
            rule = Some(&rules::TLS_NO_FITTING_CERTIFICATE);
        }
        if let Some(rule) = rule {
            self.conclude(rule, &format!("with {what}, {said}"));
            return true;
        }
        by_offer && again && self.no_suite_for_key(&format!("with {what}, {said}")).await
    }

    /// Returns whether a server that refuses every offer has no suite for its key, unless it is the
    /// name that it refuses.
    async fn no_suite_for_key(&mut self, refused: &str) -> bool {
        if self.plan.offer.sni.is_some()
            && let Some(nameless) = self.without_sni().await
            && nameless.report.established
        {
            return false;
        }
        let mut detail = format!("{refused} again");
        if self.plan.offer.only == Some(OnlyVersion::Tls12) {
            // There suites do not depend on the key, so it can be seen.
            let newer = self.other("TLS 1.3", |plan| plan.offer.only = Some(OnlyVersion::Tls13));
            let newer = newer.await.filter(|newer| newer.report.established);
            if let Some(leaf) = newer.as_ref().and_then(|newer| newer.report.chain.first()) {
                let key = &leaf.key;
                detail = format!(
                    "{detail}; in TLS 1.3, where suites do not depend on the key, it agrees and \
                     shows a certificate with a key of the kind {key}: it has no suite of TLS 1.2 \
                     for that"
                );
            }
        }
        self.conclude(&rules::TLS_NO_SUITE_FOR_KEY, &detail);
        true
    }
}
