//! A PROXY protocol header: whatever comes, one answer within the bound that further bytes do not
//! change; and what is read can be written again.

#![no_main]

use dbgate::proxy_protocol::{Found, MAX_HEADER, Behind, Tlvs, read, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let whole = read(input);
    match whole {
        Ok(Found::NeedMore) => assert!(input.len() < MAX_HEADER),
        Ok(Found::Header(header, length)) => {
            assert!(length <= MAX_HEADER && length <= input.len());
            assert_eq!(read(&input[..length]), whole);
            assert_eq!(read(&input[..length - 1]), Ok(Found::NeedMore));
            if let Behind::Client(ends) = header.behind {
                let again = write(header.version, Some(ends), &Tlvs::default());
                assert_eq!(read(&again), Ok(Found::Header(header, again.len())));
            }
        }
        Ok(Found::Nothing) | Err(_) => {}
    }
    if let Some((_, shorter)) = input.split_last() {
        let before = read(shorter);
        assert!(before == Ok(Found::NeedMore) || before == whole);
    }
});
