//! `cargo +nightly fuzz run link` in `crates/proto`: whatever comes over a link, no reader panics, and what was read
//! is written so that it is read alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifesign_core::time::Mono;
use lifesign_proto::link::{Downlink, Frame, Framer, Happened, MAX_FRAME};

fuzz_target!(|bytes: &[u8]| {
    let mut framer = Framer::default();
    framer.take(bytes);
    let (mut server, mut deeds) = (Downlink::new(Mono::ZERO), Vec::new());
    while let Some(frame) = framer.next_frame() {
        if let Ok(frame) = &frame {
            let mut written = Vec::new();
            frame.write(&mut written).expect("what was read is no larger than what may be written");
            assert!(written.len() <= MAX_FRAME + 4);
            assert_eq!(&Frame::read(&written[4..]).expect("it was written by us"), frame);
        }
        let is_over = frame.is_err();
        server.step(Mono::ZERO, Happened::Received(frame), &mut deeds);
        server.step(Mono::ZERO, Happened::Admitted { taken: 0 }, &mut deeds);
        if is_over {
            break;
        }
    }
});
