use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;
use crate::control::error::ErrorCode;

/// Reads an answer as a later gateway may send it, with fields that are not known yet, and as an
/// earlier one may have, without any.
fn is_read<A: DeserializeOwned + Default + PartialEq + std::fmt::Debug>() {
    let later = r#"{"id":1,"ok":true,"not_yet":{"a":[1]}}"#;
    let read: A = serde_json::from_str(later).expect("unknown fields are ignored");
    assert_eq!(read, A::default());
}

#[test]
fn versions_understand_each_other() {
    is_read::<ExposeAnswer>();
    is_read::<HideAnswer>();
    is_read::<DeleteAnswer>();
    is_read::<ListAnswer>();
    is_read::<ShowAnswer>();
    is_read::<ExplainAnswer>();
    is_read::<SessionsAnswer>();
    is_read::<RejectsAnswer>();
    is_read::<StatusAnswer>();
    is_read::<ReloadAnswer>();
    is_read::<DiffAnswer>();
    is_read::<ExportAnswer>();
    is_read::<EventsAnswer>();
    is_read::<WatchAnswer>();
    let killed = r#"{"id":1,"ok":true,"killed":2,"not_yet":1}"#;
    let killed: KillAnswer = serde_json::from_str(killed).unwrap();
    assert_eq!((killed.killed, killed.missing), (2, Vec::new()));
    let nested = r#"{"databases":[{"name":"a","protocol":"tds","not_yet":1}],"not_yet":1}"#;
    let list: ListAnswer = serde_json::from_str(nested).unwrap();
    assert_eq!(list.databases[0].protocol, "tds");
    let error = r#"{"id":1,"ok":false,"error":{"code":"not_yet","message":"m","hint":"h"}}"#;
    let line: Envelope = serde_json::from_str(error).unwrap();
    let error = CommandError::new(ErrorCode::Refused, "m").hint("h");
    assert_eq!(line.error, Some(error));
    let update = r#"{"event":"update","uptime_ms":1,"not_yet":1,"events":[{"event":"not_yet","ts":"t","database":"a","x":1}]}"#;
    let update: Update = serde_json::from_str(update).unwrap();
    let Event::Other(event) = &update.events[0] else {
        panic!("{update:?}");
    };
    assert_eq!(
        (&*event.event, &*event.ts, event.database.as_deref()),
        ("not_yet", "t", Some("a"))
    );
}

#[test]
fn lines_keep_their_bytes() {
    let line = |answer| answer_line(&json!(7), &Ok(answer));
    assert_eq!(
        line(Answer::Kill(KillAnswer {
            killed: 1,
            missing: vec![3],
            keep_out: None,
        })),
        r#"{"id":7,"ok":true,"killed":1,"missing":[3]}"#
    );
    assert_eq!(
        line(Answer::Hide(PerDatabase::One(HideAnswer {
            database: "a".to_owned(),
            running: "keep".to_owned(),
            ..HideAnswer::default()
        }))),
        r#"{"id":7,"ok":true,"database":"a","changed":false,"dry_run":false,"revision":0,"hosts":[],"refused":[],"notes":[],"running":"keep","drain_ms":null,"sessions":0}"#
    );
    assert_eq!(
        line(Answer::Show(Box::new(ShowAnswer {
            database: DatabaseDetails {
                name: "a".to_owned(),
                origin: "config".to_owned(),
                backends: vec![BackendDetails {
                    address: "b:1".to_owned(),
                    state: "up".to_owned(),
                    weight: 1,
                    ..BackendDetails::default()
                }],
                ..DatabaseDetails::default()
            },
        }))),
        r#"{"id":7,"ok":true,"database":{"name":"a","state":"","origin":"config","settings":{},"exposures":[],"backends":[{"address":"b:1","state":"up","weight":1,"sessions":0,"bytes_in":0,"bytes_out":0}],"certificate":null,"sessions":0}}"#
    );
    assert_eq!(
        answer_line(&json!("x"), &Err(CommandError::not_found("no session 9"))),
        r#"{"id":"x","ok":false,"error":{"code":"not_found","message":"no session 9","hint":null}}"#
    );
    let missed = Event::Known(KnownEvent::Missed { count: 2 });
    assert_eq!(
        event_line(&json!(7), &missed),
        r#"{"id":7,"event":{"event":"missed","count":2}}"#
    );
    let reject = RejectGroup {
        count: 2,
        ..RejectGroup::default()
    };
    assert_eq!(
        serde_json::to_string(&reject).unwrap(),
        r#"{"id":0,"ts":"","client":"","listener":"","protocol":null,"reason":"","sni":null,"sni_status":null,"detail":"","remedy":null,"count":2,"first":"","last":""}"#
    );
}
