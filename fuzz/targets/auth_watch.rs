//! The watch over a backend's authentication: the same answer however the bytes are cut.

#![no_main]

use dbgate::preface::postgres::{AuthEvent, AuthWatch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = AuthWatch::default().feed(data);
    for size in [1, 3, 100] {
        let mut watch = AuthWatch::default();
        let mut last = AuthEvent::Watching;
        for part in data.chunks(size) {
            let event = watch.feed(part);
            assert!(
                last == AuthEvent::Watching || last == event,
                "an end is final"
            );
            last = event;
        }
        assert_eq!(last, whole, "in parts of {size}");
    }
});
