//! Who may write, as access lists.

use std::io;
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{LookupAccountNameW, PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES};

use super::super::Access;
use crate::wide::wide;

/// What the rights of a writer are called on a pipe: read, write, but not "make another instance" (that is
/// FILE_APPEND_DATA), or a writer could pose as lifesign to the others.
pub(super) const PIPE_WRITER: &str = "0x12019b";
/// On a section: query, map for reading and writing.
pub(super) const SECTION_WRITER: &str = "0x7";
/// On a registry key: read and set values.
pub(super) const KEY_WRITER: &str = "0x20003";

/// Attributes for `CreateX` calls, with the access list they point at.
pub(super) struct Attributes {
    descriptor: PSECURITY_DESCRIPTOR,
    attributes: SECURITY_ATTRIBUTES,
}

impl Attributes {
    /// Full access for lifesign's user, SYSTEM and Administrators; `writer` for whom `access` lets in.
    pub(super) fn new(access: &Access, writer: &str) -> io::Result<Self> {
        let sddl = wide(list(access, writer)?)?;
        let mut descriptor = null_mut();
        // SAFETY: the text is NUL-terminated, the result goes through a pointer valid for the call.
        let made = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                sddl.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        };
        if made == 0 {
            return Err(io::Error::last_os_error());
        }
        let attributes = SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: descriptor,
            bInheritHandle: 0,
        };
        Ok(Self { descriptor, attributes })
    }

    /// Valid as long as `self`.
    pub(super) fn as_ptr(&self) -> *const SECURITY_ATTRIBUTES {
        &raw const self.attributes
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the conversion allocated it with LocalAlloc, and it is freed once.
        unsafe { LocalFree(self.descriptor) };
    }
}

// SAFETY: the descriptor is plain memory that nobody changes.
unsafe impl Send for Attributes {}
// SAFETY: as above.
unsafe impl Sync for Attributes {}

fn list(access: &Access, writer: &str) -> io::Result<String> {
    let others = match access {
        Access::Owner => String::new(),
        Access::Group(account) => format!("(A;;{writer};;;{})", sid(account)?),
        Access::Everyone => format!("(A;;{writer};;;AU)"),
    };
    Ok(format!("D:P(A;;GA;;;OW)(A;;GA;;;SY)(A;;GA;;;BA){others}"))
}

/// The SID of an account; a SID, or SDDL's two letters for a well-known one, as it is.
fn sid(account: &str) -> io::Result<String> {
    let is_sid =
        account.starts_with("S-1-") && account.bytes().all(|b| b.is_ascii_digit() || b"S-".contains(&b));
    let is_short = account.len() == 2 && account.bytes().all(|b| b.is_ascii_uppercase());
    if is_sid || is_short {
        return Ok(account.to_owned());
    }
    let name = wide(account)?;
    let (mut sid, mut domain) = ([0_u64; 16], [0_u16; 256]);
    let (mut sid_length, mut domain_length, mut kind) = (size_of_val(&sid) as u32, domain.len() as u32, 0);
    // SAFETY: name is NUL-terminated; both buffers are as long as their lengths say; u64 aligns the SID.
    let found = unsafe {
        LookupAccountNameW(
            std::ptr::null(),
            name.as_ptr(),
            sid.as_mut_ptr().cast(),
            &raw mut sid_length,
            domain.as_mut_ptr(),
            &raw mut domain_length,
            &raw mut kind,
        )
    };
    if found == 0 {
        let error = io::Error::last_os_error();
        return Err(io::Error::new(error.kind(), format!("there is no account {account:?} ({error})")));
    }
    // SAFETY: the call above filled in a valid SID.
    unsafe { sid_text(sid.as_mut_ptr().cast()) }
}

/// A SID as text.
///
/// # Safety
/// `sid` points at a valid SID.
pub(super) unsafe fn sid_text(sid: windows_sys::Win32::Security::PSID) -> io::Result<String> {
    let mut text = null_mut();
    // SAFETY: the caller's promise; the result goes through a pointer valid for the call.
    if unsafe { ConvertSidToStringSidW(sid, &raw mut text) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut units = Vec::new();
    let mut at = text;
    loop {
        // SAFETY: the text is NUL-terminated, and the loop ends there.
        let unit = unsafe { at.read() };
        if unit == 0 {
            break;
        }
        units.push(unit);
        // SAFETY: the closing NUL still lies ahead.
        at = unsafe { at.add(1) };
    }
    // SAFETY: allocated by the call above with LocalAlloc, freed once.
    unsafe { LocalFree(text.cast()) };
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_its_writers_and_no_stranger() {
        assert_eq!(list(&Access::Owner, "0x2").unwrap(), "D:P(A;;GA;;;OW)(A;;GA;;;SY)(A;;GA;;;BA)");
        assert!(list(&Access::Everyone, "0x2").unwrap().ends_with("(A;;0x2;;;AU)"));
        assert!(list(&Access::Group("S-1-5-32-545".to_owned()), "0x2").unwrap().ends_with(";S-1-5-32-545)"));
        assert!(list(&Access::Group("no such account here".to_owned()), "0x2").is_err());
        for writer in [PIPE_WRITER, SECTION_WRITER, KEY_WRITER] {
            Attributes::new(&Access::Everyone, writer).unwrap();
        }
    }
}
