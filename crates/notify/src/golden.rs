//! Requests as they leave, compared with files that people have read.

use std::path::Path;

/// Compares `found` with `tests/golden/NAME`; `UPDATE_GOLDEN=1` writes the file anew.
pub(crate) fn compare(name: &str, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, format!("{found}\n")).unwrap();
    }
    let wanted = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run with UPDATE_GOLDEN=1", file.display()));
    assert_eq!(format!("{found}\n"), wanted.replace("\r\n", "\n"), "{name}");
}
