//! Registry values as heartbeats: `RegNotifyChangeKeyValue` on one key, a value for each service.
//!
//! A text value is a note, a number is progress. The notification says that something has changed, not what; so
//! all values are read and compared with what was there before. Under Wine, and where the system saves work,
//! writing the same value again is no change: a heartbeat counts, or tells the time.

use std::collections::HashMap;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifesign_core::model::ServiceId;
use windows_sys::Win32::Foundation::{ERROR_MORE_DATA, ERROR_SUCCESS, WAIT_OBJECT_0};
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_CURRENT_USER, HKEY_LOCAL_MACHINE, KEY_NOTIFY, KEY_QUERY_VALUE, KEY_WOW64_64KEY, REG_BINARY,
    REG_DWORD, REG_NOTIFY_CHANGE_LAST_SET, REG_NOTIFY_CHANGE_NAME, REG_NOTIFY_THREAD_AGNOSTIC,
    REG_OPTION_NON_VOLATILE, REG_QWORD, REG_SZ, RegCloseKey, RegCreateKeyExW, RegEnumValueW,
    RegNotifyChangeKeyValue,
};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, ResetEvent, SetEvent, WaitForMultipleObjects,
};

use super::super::throttle::Throttle;
use super::super::{Access, Counters, Letter, Listening, MAX_LETTER, Post, Sender, Way};
use super::access::{Attributes, KEY_WRITER};
use crate::wide::wide;

/// Most values read; what is beyond them is not heard.
const MAX_VALUES: u32 = 4096;
/// Longest name of a value, in UTF-16 units with the closing zero: no service has a longer id.
const MAX_NAME: usize = 256;
/// How long a change waits for further ones: a writer in a loop costs one reading in this time.
const GATHER: Duration = Duration::from_millis(10);

pub(in super::super) fn registry(key: &str, access: &Access, post: Post) -> io::Result<Listening> {
    let key = Key::create(key, &Attributes::new(access, KEY_WRITER)?)?;
    let stop = Arc::new(event()?);
    let stopped = Arc::clone(&stop);
    std::thread::Builder::new().name("lifesign-registry".to_owned()).spawn(move || {
        if let Err(error) = watch(&key, &stopped, &post) {
            tracing::error!(%error, "Heartbeats in the registry are not heard any more");
        }
    })?;
    Ok(Listening::until(move || {
        // SAFETY: the event is open; the thread holds it too.
        unsafe { SetEvent(stop.as_raw_handle()) };
    }))
}

struct Key(HKEY);

// SAFETY: a key may be used and closed by any thread.
unsafe impl Send for Key {}

impl Key {
    fn create(path: &str, attributes: &Attributes) -> io::Result<Self> {
        let (root, rest) = path.split_once('\\').unwrap_or((path, ""));
        let root = match root.to_ascii_uppercase().as_str() {
            "HKLM" | "HKEY_LOCAL_MACHINE" => HKEY_LOCAL_MACHINE,
            "HKCU" | "HKEY_CURRENT_USER" => HKEY_CURRENT_USER,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{path:?} begins with neither HKLM\\ nor HKCU\\"),
                ));
            }
        };
        let name = wide(rest)?;
        let mut key = null_mut();
        // SAFETY: name and attributes outlive the call; the result goes through a pointer valid for it.
        let error = unsafe {
            RegCreateKeyExW(
                root,
                name.as_ptr(),
                0,
                null(),
                REG_OPTION_NON_VOLATILE,
                KEY_NOTIFY | KEY_QUERY_VALUE | KEY_WOW64_64KEY,
                attributes.as_ptr(),
                &raw mut key,
                null_mut(),
            )
        };
        if error == ERROR_SUCCESS { Ok(Self(key)) } else { Err(io::Error::from_raw_os_error(error as i32)) }
    }

    /// Sets `changed` at the next change.
    fn arm(&self, changed: &OwnedHandle) -> io::Result<()> {
        // SAFETY: the event is open; `reset` is manual, so a change before the wait is not lost.
        unsafe { ResetEvent(changed.as_raw_handle()) };
        let what = REG_NOTIFY_CHANGE_NAME | REG_NOTIFY_CHANGE_LAST_SET | REG_NOTIFY_THREAD_AGNOSTIC;
        // SAFETY: key and event are open; with the last flag the call returns at once.
        let error = unsafe { RegNotifyChangeKeyValue(self.0, 0, what, changed.as_raw_handle(), 1) };
        if error == ERROR_SUCCESS { Ok(()) } else { Err(io::Error::from_raw_os_error(error as i32)) }
    }

    /// Every value whose name is a service's: `Err` for one that is too long.
    fn values(&self) -> HashMap<ServiceId, Result<Vec<u8>, u32>> {
        let mut values = HashMap::new();
        let mut data = vec![0_u8; 2 * MAX_LETTER + 2];
        for index in 0..MAX_VALUES {
            let mut name = [0_u16; MAX_NAME];
            let (mut name_length, mut length, mut kind) = (name.len() as u32, data.len() as u32, 0);
            // SAFETY: both buffers are as long as their lengths say, and everything outlives the call.
            let error = unsafe {
                RegEnumValueW(
                    self.0,
                    index,
                    name.as_mut_ptr(),
                    &raw mut name_length,
                    null(),
                    &raw mut kind,
                    data.as_mut_ptr(),
                    &raw mut length,
                )
            };
            let name = || {
                let end = name.iter().position(|unit| *unit == 0).unwrap_or(0);
                ServiceId::new(&String::from_utf16_lossy(&name[..end]).to_ascii_lowercase()).ok()
            };
            match error {
                ERROR_SUCCESS => {
                    let bytes = &data[..data.len().min(length as usize)];
                    values.extend(name().map(|id| (id, Ok(note(kind, bytes)))));
                }
                ERROR_MORE_DATA => values.extend(name().map(|id| (id, Err(length)))),
                _ => break,
            }
        }
        values
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: opened in `create`, closed once.
        unsafe { RegCloseKey(self.0) };
    }
}

