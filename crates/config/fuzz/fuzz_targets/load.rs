//! Any bytes as a configuration file: loading must answer, and what it shows must be readable again.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use lifesign_config::{Kinds, Outside, load_text};

fuzz_target!(|bytes: &[u8]| {
    let kinds = Kinds::<(), ()> { checks: Vec::new(), receivers: Vec::new() };
    let outside = Outside { variable: &|name| (name == "SET").then(|| "value".to_owned()) };
    for name in ["fuzz.yaml", "fuzz.json"] {
        match load_text(name, Path::new("/nowhere"), bytes, &kinds, &outside) {
            Ok(loaded) => {
                let shown = loaded.show();
                let again =
                    load_text("shown.yaml", Path::new("/nowhere"), shown.as_bytes(), &kinds, &outside);
                assert!(again.is_ok(), "what is shown cannot be read again");
            }
            Err(report) => assert!(!report.to_string().is_empty()),
        }
    }
});
