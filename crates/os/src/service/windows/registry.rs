//! The few values under `HKEY_LOCAL_MACHINE` that a service is registered with.

use std::io;
use std::ptr::{null, null_mut};

use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_LOCAL_MACHINE, KEY_QUERY_VALUE, KEY_SET_VALUE, REG_DWORD, REG_EXPAND_SZ, REG_MULTI_SZ,
    REG_OPTION_NON_VOLATILE, RRF_NOEXPAND, RRF_RT_DWORD, RRF_RT_REG_EXPAND_SZ, RRF_RT_REG_MULTI_SZ,
    RRF_RT_REG_SZ, RegCloseKey, RegCreateKeyExW, RegDeleteKeyW, RegDeleteTreeW, RegGetValueW, RegOpenKeyExW,
    RegQueryInfoKeyW, RegSetValueExW,
};

use crate::wide::wide;

/// Most characters of a value that is read.
const LONGEST: usize = 2048;

/// An open key.
struct Key(HKEY);

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: the key is open and is closed once.
        unsafe { RegCloseKey(self.0) };
    }
}

fn answer(code: u32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}

fn create(key: &str) -> io::Result<Key> {
    let key = wide(key)?;
    let mut handle = null_mut();
    // SAFETY: the name is NUL-terminated, the handle is written through a valid pointer.
    let code = unsafe {
        RegCreateKeyExW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            0,
            null(),
            REG_OPTION_NON_VOLATILE,
            KEY_SET_VALUE,
            null(),
            &raw mut handle,
            null_mut(),
        )
    };
    answer(code).map(|()| Key(handle))
}

fn set(key: &str, name: &str, kind: u32, bytes: &[u8]) -> io::Result<()> {
    let key = create(key)?;
    let name = wide(name)?;
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the key is open, the name NUL-terminated, the bytes are as long as is said.
    answer(unsafe { RegSetValueExW(key.0, name.as_ptr(), 0, kind, bytes.as_ptr(), length) })
}

/// Writes a path whose `%variables%` the reader expands.
pub(super) fn write_path(key: &str, name: &str, path: &str) -> io::Result<()> {
    let bytes: Vec<u8> = wide(path)?.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    set(key, name, REG_EXPAND_SZ, &bytes)
}

/// Writes a list of texts, none of which is empty.
pub(super) fn write_list(key: &str, name: &str, list: &[String]) -> io::Result<()> {
    let mut units = Vec::new();
    for text in list {
        units.extend(wide(text)?);
    }
    units.push(0);
    let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    set(key, name, REG_MULTI_SZ, &bytes)
}

/// Writes a number.
pub(super) fn write_number(key: &str, name: &str, number: u32) -> io::Result<()> {
    set(key, name, REG_DWORD, &number.to_le_bytes())
}

/// Reads a text, unexpanded; `None` where there is none.
pub(super) fn read(key: &str, name: &str) -> Option<String> {
    let text = read_text(key, name, RRF_RT_REG_SZ | RRF_RT_REG_EXPAND_SZ | RRF_NOEXPAND)?;
    Some(text.trim_end_matches('\0').to_owned())
}

/// Reads a value of these kinds with the NULs that end it.
fn read_text(key: &str, name: &str, kinds: u32) -> Option<String> {
    let (key, name) = (wide(key).ok()?, wide(name).ok()?);
    let mut buffer = vec![0_u16; LONGEST];
    let mut bytes = u32::try_from(buffer.len() * 2).ok()?;
    // SAFETY: names are NUL-terminated, the buffer is as long as `bytes` says.
    let code = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            name.as_ptr(),
            kinds,
            null_mut(),
            buffer.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    answer(code).ok()?;
    let text = buffer.get(..bytes as usize / 2)?;
    Some(String::from_utf16_lossy(text))
}

/// Reads a list of texts; `None` where there is none.
pub(super) fn read_list(key: &str, name: &str) -> Option<Vec<String>> {
    let text = read_text(key, name, RRF_RT_REG_MULTI_SZ)?;
    Some(text.split('\0').filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

/// Reads a number; `None` where there is none.
pub(super) fn read_number(key: &str, name: &str) -> Option<u32> {
    let (key, name) = (wide(key).ok()?, wide(name).ok()?);
    let mut number = 0_u32;
    let mut bytes = size_of::<u32>() as u32;
    // SAFETY: names are NUL-terminated, the number is as long as `bytes` says.
    let code = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            name.as_ptr(),
            RRF_RT_DWORD,
            null_mut(),
            (&raw mut number).cast(),
            &raw mut bytes,
        )
    };
    answer(code).ok().map(|()| number)
}

/// Removes a key that holds neither keys nor values; others stay.
pub(super) fn remove_empty(key: &str) -> io::Result<()> {
    let key = wide(key)?;
    let mut handle = null_mut();
    // SAFETY: the name is NUL-terminated, the handle is written through a valid pointer.
    answer(unsafe { RegOpenKeyExW(HKEY_LOCAL_MACHINE, key.as_ptr(), 0, KEY_QUERY_VALUE, &raw mut handle) })?;
    let open = Key(handle);
    let (mut keys, mut values) = (0, 0);
    // SAFETY: the key is open; two numbers are written through valid pointers, and nothing else is asked for.
    answer(unsafe {
        RegQueryInfoKeyW(
            open.0,
            null_mut(),
            null_mut(),
            null(),
            &raw mut keys,
            null_mut(),
            null_mut(),
            &raw mut values,
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
        )
    })?;
    drop(open);
    if keys != 0 || values != 0 {
        return Ok(());
    }
    // SAFETY: the name is NUL-terminated.
    answer(unsafe { RegDeleteKeyW(HKEY_LOCAL_MACHINE, key.as_ptr()) })
}

/// Removes a key with what is in it.
pub(super) fn remove(key: &str) -> io::Result<()> {
    let key = wide(key)?;
    // SAFETY: the name is NUL-terminated.
    answer(unsafe { RegDeleteTreeW(HKEY_LOCAL_MACHINE, key.as_ptr()) })
}
