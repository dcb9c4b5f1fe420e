//! Network captures: from a file to one report for each conversation.
//!
//! [`mod@file`] gives packets, [`link`] the TCP segments in them (tunnels and fragments included),
//! `reassembly` what each side said, and [`conversations`] a [`Report`] for each pair of ends.
//! Every step is bounded in memory, whatever the file holds. Not here: printing, and what the bytes
//! mean ([`super::dissection`], [`super::diagnose`]).

mod conversation;
pub mod conversations;
pub mod file;
mod foreign;
mod hints;
pub mod link;
mod reassembly;
pub mod trace;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Read;

use super::report::{Finding, Report};
use super::rules;
use conversations::{Conversations, Counts, Pace};
pub use hints::Hints;

use file::{CaptureError, Ended, Next, Packets};
use link::{Decoder, Skipped};
use trace::{Recorder, Trace};

/// Progress of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more.
    More,
    /// There is nothing just now.
    Pause,
    /// This was all.
    End,
}

/// Packets by what they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All packets.
    pub packets: u64,
    /// Ordinary ones that are not TCP.
    pub not_tcp: u64,
    /// Those that could not be read, and why.
    pub unread: BTreeMap<Skipped, u64>,
}

/// The most reasons listed in a text.
const MAX_LISTED: usize = 8;

impl Tally {
    fn skip(&mut self, why: Skipped) {
        match why {
            Skipped::NotTcp => self.not_tcp += 1,
            why => *self.unread.entry(why).or_default() += 1,
        }
    }

    /// Takes back that this many were parts without the others.
    fn joined(&mut self, parts: u64) {
        if let Some(number) = self.unread.get_mut(&Skipped::Fragment) {
            *number = number.saturating_sub(parts);
        }
        self.unread.retain(|_, number| *number > 0);
    }

    /// Returns whether there were packets, and none that could be read.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.packets > 0 && self.unread.values().sum::<u64>() == self.packets
    }

    /// Describes the packets that could not be read; `None` if all could.
    #[must_use]
    pub fn unreadable(&self) -> Option<String> {
        let mut kinds: Vec<(u64, Skipped)> = self
            .unread
            .iter()
            .map(|(why, number)| (*number, *why))
            .collect();
        kinds.sort_by_key(|&(number, why)| (Reverse(number), why));
        let mut words: Vec<String> = kinds
            .iter()
            .take(MAX_LISTED)
            .map(|(number, why)| format!("{number} {}", why.words()))
            .collect();
        let others: u64 = kinds
            .iter()
            .skip(MAX_LISTED)
            .map(|(number, _)| number)
            .sum();
        if others > 0 {
            words.push(format!("{others} of other kinds"));
        }
        let all = if self.is_unread() {
            ", none of which could be read"
        } else {
            ""
        };
        let words = words.join(", ");
        (!words.is_empty()).then(|| format!("Of {} packets{all}: {words}.", self.packets))
    }
}

/// A capture that is being read.
#[derive(Debug)]
pub struct Capture<R> {
    packets: Packets<R>,
    conversations: Conversations,
    decoder: Decoder,
    tally: Tally,
    ended: Option<Ended>,
    recorder: Option<Recorder>,
}

impl<R: Read> Capture<R> {
    /// Reads from `source`; one that would block makes it pause.
    pub fn new(source: R, hints: Hints, pace: Pace) -> Self {
        Self {
            packets: Packets::new(source),
            conversations: Conversations::new(hints, pace),
            decoder: Decoder::default(),
            tally: Tally::default(),
            ended: None,
            recorder: None,
        }
    }

    /// Traces the conversation with this number.
    #[must_use]
    pub fn tracing(mut self, id: u64) -> Self {
        self.conversations.watch(id);
        self.recorder = Some(Recorder::new(id));
        self
    }

    /// The trace, once its conversation is finished; `None` if there is none with that number.
    pub fn trace(&mut self) -> Option<Trace> {
        let diagnosis = self.conversations.watched()?;
        Some(self.recorder.take()?.finish(*diagnosis))
    }

    /// Reads at most `packets` packets.
    ///
    /// # Errors
    /// The source cannot be read, or is not a capture. What was read before is still there:
    /// [`finish`](Self::finish) gives the rows.
    pub fn read(&mut self, packets: usize) -> Result<Progress, CaptureError> {
        for _ in 0..packets {
            if self.ended.is_some() {
                return Ok(Progress::End);
            }
            let packet = match self.packets.read()? {
                Next::Packet(packet) => packet,
                Next::Pause => {
                    self.conversations.pause();
                    return Ok(Progress::Pause);
                }
                Next::End(ended) => {
                    self.ended = Some(ended);
                    self.finish();
                    return Ok(Progress::End);
                }
            };
            self.tally.packets += 1;
            match self.decoder.segment(&packet) {
                Ok(segment) => match &mut self.recorder {
                    None => self.conversations.add(&segment, packet.at),
                    Some(recorder) => {
                        let note = |conversation: &_, from, arrival| {
                            recorder.note(conversation, from, &segment, packet.at, arrival);
                        };
                        self.conversations.add_traced(&segment, packet.at, note);
                    }
                },
                Err(why) => self.tally.skip(why),
            }
            match self.decoder.take_joined() {
                0 => {}
                parts => self.tally.joined(parts),
            }
        }
        Ok(Progress::More)
    }

    /// Finishes what is open, as if the capture ended here.
    pub fn finish(&mut self) {
        let fault = self.ended.and_then(broken_off);
        self.ended.get_or_insert(Ended::Whole);
        self.conversations.end(fault);
    }

    /// The next conversation of which the outcome is known.
    pub fn row(&mut self) -> Option<Report> {
        self.conversations.row()
    }

    /// Bytes read so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.packets.offset()
    }

    /// The packets by what they were.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Returns whether nothing in it could be read.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        let broken = self.tally.packets == 0 && self.ended.and_then(broken_off).is_some();
        broken || self.tally.is_unread()
    }

    /// The conversations by what became of them.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.conversations.counts()
    }

    /// Faults of the recording as a whole.
    #[must_use]
    pub fn faults(&self) -> Vec<Finding> {
        let mut faults = Vec::new();
        faults.extend(self.ended.and_then(broken_off));
        if let Some(what) = self.tally.unreadable() {
            faults.push(Finding::new(&rules::CAPTURE_UNREADABLE_PACKETS, what));
        }
        let early = self.counts().early;
        if early > 0 {
            let detail = format!("{early} conversations were finished before they were decided.");
            faults.push(Finding::new(&rules::CAPTURE_DROPPED, detail));
        }
        faults
    }
}

/// Finding for a recording that broke off.
fn broken_off(ended: Ended) -> Option<Finding> {
    match ended {
        Ended::Whole => None,
        Ended::Cut(at) => Some(Finding::new(
            &rules::CAPTURE_CUT,
            format!("The last whole packet ends at byte {at}."),
        )),
        Ended::Damaged(at, why) => Some(Finding::new(
            &rules::CAPTURE_DAMAGED,
            format!("At byte {at}: {why}."),
        )),
    }
}

#[cfg(test)]
mod tests;
