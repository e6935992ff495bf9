//! Identities and access lists, as text at the rim ([`super::sddl`]) and as descriptors inside.

use std::io;
use std::path::Path;
use std::ptr::null_mut;

use windows_service::service::Service;
use windows_sys::Win32::Foundation::{LocalFree, NTSTATUS};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::Cryptography::{BCRYPT_SHA1_ALG_HANDLE, BCryptHash};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetFileSecurityW, PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR,
    SetFileSecurityW,
};
use windows_sys::Win32::System::Services::{
    ChangeServiceConfig2W, CloseServiceHandle, OpenSCManagerW, OpenServiceW, QueryServiceObjectSecurity,
    SC_HANDLE, SC_MANAGER_CONNECT, SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO,
    SERVICE_REQUIRED_PRIVILEGES_INFOW, SetServiceObjectSecurity,
};

use super::sddl;
use crate::wide::wide;

/// Largest access list that is read: Windows itself allows 64 KiB.
const LARGEST: usize = 64 * 1024;
/// `READ_CONTROL` and `WRITE_DAC`, standard rights of every object.
const READ_CONTROL: u32 = 0x0002_0000;
const WRITE_DAC: u32 = 0x0004_0000;

/// The identity of the service `name`, worked out: the system knows it only once the service exists.
pub(super) fn service_sid(name: &str) -> io::Result<String> {
    let bytes: Vec<u8> = name.to_uppercase().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut hash = [0; 20];
    // SAFETY: a pseudo handle, no secret, and two buffers as long as is said.
    let status: NTSTATUS = unsafe {
        BCryptHash(
            BCRYPT_SHA1_ALG_HANDLE,
            std::ptr::null(),
            0,
            bytes.as_ptr(),
            length,
            hash.as_mut_ptr(),
            hash.len() as u32,
        )
    };
    if status < 0 {
        return Err(io::Error::other(format!("the system made no SHA-1 (status {status:#x})")));
    }
    Ok(sddl::service_sid(hash))
}

/// A descriptor that the system has allocated.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    fn parse(text: &str) -> io::Result<Self> {
        let text = wide(text)?;
        let mut descriptor = null_mut();
        // SAFETY: the text is NUL-terminated; the descriptor is written through a valid pointer.
        let made = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
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
        // SAFETY: allocated by the system with LocalAlloc, freed once.
        unsafe { LocalFree(self.0) };
    }
}

/// The access list in `descriptor`, a self-relative descriptor, as text.
fn text_of(descriptor: &mut [u8]) -> io::Result<String> {
    let mut text = null_mut();
    let mut length = 0;
    // SAFETY: the buffer holds a descriptor that the system has just written; text and length are written through
    // valid pointers.
    let made = unsafe {
        ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor.as_mut_ptr().cast(),
            SDDL_REVISION_1,
            DACL_SECURITY_INFORMATION,
            &raw mut text,
            &raw mut length,
        )
    };
    if made == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system has written `length` units there.
    let units = unsafe { std::slice::from_raw_parts(text, length as usize) };
    let copy = String::from_utf16_lossy(units).trim_end_matches('\0').to_owned();
    // SAFETY: allocated by the system with LocalAlloc, freed once.
    unsafe { LocalFree(text.cast()) };
    Ok(copy)
}

/// A service, opened with these rights.
struct Opened(SC_HANDLE);

impl Opened {
    fn new(name: &str, rights: u32) -> io::Result<Self> {
        let name = wide(name)?;
        // SAFETY: null names mean this machine and its active database.
        let manager = unsafe { OpenSCManagerW(std::ptr::null(), std::ptr::null(), SC_MANAGER_CONNECT) };
        if manager.is_null() {
            return Err(io::Error::last_os_error());
        }
        let manager = Self(manager);
        // SAFETY: the manager's handle is open, the name is NUL-terminated.
        let service = unsafe { OpenServiceW(manager.0, name.as_ptr(), rights) };
        if service.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(service)) }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: the handle is open and is closed once.
        unsafe { CloseServiceHandle(self.0) };
    }
}

/// The access list of a service, as `sc sdshow` prints it.
pub(super) fn service_descriptor(name: &str) -> io::Result<String> {
    let service = Opened::new(name, READ_CONTROL)?;
    let mut buffer = vec![0; LARGEST];
    let mut needed = 0;
    // SAFETY: the handle is open, the buffer is as long as is said.
    let known = unsafe {
        QueryServiceObjectSecurity(
            service.0,
            DACL_SECURITY_INFORMATION,
            buffer.as_mut_ptr().cast(),
            LARGEST as u32,
            &raw mut needed,
        )
    };
    if known == 0 { Err(io::Error::last_os_error()) } else { text_of(&mut buffer) }
}

/// Sets the access list of a service, as `sc sdset` does.
pub(super) fn set_service_descriptor(name: &str, text: &str) -> io::Result<()> {
    let descriptor = Descriptor::parse(text)?;
    let service = Opened::new(name, WRITE_DAC)?;
    // SAFETY: the handle is open, the descriptor is whole.
    let set = unsafe { SetServiceObjectSecurity(service.0, DACL_SECURITY_INFORMATION, descriptor.0) };
    if set == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives a folder the access list `text`.
pub(super) fn set_folder_access(path: &Path, text: &str) -> io::Result<()> {
    set_file(path, text, DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION)
}

/// Adds `entry` to a file's access list, and says whether it was not there yet.
pub(super) fn add_to_file(path: &Path, entry: &str) -> io::Result<bool> {
    match sddl::with_entry(&access_of(path)?, entry) {
        Some(text) => set_file(path, &text, DACL_SECURITY_INFORMATION).map(|()| true),
        None => Ok(false),
    }
}

/// The access list of a folder or file as text.
pub(super) fn access_of(path: &Path) -> io::Result<String> {
    let name = wide(path)?;
    let mut buffer = vec![0; LARGEST];
    let mut needed = 0;
    // SAFETY: the name is NUL-terminated, the buffer is as long as is said.
    let known = unsafe {
        GetFileSecurityW(
            name.as_ptr(),
            DACL_SECURITY_INFORMATION,
            buffer.as_mut_ptr().cast(),
            LARGEST as u32,
            &raw mut needed,
        )
    };
    if known == 0 {
        return Err(io::Error::last_os_error());
    }
    text_of(&mut buffer)
}

fn set_file(path: &Path, text: &str, what: u32) -> io::Result<()> {
    let descriptor = Descriptor::parse(text)?;
    let path = wide(path)?;
    // SAFETY: the path is NUL-terminated, the descriptor is whole.
    let set = unsafe { SetFileSecurityW(path.as_ptr(), what, descriptor.0) };
    if set == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Leaves the service only `privileges` of its account's; an empty list takes the limit away.
pub(super) fn require_privileges(service: &Service, privileges: &[&str]) -> io::Result<()> {
    // A list of strings, each ended by a NUL, ended by one more.
    let mut list = Vec::new();
    for privilege in privileges {
        list.extend(wide(privilege)?);
    }
    list.push(0);
    if privileges.is_empty() {
        // An empty text ends the list at once, whatever is read behind it.
        list.push(0);
    }
    let mut info = SERVICE_REQUIRED_PRIVILEGES_INFOW { pmszRequiredPrivileges: list.as_mut_ptr() };
    // SAFETY: the handle is open, the structure belongs to the level, and its list outlives the call.
    let set = unsafe {
        ChangeServiceConfig2W(
            service.raw_handle(),
            SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO,
            (&raw mut info).cast(),
        )
    };
    if set == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
