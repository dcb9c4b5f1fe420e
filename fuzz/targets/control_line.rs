//! A line on the control socket: whatever it holds, it is a request or an error that says why,
//! and the answer to it is one line of JSON.

#![no_main]

use dbgate::control::answer::{Answer, EventsAnswer, answer_line};
use dbgate::control::request::{Command, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let reply = match parse(line) {
        Ok(request) => {
            if let Command::Expose(expose) = &request.command {
                // Settings either make a declaration or an error; both must be sayable.
                let settings = expose.settings().map_err(|error| error.message);
                if let Ok(spec) = settings.and_then(|settings| settings.apply(None)) {
                    let text = serde_json::to_string(&spec).expect("a declaration is JSON");
                    let again = serde_json::from_str(&text).expect("and is read again");
                    assert_eq!(spec, again);
                }
            }
            answer_line(&request.id, &Ok(Answer::Events(EventsAnswer::default())))
        }
        Err(bad) => {
            assert!(!bad.error.message.is_empty());
            answer_line(&bad.id, &Err(bad.error))
        }
    };
    assert!(!reply.contains('\n'));
    let value: serde_json::Value = serde_json::from_str(&reply).expect("JSON");
    assert!(value["ok"].is_boolean());
});
