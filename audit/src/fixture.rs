//! Records and keys for tests.

use jiff::Timestamp;
use proptest::option;
use proptest::prelude::*;

use crate::{
    Action, Actor, Event, Hash, Origin, Outcome, Pod, Record, Resource, ResourceKind, SigningKey,
    chain_hash,
};

/// A pod's read as record `sequence`, chained to nothing.
pub(crate) fn record(sequence: u64) -> Record {
    Record::new(sequence, time(sequence), read(), &Hash::GENESIS)
}

pub(crate) fn time(sequence: u64) -> Timestamp {
    Timestamp::new(1_764_000_000 + i64::try_from(sequence).unwrap(), 123_456_789).unwrap()
}

pub(crate) fn read() -> Event {
    let text = str::to_owned;
    let pod = Pod {
        namespace: text("shop-prod"),
        service_account: text("api"),
        name: text("api-7f"),
        uid: text("5c1e"),
    };
    Event {
        actor: Actor::Pod(pod),
        action: Action::Read,
        resource: Resource {
            kind: ResourceKind::Bundle,
            id: text("api-prod"),
            scope: Some(text("shop.prod.api")),
        },
        version: Some(3),
        outcome: Outcome::Allowed,
        origin: Origin {
            address: Some([192, 0, 2, 7].into()),
            user_agent: Some(text("enclii-agent/0.1.0")),
            trace_id: Some(text("4bf9")),
        },
        details: Some(text("own service")),
    }
}

/// One record of each kind that the export formats distinguish.
pub(crate) fn kinds() -> Vec<Record> {
    let user = Actor::User { name: "ann|e=x@example.com".to_owned() };
    let secret = Resource {
        kind: ResourceKind::Secret,
        id: "DATABASE_URL".to_owned(),
        scope: Some("shop.prod".to_owned()),
    };
    let write = Event {
        actor: user.clone(),
        action: Action::Write,
        resource: secret.clone(),
        version: Some(1),
        ..read()
    };
    let denied = Event {
        actor: Actor::Token { name: "ci".to_owned() },
        action: Action::Denied,
        outcome: Outcome::Denied,
        origin: Origin {
            address: Some("2001:db8::1".parse().unwrap()),
            user_agent: Some("curl/8.1 \\ \"a\"=|b".to_owned()),
            trace_id: None,
        },
        details: Some("no rule\nallows it".to_owned()),
        resource: secret,
        version: None,
    };
    let login = Event {
        actor: user,
        action: Action::Login,
        resource: Resource { kind: ResourceKind::Session, id: "s1".to_owned(), scope: None },
        version: None,
        ..read()
    };
    let sweep = Event {
        actor: Actor::System { part: "retention" },
        action: Action::Destroy,
        outcome: Outcome::Failed,
        origin: Origin::default(),
        ..read()
    };
    let events = [read(), write, denied, login, sweep];
    link(
        events
            .into_iter()
            .zip(1..)
            .map(|(event, sequence)| Record::new(sequence, time(sequence), event, &Hash::GENESIS))
            .collect(),
    )
}

/// A deterministic signing key.
pub(crate) fn key(seed: u8) -> SigningKey {
    let head = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    SigningKey::from_pkcs8(&[&head[..], &[seed; 32]].concat()).unwrap()
}

/// A complete chain of `length` records.
pub(crate) fn chain_of(length: u64) -> Vec<Record> {
    link((1..=length).map(record).collect())
}

/// Recomputes all hashes in the given order.
pub(crate) fn link(mut records: Vec<Record>) -> Vec<Record> {
    let mut previous = Hash::GENESIS;
    for record in &mut records {
        record.hash = chain_hash(&previous, record);
        previous = record.hash;
    }
    records
}

/// Any record, with arbitrary text in every field.
pub(crate) fn anything() -> impl Strategy<Value = Record> {
    let text =
        || prop_oneof!["\\PC{0,8}", "[=|\\\\\\]\"\n\r\t\u{0}\u{1b} %a]{0,8}", any::<String>()];
    let pod = (text(), text(), text(), text());
    let pod = option::of(pod.prop_map(|(namespace, service_account, name, uid)| Pod {
        namespace,
        service_account,
        name,
        uid,
    }));
    let head = (
        any::<u64>(),
        -62_135_596_800_000i64..253_402_207_200_000,
        any::<[u8; 32]>(),
        option::of(any::<u64>()),
    );
    let words = [text(), text(), text(), text(), text(), text()];
    let rest = [
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(text()),
    ];
    (head, words, rest, pod).prop_map(|((sequence, at, hash, version), words, rest, pod)| {
        let [actor_type, actor_id, action, resource_type, resource_id, outcome] = words;
        let [scope, address, user_agent, trace_id, details] = rest;
        Record {
            sequence,
            at: Timestamp::from_millisecond(at).unwrap(),
            actor_type,
            actor_id,
            action,
            resource_type,
            resource_id,
            scope,
            version,
            outcome,
            address,
            user_agent,
            trace_id,
            pod,
            details,
            hash: Hash(hash),
        }
    })
}

/// The number of cases of [`change`].
pub(crate) const CHANGES: usize = 19;

/// The record with one field changed that its hash must cover.
pub(crate) fn change(record: &Record, way: usize) -> Record {
    let mut it = record.clone();
    match way {
        0 => it.sequence = it.sequence.wrapping_add(1),
        1 => it.at = Timestamp::from_nanosecond(it.at.as_nanosecond() + 1).unwrap(),
        2 => it.actor_type.push('x'),
        3 => it.actor_id.push('x'),
        4 => it.action.push('x'),
        5 => it.resource_type.push('x'),
        6 => it.resource_id.push('x'),
        7 => it.outcome.push('x'),
        8 => it.scope = toggle(it.scope),
        9 => it.address = toggle(it.address),
        10 => it.user_agent = toggle(it.user_agent),
        11 => it.trace_id = toggle(it.trace_id),
        12 => it.details = toggle(it.details),
        13 => it.version = if it.version.is_some() { None } else { Some(0) },
        14 => it.version = Some(it.version.unwrap_or(0).wrapping_add(1)),
        _ => {
            let mut pod = it.pod.unwrap_or_else(|| Pod {
                namespace: String::new(),
                service_account: String::new(),
                name: String::new(),
                uid: String::new(),
            });
            [&mut pod.namespace, &mut pod.service_account, &mut pod.name, &mut pod.uid][way - 15]
                .push('x');
            it.pod = Some(pod);
        }
    }
    it
}

fn toggle(text: Option<String>) -> Option<String> {
    if text.is_some() { None } else { Some(String::new()) }
}
