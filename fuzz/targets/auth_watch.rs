//! A backend's authentication as the gateway sees it: the same answer however the bytes are cut,
//! and an offer of login methods from which only those that bind the channel are gone.

#![no_main]

use dbgate::preface::LoginEvent;
use dbgate::preface::postgres::{AuthWatch, without_channel_binding};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = AuthWatch::default().feed(data);
    for size in [1, 3, 100] {
        let mut watch = AuthWatch::default();
        let mut last = LoginEvent::Watching;
        for part in data.chunks(size) {
            let event = watch.feed(part);
            assert!(
                last == LoginEvent::Watching || last == event,
                "an end is final"
            );
            last = event;
        }
        assert_eq!(last, whole, "in parts of {size}");
    }
    if let Some(offer) = without_channel_binding(data) {
        assert!(offer.len() <= data.len());
        assert_eq!(
            without_channel_binding(&offer),
            Some(offer.clone()),
            "once is enough"
        );
    }
});
