//! The bytes of a stream between an agent and switchyard, in pieces, as both sides read them.

#![no_main]

use contract::stream::frame::{Decoder, Frame};
use contract::stream::{AgentMessage, ServerMessage};
use enclii_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says how long the pieces are.
    let Some((length, bytes)) = bytes.split_first() else { return };
    let length = usize::from(*length).max(1);
    bounded(|| {
        let mut decoder = Decoder::default();
        for piece in bytes.chunks(length) {
            decoder.push(piece);
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => read(&frame),
                    Ok(None) => break,
                    // The stream cannot go on.
                    Err(_) => return,
                }
            }
        }
    });
});

/// What was read is sent again and read the same.
fn read(frame: &Frame) {
    if let Ok(message) = ServerMessage::decode(frame)
        && let Ok(bytes) = message.encode()
    {
        let again = ServerMessage::decode(&whole(bytes.expose())).expect("it is read again");
        assert_eq!(format!("{again:?}"), format!("{message:?}"));
    }
    if let Ok(message) = AgentMessage::decode(frame)
        && let Ok(bytes) = message.encode()
    {
        let again = AgentMessage::decode(&whole(bytes.expose())).expect("it is read again");
        assert_eq!(again, message);
    }
}

fn whole(bytes: &[u8]) -> Frame {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    decoder.next_frame().ok().flatten().expect("a whole frame")
}
