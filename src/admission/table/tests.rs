use super::*;

const BOUNDS: Bounds = Bounds {
    all: 6,
    per_ip: 2,
    bytes: 100,
};

/// A table whose clients have names.
struct Named(Table<&'static str>, HashMap<&'static str, (IpAddr, u64)>);

impl Named {
    fn new() -> Self {
        Self(Table::default(), HashMap::new())
    }

    /// A client from `source`, a last octet: where it stands, and who gave way.
    fn enter(&mut self, source: u8, name: &'static str, bounds: Bounds) -> (&'static str, String) {
        let source = IpAddr::from([192, 0, 2, source]);
        let (entered, decisions) = self.0.enter(source, name, bounds);
        assert!(decisions.turns.is_empty(), "{:?}", decisions.turns);
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
        (word, decisions.evicted.join(" "))
    }

    fn leave(&mut self, name: &str) -> String {
        let (source, id) = self.1[name];
        let decisions = self.0.leave(source, id);
        assert!(decisions.evicted.is_empty(), "{:?}", decisions.evicted);
        decisions.turns.join(" ")
    }

    /// Those who are granted their request once this one is gone.
    fn give_back(&mut self, name: &str) -> String {
        let (source, id) = self.1[name];
        granted(self.0.leave(source, id))
    }

    /// Those who gave way, those whose turn came by that, and those who are granted their request.
    fn request(&mut self, name: &str, bytes: usize) -> [String; 3] {
        let (source, id) = self.1[name];
        let decisions = self.0.request(source, id, bytes);
        let (evicted, turns) = (decisions.evicted.join(" "), decisions.turns.join(" "));
        [evicted, turns, granted(decisions)]
    }
}

fn granted(decisions: Decisions<&'static str>) -> String {
    let granted = decisions.granted.into_iter();
    let granted: Vec<_> = granted
        .map(|(name, bytes)| format!("{name}:{bytes}"))
        .collect();
    granted.join(" ")
}

fn said(word: &str, gave_way: &str) -> (&'static str, String) {
    let words = ["open", "waiting", "full"];
    let word = words.into_iter().find(|w| *w == word).unwrap();
    (word, gave_way.to_owned())
}

#[test]
fn beyond_the_limit_of_a_source_turns_come_in_order_of_arrival() {
    let mut table = Named::new();
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
    let mut table = Named::new();
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
    let mut table = Named::new();
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
    let mut table = Named::new();
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
    let mut table = Named::new();
    for (source, name) in [(1, "small"), (1, "big"), (1, "next"), (2, "x"), (3, "y")] {
        table.enter(source, name, BOUNDS);
    }
    assert_eq!(table.request("big", 60), ["", "", "big:60"]);
    assert_eq!(table.request("x", 40), ["", "", "x:40"]);
    // The source that holds most gives way, by one that holds anything.
    assert_eq!(table.request("y", 20), ["big", "next", ""]);
    assert_eq!(table.give_back("big"), "y:20");
    // x and y hold 60; x grows alone beyond the bound and gives way itself.
    assert_eq!(table.request("x", 90), ["x", "", ""]);
    assert_eq!(table.request("x", 95), ["", "", ""], "it is gone");
    assert_eq!(table.give_back("x"), "");
    assert_eq!(table.leave("y"), "");
    assert_eq!((table.0.requested, table.0.by_bytes.len()), (0, 0));
    assert_eq!(table.0.granted, 0);
}

#[test]
fn what_the_evicted_still_hold_is_granted_to_nobody() {
    let mut table = Named::new();
    for (source, name) in [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")] {
        table.enter(source, name, BOUNDS);
    }
    assert_eq!(table.request("a", 60), ["", "", "a:60"]);
    assert_eq!(table.request("b", 40), ["", "", "b:40"]);
    assert_eq!(table.request("c", 30), ["a", "", ""]);
    // Requests are granted in their order, also where a later one would fit.
    assert_eq!(table.request("d", 30), ["", "", ""]);
    // One that waits can be the one that gives way, and holds up nobody then.
    assert_eq!(table.request("c", 50), ["c", "", ""]);
    assert_eq!(table.request("e", 30), ["", "", ""]);
    assert_eq!(table.0.granted, 100);
    assert_eq!(table.give_back("a"), "d:30 e:30");
    assert_eq!(table.give_back("c"), "");
    for name in ["b", "d", "e"] {
        table.leave(name);
    }
    assert_eq!((table.0.requested, table.0.granted), (0, 0));
    assert!(table.0.queue.is_empty() && table.0.evicted.is_empty());
}
