//! Bytes of a record -> `EventParser::parse`.
//!
//! Whatever the bytes are, it does not panic; a parser that has seen other records says the same as a new one; white
//! space, with which simd-json reads a record, changes nothing but its digest; what
//! counts as evidence has a source and a name of the relevance table, and is text and JSON.

#![no_main]

use std::cell::RefCell;

use keytrail::event::{EventParser, Origin, ParseError, Parsed, relevance};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static USED: RefCell<EventParser> = RefCell::default();
}

fuzz_target!(|bytes: &[u8]| {
    let origin = || Origin { object: "fuzz.json".into(), record: 0 };
    let fresh = EventParser::default().parse(bytes, origin());
    let used = USED.with_borrow_mut(|parser| parser.parse(bytes, origin()));
    match (&fresh, &used) {
        (Ok(Parsed::Relevant(fresh)), Ok(Parsed::Relevant(used))) => {
            assert_eq!(fresh, used, "a used parser says something else");
            assert!(relevance(&fresh.source, &fresh.name).is_some(), "{} {}", fresh.source, fresh.name);
            assert!(!fresh.event_id.to_string().is_empty());
            let parsed = serde_json::from_slice::<&serde_json::value::RawValue>(bytes);
            assert!(parsed.is_ok_and(|text| text.get().starts_with('{')), "evidence that is no JSON object");
        }
        (Ok(Parsed::Irrelevant), Ok(Parsed::Irrelevant)) => {}
        (Err(fresh), Err(used)) => {
            assert_eq!(fresh.to_string(), used.to_string(), "a used parser says something else");
            if matches!(fresh, ParseError::InvalidUtf8) {
                assert!(std::str::from_utf8(bytes).is_err(), "text is called no text");
            }
        }
        _ => panic!("a used parser says something else: {fresh:?} {used:?}"),
    }
    let Some(rest) = bytes.strip_prefix(b"{") else { return };
    match (fresh, EventParser::default().parse(&[b"{ ", rest].concat(), origin())) {
        (Ok(Parsed::Relevant(compact)), Ok(Parsed::Relevant(mut spaced))) => {
            spaced.digest = compact.digest;
            if spaced.event_id.to_string().starts_with("no-event-id:") {
                spaced.event_id = compact.event_id.clone();
            }
            assert_eq!(compact, spaced, "white space changes what a record says");
        }
        (Ok(Parsed::Irrelevant), Ok(Parsed::Irrelevant)) | (Err(_), Err(_)) => {}
        (compact, spaced) => panic!("white space changes what a record is: {compact:?} {spaced:?}"),
    }
});
