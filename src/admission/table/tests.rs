use super::*;

const BOUNDS: Bounds = Bounds {
    all: 6,
    per_ip: 2,
    bytes: 100,
};

/// A table whose clients are called by what they are.
struct Stage(Table<&'static str>, HashMap<&'static str, (IpAddr, u64)>);

impl Stage {
    fn new() -> Self {
        Self(Table::default(), HashMap::new())
    }

    /// A client from `source`, a last octet: where it stands, and who gave way.
    fn enter(&mut self, source: u8, name: &'static str, bounds: Bounds) -> (&'static str, String) {
        let source = IpAddr::from([192, 0, 2, source]);
        let (entered, changes) = self.0.enter(source, name, bounds);
        assert!(changes.turns.is_empty(), "{:?}", changes.turns);
        let word = match entered {
            Entered::Open(id) => {
                self.1.insert(name, (source, id));
                "open"
            }
            Entered::Waiting(id) => {
                self.1.insert(name, (source, id));
                "waiting"
            }
            Entered::Full => "full",
        };
        (word, changes.gave_way.join(" "))
    }

    fn leave(&mut self, name: &str) -> String {
        let (source, id) = self.1[name];
        let changes = self.0.leave(source, id);
        assert!(changes.gave_way.is_empty(), "{:?}", changes.gave_way);
        changes.turns.join(" ")
    }

    /// Who gave way, and whose turn came by that.
    fn hold(&mut self, name: &str, bytes: usize) -> (String, String) {
        let (source, id) = self.1[name];
        let changes = self.0.hold(source, id, bytes);
        (changes.gave_way.join(" "), changes.turns.join(" "))
    }
}

fn said(word: &str, gave_way: &str) -> (&'static str, String) {
    let words = ["open", "waiting", "full"];
    let word = words.into_iter().find(|w| *w == word).unwrap();
    (word, gave_way.to_owned())
}

#[test]
fn beyond_the_limit_of_a_source_turns_come_in_order_of_arrival() {
    let mut table = Stage::new();
    for (name, word) in [
        ("a", "open"),
        ("b", "open"),
        ("c", "waiting"),
        ("d", "waiting"),
    ] {
        assert_eq!(table.enter(1, name, BOUNDS), said(word, ""), "{name}");
    }
    assert_eq!(table.enter(2, "other", BOUNDS), said("open", ""));
    assert_eq!(table.leave("b"), "c");
    assert_eq!(table.enter(1, "e", BOUNDS), said("waiting", ""));
    // One that waits and goes is nobody's turn.
    assert_eq!(table.leave("d"), "");
    assert_eq!(table.leave("a"), "e");
    for name in ["c", "e", "other"] {
        assert_eq!(table.leave(name), "");
    }
    // Twice is once.
    assert_eq!(table.leave("e"), "");
    assert_eq!(table.0.len(), 0);
    assert!(table.0.sources.is_empty() && table.0.by_number.is_empty());
}

#[test]
fn a_higher_limit_gives_several_their_turn_and_lets_nobody_pass_them() {
    let mut table = Stage::new();
    for name in ["a", "b", "c", "d"] {
        table.enter(1, name, BOUNDS);
    }
    let wider = Bounds {
        per_ip: 4,
        ..BOUNDS
    };
    assert_eq!(table.enter(1, "e", wider), said("waiting", ""));
    assert_eq!(table.leave("a"), "c d e");
}

#[test]
fn when_full_the_source_with_most_gives_way() {
    let mut table = Stage::new();
    for (source, name) in [(2, "x"), (1, "a"), (1, "b"), (3, "y"), (1, "c"), (1, "d")] {
        table.enter(source, name, BOUNDS);
    }
    // First those that wait, the last first; then the oldest.
    assert_eq!(table.enter(4, "p", BOUNDS), said("open", "d"));
    assert_eq!(table.enter(4, "q", BOUNDS), said("open", "c"));
    // Now 1 and 4 have two each: the oldest is a.
    assert_eq!(table.enter(5, "r", BOUNDS), said("open", "a"));
    // And of 4, which has most alone, its oldest; x is older, and the only one of its source.
    assert_eq!(table.enter(6, "s", BOUNDS), said("open", "p"));
    // All have one: the oldest.
    assert_eq!(table.enter(7, "t", BOUNDS), said("open", "x"));
    // A newcomer whose own source would have most takes nothing from others.
    assert_eq!(table.enter(7, "u", BOUNDS), said("open", "t"));
    assert_eq!(table.0.len(), 6);
}

#[test]
fn a_source_that_fills_the_table_alone_is_full_once_it_waits() {
    let mut table = Stage::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        table.enter(1, name, BOUNDS);
    }
    assert_eq!(table.enter(1, "g", BOUNDS), said("full", ""));
    assert_eq!(table.enter(2, "x", BOUNDS), said("open", "f"));
    // A lower limit holds from the next client on, who takes nothing from a source with less.
    let narrow = Bounds { all: 2, ..BOUNDS };
    assert_eq!(table.enter(2, "y", narrow), said("open", "e d c a x"));
}

#[test]
fn bytes_are_bounded_over_all() {
    let mut table = Stage::new();
    for (source, name) in [(1, "small"), (1, "big"), (1, "next"), (2, "x"), (3, "y")] {
        table.enter(source, name, BOUNDS);
    }
    assert_eq!(table.hold("big", 60), said_bytes("", ""));
    assert_eq!(table.hold("x", 40), said_bytes("", ""));
    // The source that holds most gives way, by one that holds anything.
    assert_eq!(table.hold("y", 20), said_bytes("big", "next"));
    // x and y hold 60; x grows alone beyond the bound and gives way itself.
    assert_eq!(table.hold("x", 90), said_bytes("x", ""));
    assert_eq!(table.hold("x", 95), said_bytes("", ""), "it is gone");
    assert_eq!(table.leave("y"), "");
    assert_eq!((table.0.bytes, table.0.by_bytes.len()), (0, 0));
}

fn said_bytes(gave_way: &str, turns: &str) -> (String, String) {
    (gave_way.to_owned(), turns.to_owned())
}
