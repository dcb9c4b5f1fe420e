//! Conversations made by hand, segment by segment.

use std::net::SocketAddr;

use super::conversations::{Conversations, Counts, Limits, Pace};
use super::link::Segment;
use super::*;
use crate::preface::postgres::SSL_REQUEST;
use crate::probe::exchange::KEPT;
use crate::probe::report::Verdict;

/// A handshake record with a ClientHello that is not complete.
const HELLO: &[u8] = &[0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3];

const CLIENT: u32 = 1000;
const SERVER: u32 = u32::MAX - 2;

/// A conversation that is being written.
struct Wire {
    conversations: Conversations,
    client: SocketAddr,
    server: SocketAddr,
    at: u64,
}

/// One segment; sequence numbers count from the SYN of its side.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "most are bits of the header")]
struct Flow<'a> {
    by_server: bool,
    seq: u32,
    ack: Option<u32>,
    syn: bool,
    fin: bool,
    rst: bool,
    payload: &'a [u8],
    missing: usize,
}

const fn client(seq: u32, payload: &[u8]) -> Flow<'_> {
    Flow {
        by_server: false,
        seq,
        ack: Some(1),
        syn: false,
        fin: false,
        rst: false,
        payload,
        missing: 0,
    }
}

const fn server(seq: u32, payload: &[u8]) -> Flow<'_> {
    Flow {
        by_server: true,
        ..client(seq, payload)
    }
}

impl Wire {
    fn new(pace: Pace) -> Self {
        Self {
            conversations: Conversations::new(Hints::default(), pace),
            client: "192.0.2.1:50000".parse().unwrap(),
            server: "192.0.2.2:7000".parse().unwrap(),
            at: 1_700_000_000_000_000_000,
        }
    }

    fn say(&mut self, said: Flow<'_>) -> &mut Self {
        self.at += 1_000_000;
        let (from, to) = if said.by_server {
            (self.server, self.client)
        } else {
            (self.client, self.server)
        };
        let (own, other) = if said.by_server {
            (SERVER, CLIENT)
        } else {
            (CLIENT, SERVER)
        };
        let segment = Segment {
            from,
            to,
            seq: own.wrapping_add(said.seq),
            ack: said.ack.map(|ack| other.wrapping_add(ack)),
            syn: said.syn,
            fin: said.fin,
            rst: said.rst,
            payload: said.payload,
            missing: said.missing,
        };
        self.conversations.add(&segment, self.at);
        self
    }

    fn syn(&mut self) -> &mut Self {
        self.say(Flow {
            syn: true,
            ..Flow::default()
        })
    }

    fn connect(&mut self) -> &mut Self {
        self.syn()
            .say(Flow {
                by_server: true,
                syn: true,
                ack: Some(1),
                ..Flow::default()
            })
            .say(client(1, b""))
    }

    fn rows(&mut self) -> Vec<Report> {
        std::iter::from_fn(|| self.conversations.row()).collect()
    }

    fn end(&mut self) -> Vec<Report> {
        self.conversations.end(None);
        self.rows()
    }

    /// The one row, when the capture ends.
    #[track_caller]
    fn row(&mut self) -> Report {
        let mut rows = self.end();
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.remove(0)
    }
}

#[track_caller]
fn has(row: &Report, code: &str, wanted: bool) {
    let has = row.findings.iter().any(|finding| finding.rule.code == code);
    assert_eq!(has, wanted, "{code}: {row:#?}");
}

#[test]
fn of_different_bytes_for_one_place_the_first_count_and_it_is_told() {
    let mut wire = Wire::new(Pace::Whole);
    let other = [b"GET / HT".as_slice(), b"TP/1.1\r\n"].concat();
    let row = wire
        .connect()
        .say(client(1, &SSL_REQUEST))
        .say(client(1, &other))
        .row();
    assert_eq!(row.protocol, "postgres");
    has(&row, "capture-conflicting-data", true);

    // The same, where the first copy waits behind a gap.
    let mut wire = Wire::new(Pace::Whole);
    let row = wire
        .connect()
        .say(client(5, &SSL_REQUEST[4..]))
        .say(client(5, &[0, 0, 0, 0]))
        .say(client(1, &SSL_REQUEST))
        .row();
    assert_eq!(row.protocol, "postgres");
    has(&row, "capture-conflicting-data", true);
}

