//! Strings as Win32 takes them: UTF-16, ended by a NUL.

use std::ffi::OsStr;
use std::io;
use std::iter::once;
use std::os::windows::ffi::OsStrExt;

/// `text` in UTF-16 with a NUL at its end.
///
/// # Errors
/// When the text holds a NUL itself: the call would silently take the part before it.
pub(crate) fn wide(text: impl AsRef<OsStr>) -> io::Result<Vec<u16>> {
    let units: Vec<u16> = text.as_ref().encode_wide().chain(once(0)).collect();
    if units[..units.len() - 1].contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name holds a NUL character"));
    }
    Ok(units)
}
