use proptest::prelude::*;

use super::*;
use crate::stream::CheckOutcome;
use crate::stream::frame::Decoder;

fn through_the_wire(bytes: &Redacted) -> Frame {
    let mut decoder = Decoder::default();
    decoder.push(bytes.expose());
    decoder.next_frame().unwrap().unwrap()
}

fn hold(values: Vec<Vec<u8>>) -> ServerMessage {
    let secrets = values
        .into_iter()
        .enumerate()
        .map(|(at, value)| {
            (
                format!("NAME_{at}").parse().unwrap(),
                HeldSecret { version: Version(7), value: value.into() },
            )
        })
        .collect();
    ServerMessage::Hold(Snapshot {
        bundles: vec![HeldBundle {
            bundle: "api-prod".parse().unwrap(),
            generation: Generation(3),
            tag: Some("4f0c".parse().unwrap()),
            secrets,
        }],
    })
}

#[test]
fn a_message_of_a_newer_kind_is_unknown_and_not_an_error() {
    let frame =
        Frame { header: br#"{"kind":"dance","tempo":120}"#.to_vec(), body: Redacted::default() };
    assert!(matches!(ServerMessage::decode(&frame).unwrap(), ServerMessage::Unknown));
    assert_eq!(AgentMessage::decode(&frame).unwrap(), AgentMessage::Unknown);
}

#[test]
fn the_messages_about_requests() {
    let ask = ServerMessage::CountRequests { seconds: 60 };
    let frame = through_the_wire(&ask.encode().unwrap());
    assert_eq!(frame.header, br#"{"kind":"count-requests","seconds":60}"#);
    let decoded = ServerMessage::decode(&frame).unwrap();
    assert!(matches!(decoded, ServerMessage::CountRequests { seconds: 60 }));
    let window =
        RequestWindow { at: 9, milliseconds: 1000, requests: 7, errors: 1, latency: vec![5, 2] };
    let (metric, bounds) = ("http_requests_total".to_owned(), vec![5000]);
    let sent = AgentMessage::Requests { metric, bounds, windows: vec![window] };
    let frame = through_the_wire(&sent.encode().unwrap());
    assert_eq!(AgentMessage::decode(&frame).unwrap(), sent);
    assert_eq!(
        String::from_utf8(frame.header).unwrap(),
        concat!(
            r#"{"kind":"requests","metric":"http_requests_total","bounds":[5000],"windows":["#,
            r#"{"at":9,"milliseconds":1000,"requests":7,"errors":1,"latency":[5,2]}]}"#,
        )
    );
}

#[test]
fn a_message_of_an_unknown_kind_cannot_be_sent() {
    assert!(matches!(ServerMessage::Unknown.encode(), Err(MessageError::Unknown)));
    assert!(matches!(AgentMessage::Unknown.encode(), Err(MessageError::Unknown)));
}

/// Agents and servers from before the tags send none, and skip those that they get.
#[test]
fn a_generation_without_a_tag_is_one_that_is_not_known() {
    let hello =
        br#"{"kind":"hello","agent":"0.1.0","holds":[{"bundle":"api-prod","generation":2}]}"#;
    let frame = Frame { header: hello.to_vec(), body: Redacted::default() };
    let AgentMessage::Hello { holds, .. } = AgentMessage::decode(&frame).unwrap() else { panic!() };
    assert_eq!((holds[0].generation, &holds[0].tag), (Generation(2), &None));
    let hello = AgentMessage::Hello {
        agent: "0.1.0".into(),
        holds,
        refused: vec![],
        counts_requests: false,
    };
    let sent = through_the_wire(&hello.encode().unwrap());
    assert_eq!(
        String::from_utf8(sent.header).unwrap(),
        r#"{"kind":"hello","agent":"0.1.0","holds":[{"bundle":"api-prod","generation":2}]}"#
    );
    let header =
        br#"{"kind":"hold","bundles":[{"bundle":"api-prod","generation":1,"secrets":[]}]}"#;
    let frame = Frame { header: header.to_vec(), body: Redacted::default() };
    let ServerMessage::Hold(snapshot) = ServerMessage::decode(&frame).unwrap() else { panic!() };
    assert_eq!(snapshot.holds()[0].tag, None);
}

/// A newer agent may have steps, stages and outcomes that this build does not know.
#[test]
fn an_unknown_word_in_a_report_is_not_an_error() {
    let frame = |header: &str| Frame { header: header.into(), body: Redacted::default() };
    let failed = frame(r#"{"kind":"failed","wanted":[],"step":"sing","detail":""}"#);
    let AgentMessage::Failed { step, .. } = AgentMessage::decode(&failed).unwrap() else {
        panic!()
    };
    assert_eq!(step, FailedStep::Unknown);
    let checked = frame(concat!(
        r#"{"kind":"checked","wanted":[],"stage":"later","#,
        r#""checks":[{"check":"dns=x","outcome":"perhaps","detail":""}]}"#,
    ));
    let AgentMessage::Checked { stage, checks, .. } = AgentMessage::decode(&checked).unwrap()
    else {
        panic!()
    };
    assert_eq!((stage, checks[0].outcome), (CheckStage::Unknown, CheckOutcome::Unknown));
}

#[test]
fn a_token_is_in_the_body_and_not_in_the_header() {
    let message = AgentMessage::Token { token: Redacted::from(b"hunter2".as_slice()) };
    let sent = through_the_wire(&message.encode().unwrap());
    assert_eq!(
        (sent.header.as_slice(), sent.body.expose()),
        (&br#"{"kind":"token"}"#[..], &b"hunter2"[..])
    );
    assert!(!format!("{message:?}").contains("hunter2"));
}

#[test]
fn a_body_that_does_not_fit_is_refused() {
    let header = concat!(
        r#"{"kind":"hold","bundles":[{"bundle":"api-prod","generation":1,"#,
        r#""secrets":[{"name":"A","version":1,"length":5}]}]}"#,
    );
    for body in [b"four".as_slice(), b"sixsix"] {
        let frame = Frame { header: header.as_bytes().to_vec(), body: Redacted::from(body) };
        assert!(matches!(ServerMessage::decode(&frame), Err(MessageError::Body { .. })));
    }
}

#[test]
fn a_snapshot_over_the_limits_is_refused_before_it_is_sent() {
    assert!(matches!(
        hold(vec![vec![0; MAX_POD_BYTES], vec![0]]).encode(),
        Err(MessageError::TooLarge(2, _))
    ));
}

#[test]
fn agent_messages_round_trip() {
    let holds = vec![
        BundleGeneration {
            bundle: "api-prod".parse().unwrap(),
            generation: Generation(2),
            tag: Some("4f0c".parse().unwrap()),
        },
        BundleGeneration {
            bundle: "web-prod".parse().unwrap(),
            generation: Generation(2),
            tag: None,
        },
    ];
    for message in [
        AgentMessage::Hello {
            agent: "0.1.0".into(),
            holds: vec![],
            refused: holds.clone(),
            counts_requests: true,
        },
        AgentMessage::Checked {
            wanted: holds.clone(),
            stage: CheckStage::After,
            checks: vec![CheckResult {
                check: "tls=8443".into(),
                outcome: CheckOutcome::Passed,
                in_use: Some(true),
                detail: "serves the file's certificate".into(),
            }],
        },
        AgentMessage::Applied { holds: holds.clone(), reload: ReloadOutcome::Signalled },
        AgentMessage::Failed {
            wanted: holds,
            step: FailedStep::Reload,
            detail: "process 7 does not catch SIGHUP".into(),
        },
        AgentMessage::Token { token: Redacted::from(b"header.payload.signature".as_slice()) },
        AgentMessage::Pong,
    ] {
        assert_eq!(
            AgentMessage::decode(&through_the_wire(&message.encode().unwrap())).unwrap(),
            message
        );
    }
}

proptest! {
    #[test]
    fn a_snapshot_round_trips(values: Vec<Vec<u8>>) {
        let message = hold(values);
        let frame = through_the_wire(&message.encode().unwrap());
        let ServerMessage::Hold(back) = ServerMessage::decode(&frame).unwrap() else {
            panic!()
        };
        let ServerMessage::Hold(sent) = message else { panic!() };
        prop_assert_eq!(back, sent);
    }
}