/// The bytes of a value as a note.
fn note(kind: u32, bytes: &[u8]) -> Vec<u8> {
    match (kind, bytes) {
        (REG_SZ, _) => {
            let units: Vec<u16> =
                bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned().into_bytes()
        }
        (REG_DWORD, [a, b, c, d]) => {
            format!("progress={}", u32::from_le_bytes([*a, *b, *c, *d])).into_bytes()
        }
        (REG_QWORD, [a, b, c, d, e, f, g, h]) => {
            format!("progress={}", u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h])).into_bytes()
        }
        (REG_BINARY, _) => bytes.to_vec(),
        // Refused by whoever reads it, with its name.
        (other, _) => format!("registry-type-{other}").into_bytes(),
    }
}

fn watch(key: &Key, stop: &OwnedHandle, post: &Post) -> io::Result<()> {
    let changed = event()?;
    let mut throttle = Throttle::new(post.rate);
    key.arm(&changed)?;
    // What lies there already is no sign of life.
    let mut known = key.values();
    loop {
        let handles = [stop.as_raw_handle(), changed.as_raw_handle()];
        // SAFETY: both events are open for the whole wait.
        let woken = unsafe { WaitForMultipleObjects(2, handles.as_ptr(), 0, INFINITE) };
        if woken != WAIT_OBJECT_0 + 1 {
            return Ok(());
        }
        std::thread::sleep(GATHER);
        // Armed before the reading, so a change during it is heard too.
        key.arm(&changed)?;
        let present = key.values();
        for (service, value) in &present {
            if known.get(service) == Some(value) {
                continue;
            }
            let Some(bytes) = value.as_ref().ok().filter(|bytes| bytes.len() <= MAX_LETTER) else {
                Counters::one(&post.counters.oversized);
                continue;
            };
            if !throttle.admits(service.clone(), Instant::now()) {
                Counters::one(&post.counters.throttled);
                continue;
            }
            let letter = Letter {
                way: Way::Registry,
                sender: Sender::default(),
                service: Some(service.clone()),
                bytes: bytes.clone(),
            };
            if !post.drop_in(letter) {
                return Ok(());
            }
        }
        known = present;
    }
}

/// An event that stays set until it is reset.
fn event() -> io::Result<OwnedHandle> {
    // SAFETY: no attributes and no name are passed; a null result is an error.
    let event = unsafe { CreateEventW(null(), 1, 0, null()) };
    if event.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is valid, just made, and nobody else's.
    Ok(unsafe { OwnedHandle::from_raw_handle(event) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_progress_and_texts_are_notes() {
        assert_eq!(note(REG_DWORD, &7_u32.to_le_bytes()), b"progress=7");
        assert_eq!(note(REG_QWORD, &(1_u64 << 40).to_le_bytes()), b"progress=1099511627776");
        let text: Vec<u8> = "alive cpu=1\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(note(REG_SZ, &text), b"alive cpu=1");
        assert_eq!(note(REG_BINARY, b"fail"), b"fail");
        assert!(note(REG_DWORD, b"xx").starts_with(b"registry-type"));
    }
}