#[test]
fn a_question_for_life_says_nothing() {
    let mut wire = Wire::new(Pace::Whole);
    wire.connect().say(client(1, &SSL_REQUEST));
    wire.say(client(8, b"\0")).say(client(8, b""));
    let row = wire.row();
    has(&row, "capture-conflicting-data", false);
    has(&row, "capture-retransmissions", false);
    // Before anything was said it repeats the number of the SYN.
    let mut wire = Wire::new(Pace::Whole);
    let row = wire
        .connect()
        .say(client(0, b"\0"))
        .say(client(1, &SSL_REQUEST))
        .row();
    assert_eq!(row.protocol, "postgres");
    has(&row, "capture-conflicting-data", false);
}

#[test]
fn what_was_acknowledged_and_never_came_is_a_gap() {
    let asked = |ack: u32| {
        let mut wire = Wire::new(Pace::Whole);
        wire.connect().say(client(1, HELLO));
        wire.say(client(112, &[7; 50]));
        wire.say(Flow {
            ack: Some(ack),
            ..server(1, b"")
        });
        wire.row()
    };
    let lost = asked(162);
    has(&lost, "capture-gap", true);
    // The network has lost it, and not the capture: the server does not have it, either.
    let waiting = asked(12);
    has(&waiting, "capture-gap", false);
    has(&waiting, "capture-still-open", true);
}

#[test]
fn a_cut_packet_is_no_gap_once_it_came_whole() {
    let cut = Flow {
        missing: 4,
        ..client(1, &SSL_REQUEST[..4])
    };
    let mut wire = Wire::new(Pace::Whole);
    let row = wire.connect().say(cut).row();
    has(&row, "capture-snaplen", true);
    let mut wire = Wire::new(Pace::Whole);
    let row = wire.connect().say(cut).say(client(1, &SSL_REQUEST)).row();
    has(&row, "capture-snaplen", false);
    assert!(row.starttls, "{row:#?}");
}

#[test]
fn data_with_syn_and_fin_count_and_text_in_a_reset_does_not() {
    let mut wire = Wire::new(Pace::Whole);
    wire.say(Flow {
        syn: true,
        payload: &SSL_REQUEST[..4],
        ..Flow::default()
    });
    wire.say(Flow {
        fin: true,
        ..client(5, &SSL_REQUEST[4..])
    });
    wire.say(Flow {
        rst: true,
        ..server(1, b"go away")
    });
    let row = wire.row();
    assert!(row.starttls, "{row:#?}");
    assert_eq!(row.code, "tcp-refused");
}

#[test]
fn connections_that_never_stood() {
    let mut wire = Wire::new(Pace::Whole);
    wire.syn();
    wire.at += 1_000_000_000;
    let row = wire.syn().row();
    assert_eq!((row.code.as_str(), row.id), ("tcp-timeout", Some(1)));
    assert_eq!(row.verdict, Verdict::Failed);
    // One SYN may be answered after the recording, and a copy of it says no more.
    let mut wire = Wire::new(Pace::Whole);
    wire.server.set_port(3306);
    let row = wire.syn().syn().row();
    assert_eq!(row.verdict, Verdict::Unknown);
    assert_eq!(row.code, "capture-still-open");
    let mut wire = Wire::new(Pace::Whole);
    wire.syn().say(Flow {
        rst: true,
        ..server(0, b"")
    });
    assert_eq!(wire.row().code, "tcp-refused");
}

/// Diagnosis of a ClientHello that is never answered, when the client leaves having got `ack`.
fn unanswered(ack: u32) -> Report {
    let mut wire = Wire::new(Pace::Whole);
    wire.connect().say(client(1, &SSL_REQUEST));
    let closes = Flow {
        fin: true,
        ack: Some(ack),
        ..client(9, b"")
    };
    wire.say(closes).row()
}

