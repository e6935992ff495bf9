//! Access lists and replacing files.

use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::path::Path;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{CloseHandle, GENERIC_WRITE, INVALID_HANDLE_VALUE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES};
use windows_sys::Win32::Storage::FileSystem::{
    CREATE_NEW, CreateFileW, FILE_APPEND_DATA, FILE_ATTRIBUTE_NORMAL, FILE_CREATION_DISPOSITION,
    FILE_READ_ATTRIBUTES, FILE_SHARE_DELETE, FILE_SHARE_READ, OPEN_ALWAYS, SYNCHRONIZE,
};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, MapViewOfFile, PAGE_READONLY, UnmapViewOfFile,
};

use crate::wide::wide;

/// A protected list (nothing inherited) with full access for the owner, SYSTEM and Administrators.
/// <https://learn.microsoft.com/windows/win32/secauthz/security-descriptor-string-format>
const OWNER_ONLY: &str = "D:P(A;;FA;;;OW)(A;;FA;;;SY)(A;;FA;;;BA)";

/// A new empty file for the owner, SYSTEM and Administrators, from its first moment; one left behind by a
/// crash gives way, since an existing file would keep the access list it has.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    open_owned(path, GENERIC_WRITE, CREATE_NEW)
}

/// A file to append to: a new one for the owner, SYSTEM and Administrators; one that is there keeps its access list.
pub(super) fn append_private(path: &Path) -> io::Result<File> {
    open_owned(path, FILE_APPEND_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE, OPEN_ALWAYS)
}

/// Opens a file with these rights. One that this makes is for the owner, SYSTEM and Administrators.
fn open_owned(path: &Path, rights: u32, how: FILE_CREATION_DISPOSITION) -> io::Result<File> {
    let descriptor = Descriptor::parse(OWNER_ONLY)?;
    let attributes = SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: descriptor.0,
        bInheritHandle: 0,
    };
    let path = wide(path)?;
    // SAFETY: CreateFileW reads a NUL-terminated path and attributes that both outlive the call.
    let handle = unsafe {
        CreateFileW(
            path.as_ptr(),
            rights,
            FILE_SHARE_READ | FILE_SHARE_DELETE,
            &raw const attributes,
            how,
            FILE_ATTRIBUTE_NORMAL,
            null_mut(),
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is valid, just made, and nobody else's.
    Ok(unsafe { File::from_raw_handle(handle) })
}

/// Puts `draft` in the place of `path`, also while a reader has `path` open. NTFS logs the change of name, so
/// after a power cut there is the one file or the other. (`ReplaceFile` would keep the old access list.)
pub(super) fn replace(draft: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(draft, path)
}

/// The process that holds a lock file. Locks are mandatory here: reading the file fails while another holds
/// it. A mapped view is exempt from byte-range locks, so the number is read through one.
pub(super) fn holder(file: &mut File) -> Option<u32> {
    super::read_pid(file).or_else(|| read_mapped_pid(file))
}

fn read_mapped_pid(file: &File) -> Option<u32> {
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?.min(32);
    if length == 0 {
        return None;
    }
    // SAFETY: the file's handle is open for reading; no name and no attributes are passed.
    let mapping = unsafe { CreateFileMappingW(file.as_raw_handle(), null(), PAGE_READONLY, 0, 0, null()) };
    if mapping.is_null() {
        return None;
    }
    // SAFETY: `mapping` is a valid section of at least `length` bytes.
    let view = unsafe { MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, length) };
    let mut text = [0_u8; 32];
    if !view.Value.is_null() {
        // SAFETY: the view is `length` bytes long and readable, `text` is at least as long, and they are apart.
        unsafe { std::ptr::copy_nonoverlapping(view.Value.cast(), text.as_mut_ptr(), length) };
        // SAFETY: the view was mapped above and is not used any more.
        unsafe { UnmapViewOfFile(view) };
    }
    // SAFETY: the handle was made above and is closed once.
    unsafe { CloseHandle(mapping) };
    std::str::from_utf8(&text[..length]).ok()?.trim().parse().ok()
}

/// A security descriptor made from text.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    fn parse(sddl: &str) -> io::Result<Self> {
        let sddl = wide(sddl)?;
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
        if made == 0 { Err(io::Error::last_os_error()) } else { Ok(Self(descriptor)) }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the conversion allocated it with LocalAlloc, and it is freed once.
        unsafe { LocalFree(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::windows::ffi::OsStringExt;

    use windows_sys::Win32::Security::Authorization::ConvertSecurityDescriptorToStringSecurityDescriptorW;
    use windows_sys::Win32::Security::{DACL_SECURITY_INFORMATION, GetFileSecurityW};

    use super::*;

    #[test]
    fn the_number_in_a_lock_file_is_read_through_a_view() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(read_mapped_pid(&file), None);
        io::Write::write_all(&mut file, b"4711\n").unwrap();
        assert_eq!(read_mapped_pid(&file), Some(4711));
    }

    #[test]
    #[ignore = "real_windows: Wine keeps access lists as Unix modes"]
    fn on_real_windows_a_private_file_is_for_owner_system_and_administrators_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "left behind, for everybody").unwrap();
        create_private(&path).unwrap();
        assert_eq!(access_list(&path), OWNER_ONLY);
    }

    fn access_list(path: &Path) -> OsString {
        let path = wide(path).unwrap();
        let mut descriptor = [0_u64; 512];
        let mut needed = 0;
        // SAFETY: the path is NUL-terminated; the buffer's length is passed along, and u64 aligns it.
        let read = unsafe {
            GetFileSecurityW(
                path.as_ptr(),
                DACL_SECURITY_INFORMATION,
                descriptor.as_mut_ptr().cast(),
                size_of_val(&descriptor) as u32,
                &raw mut needed,
            )
        };
        assert_ne!(read, 0, "{}", io::Error::last_os_error());
        let (mut text, mut length) = (null_mut(), 0);
        // SAFETY: the descriptor was just filled; text and length are written through pointers valid for the call.
        let told = unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                descriptor.as_mut_ptr().cast(),
                SDDL_REVISION_1,
                DACL_SECURITY_INFORMATION,
                &raw mut text,
                &raw mut length,
            )
        };
        assert_ne!(told, 0, "{}", io::Error::last_os_error());
        // SAFETY: the call allocated `length` units, the closing NUL among them.
        let units = unsafe { std::slice::from_raw_parts(text, length as usize) };
        let end = units.iter().position(|&unit| unit == 0).unwrap_or(units.len());
        let list = OsString::from_wide(&units[..end]);
        // SAFETY: allocated by the call above with LocalAlloc, freed once.
        unsafe { LocalFree(text.cast()) };
        list
    }
}