#[test]
fn an_answer_is_missing_only_where_its_absence_was_seen() {
    // The client says itself how much it has got.
    let nothing = unanswered(1);
    assert_eq!(nothing.verdict, Verdict::Failed);
    assert_eq!(nothing.code, "pg-no-answer");
    let something = unanswered(2);
    assert_eq!(something.verdict, Verdict::Unknown);
    assert_eq!(something.code, "capture-gap");
    // A reset with a number beyond what was recorded of the server.
    let reset = |seq: u32| {
        let mut wire = Wire::new(Pace::Whole);
        wire.connect().say(client(1, &SSL_REQUEST));
        wire.say(Flow {
            rst: true,
            ack: None,
            ..server(seq, b"")
        });
        wire.row()
    };
    assert_eq!(reset(1).code, "pg-closed-after-request");
    assert_eq!(reset(900).code, "capture-not-enough");
    // A port scan, or a load balancer's check: seen whole, and nothing was wanted.
    let mut wire = Wire::new(Pace::Whole);
    let closes = Flow {
        fin: true,
        ..client(1, b"")
    };
    let row = wire.connect().say(closes).row();
    assert_eq!((row.verdict, row.code.as_str()), (Verdict::Ok, "ok"));
}

#[test]
fn a_new_syn_begins_a_new_conversation_and_the_same_does_not() {
    for pace in [Pace::Whole, Pace::Live] {
        let mut wire = Wire::new(pace);
        wire.connect().say(client(1, &SSL_REQUEST)).syn();
        let reset = Flow {
            rst: true,
            ..server(1, b"")
        };
        wire.say(reset).syn();
        // Another connection of the same ends, seven million numbers on.
        let far = 7_000_000;
        wire.say(Flow {
            syn: true,
            seq: far,
            ..Flow::default()
        });
        wire.say(client(far + 1, HELLO));
        let rows = wire.end();
        let told: Vec<_> = rows.iter().map(|row| (row.id, row.starttls)).collect();
        assert_eq!(
            told,
            [(Some(1), true), (Some(2), false)],
            "{pace:?} {rows:#?}"
        );
    }
}

#[test]
fn late_packets_of_a_decided_conversation_are_no_other_one() {
    let mut wire = Wire::new(Pace::Live);
    wire.connect().say(client(1, &SSL_REQUEST));
    wire.say(Flow {
        rst: true,
        ..server(1, b"")
    });
    assert_eq!(wire.rows().len(), 1, "a reset decides at once");
    wire.say(client(9, HELLO)).say(client(1, &SSL_REQUEST));
    assert_eq!(wire.end().len(), 0);
}

#[test]
fn acknowledgements_alone_are_counted_and_not_told() {
    let mut wire = Wire::new(Pace::Whole);
    wire.say(client(900, b"")).say(server(900, b""));
    assert_eq!(wire.end().len(), 0);
    let counts = Counts {
        empty: 1,
        ..Counts::default()
    };
    assert_eq!(wire.conversations.counts(), counts);
}

#[test]
fn without_a_syn_the_first_bytes_tell_the_client_and_then_the_ports() {
    // The server has the higher port here.
    let mut wire = Wire::new(Pace::Whole);
    std::mem::swap(&mut wire.client, &mut wire.server);
    let row = wire.say(client(1, &SSL_REQUEST)).row();
    assert_eq!(row.client.as_deref(), Some("192.0.2.2:7000"));
    has(&row, "capture-syn-missing", true);
    assert!(row.starttls);

    let mut wire = Wire::new(Pace::Whole);
    wire.say(server(1, &[23, 3, 3, 0, 2, 1, 1]));
    let row = wire.say(client(1, &[23, 3, 3, 0, 2, 1, 1])).row();
    assert_eq!(row.client.as_deref(), Some("192.0.2.1:50000"));
    assert_eq!(row.code, "capture-start-unknown");

    // A port that is known for a database is the server's, whatever the number of the other.
    let mut wire = Wire::new(Pace::Whole);
    wire.client.set_port(999);
    wire.server.set_port(5432);
    let row = wire.say(server(1, b"x")).row();
    assert_eq!(row.client.as_deref(), Some("192.0.2.1:999"));
}

#[test]
fn nothing_is_kept_of_what_lies_far_behind_a_gap() {
    let mut wire = Wire::new(Pace::Whole);
    wire.connect();
    for at in 0..1000 {
        wire.say(client(100 + at * 1000, &[1; 1000]));
    }
    assert!(
        wire.conversations.bytes() <= 2 * KEPT,
        "{}",
        wire.conversations.bytes()
    );
    // The same downwards, without a SYN.
    let mut wire = Wire::new(Pace::Whole);
    for at in (0..1000).rev() {
        wire.say(client(100 + at * 2000, &[1; 1000]));
    }
    assert!(
        wire.conversations.bytes() <= 2 * KEPT,
        "{}",
        wire.conversations.bytes()
    );
}

#[test]
fn the_oldest_are_finished_when_there_are_too_many() {
    const OPEN: usize = 100;
    const DONE: usize = 50;
    let mut wire = Wire::new(Pace::Whole);
    wire.conversations = wire.conversations.with_limits(Limits {
        open: OPEN,
        done: DONE,
        bytes: usize::MAX,
    });
    let number = 1000;
    let mut told = 0;
    for at in 0..number {
        let at = u32::try_from(at).unwrap();
        wire.client
            .set_ip((0x0a00_0000_u32 + at).to_be_bytes().into());
        wire.syn();
        let [table, order, done] = wire.conversations.entries();
        assert!(table <= OPEN + DONE && order <= 2 * OPEN && done <= DONE);
        for row in wire.rows() {
            told += 1;
            assert_eq!(row.id, Some(told), "the oldest first");
            has(&row, "capture-dropped", true);
        }
    }
    let early = wire.conversations.counts().early;
    assert_eq!((early, told), (900, 900));
    let rest = wire.end().len() as u64;
    assert_eq!(told + rest, number);
    let counts = wire.conversations.counts();
    assert_eq!((counts.told, counts.early), (number, told));
}

#[test]
fn a_decided_conversation_is_remembered_as_long_as_it_is_alive() {
    let mut wire = Wire::new(Pace::Live);
    wire.conversations = wire.conversations.with_limits(Limits {
        open: 10,
        done: 10,
        bytes: usize::MAX,
    });
    let lasting = wire.client;
    wire.connect().say(client(1, &SSL_REQUEST));
    wire.say(Flow {
        rst: true,
        ..server(1, b"")
    });
    for at in 0..200 {
        wire.client = lasting;
        wire.say(client(9, b"more"));
        wire.client.set_port(1000 + at);
        wire.syn();
        let entries = wire.conversations.entries();
        assert!(entries.iter().all(|&number| number <= 20), "{entries:?}");
    }
    wire.conversations.end(None);
    let rows = wire.rows();
    let of_it = |row: &&Report| row.client == Some(lasting.to_string());
    assert_eq!(rows.iter().filter(of_it).count(), 1);
    assert_eq!(rows.len(), 201);
}

#[test]
fn the_oldest_are_finished_when_they_say_too_much() {
    const ROOM: usize = 4 * KEPT;
    let mut wire = Wire::new(Pace::Whole);
    wire.conversations = wire.conversations.with_limits(Limits {
        open: 1000,
        done: 1000,
        bytes: ROOM,
    });
    let data = vec![0x55; KEPT];
    for at in 0..20 {
        wire.client.set_port(10_000 + at);
        wire.connect().say(client(1, &data));
        assert!(wire.conversations.bytes() <= ROOM);
    }
    let counts = wire.conversations.counts();
    assert_eq!((counts.told, counts.early), (16, 16));
    let rows = wire.rows();
    let ids: Vec<_> = rows.iter().filter_map(|row| row.id).collect();
    assert_eq!(ids, (1..=16).collect::<Vec<_>>());
    // What comes late for a finished one is not another conversation.
    wire.client.set_port(10_000);
    wire.say(client(1, &SSL_REQUEST));
    assert_eq!(wire.end().len(), 4);
}
