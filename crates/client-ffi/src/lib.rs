//! `include/lifesign.h`: [`lifesign_client::Pulse`] for programs in C and whatever calls C.
//!
//! A crate of its own because a library for C is built as one (`cdylib`, `staticlib`), which nobody who links the
//! Rust client wants. No function waits, and none lets a panic out; a null heart is a heart that does nothing, so
//! a program need not ask whether lifesign is there.
#![allow(unsafe_code, reason = "strings and handles come from C")]

use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use lifesign_client::{Heart, Pulse, Status, Way};

/// A heart, as C knows it.
#[derive(Debug)]
pub struct LifesignHeart(Pulse);

/// Calls `body`; what a panic leaves is `otherwise`.
fn calmly<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// # Safety
/// `text` is null or ends in zero.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

/// # Safety
/// `heart` is null, or came from [`lifesign_connect`] and was not freed.
unsafe fn pulse<'a>(heart: *const LifesignHeart) -> Option<&'a Pulse> {
    // SAFETY: the caller's promise.
    unsafe { heart.as_ref() }.map(|heart| &heart.0)
}

/// Finds the best way to lifesign; null where there is none. A null or empty `service`: `LIFESIGN_SERVICE`.
///
/// # Safety
/// `service` is null or ends in zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lifesign_connect(service: *const c_char) -> *mut LifesignHeart {
    // SAFETY: the caller's promise.
    let service = unsafe { text(service) }.unwrap_or_default();
    let found = calmly(None, || Heart::connect(service).ok());
    found.map_or(std::ptr::null_mut(), |pulse| Box::into_raw(Box::new(LifesignHeart(pulse))))
}

/// Why [`lifesign_connect`] finds no way: writes a text of at most `size` bytes, zero included, into `words`, and
/// gives 1; 0 when it would find one.
///
/// # Safety
/// `service` is null or ends in zero; `words` has room for `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lifesign_why_not(service: *const c_char, words: *mut c_char, size: usize) -> c_int {
    // SAFETY: the caller's promise.
    let service = unsafe { text(service) }.unwrap_or_default();
    let why = calmly(Some("lifesign's client broke down".to_owned()), || {
        match Heart::connect(service) {
            Ok(pulse) => {
                // Only asked, not connected: no farewell.
                std::mem::forget(pulse);
                None
            }
            Err(why) => Some(why.to_string()),
        }
    });
    let Some(why) = why else { return 0 };
    if words.is_null() || size == 0 {
        return 1;
    }
    let length = why.floor_char_boundary(size - 1);
    // SAFETY: `words` has room for `size` bytes, of which `length` and a zero are written.
    unsafe { words.cast::<u8>().copy_from_nonoverlapping(why.as_ptr(), length) };
    // SAFETY: `length` is below `size`.
    let end = unsafe { words.add(length) };
    // SAFETY: as above.
    unsafe { end.write(0) };
    1
}

/// I am well.
///
/// # Safety
/// `heart` is null, or came from [`lifesign_connect`] and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lifesign_beat(heart: *const LifesignHeart) {
    // SAFETY: the caller's promise.
    if let Some(pulse) = unsafe { pulse(heart) } {
        calmly((), || pulse.beat());
    }
}

/// How far the program has come with its work.
///
/// # Safety
/// As [`lifesign_beat`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lifesign_progress(heart: *const LifesignHeart, count: u64) {
    // SAFETY: the caller's promise.
    if let Some(pulse) = unsafe { pulse(heart) } {
        calmly((), || pulse.progress(count));
    }
}

/// Sets a metric; 0 where it was not taken.
///
/// # Safety
/// As [`lifesign_beat`]; `name` is null or ends in zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lifesign_metric(
    heart: *const LifesignHeart,
    name: *const c_char,
    value: f64,
) -> c_int {
    // SAFETY: the caller's promise.
    let Some(pulse) = (unsafe { pulse(heart) }) else { return 0 };
    // SAFETY: the caller's promise.
    let Some(name) = (unsafe { text(name) }) else { return 0 };
    c_int::from(calmly(false, || pulse.metric(name, value)))
}

/// 1 alive, 2 stopping, 3 fail; anything else changes nothing.
///
/// # Safety
/// As [`lifesign_beat`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lifesign_status(heart: *const LifesignHeart, status: c_int) {
    let status = match status {
        1 => Status::Alive,
        2 => Status::Stopping,
        3 => Status::Fail,
        _ => return,
    };
    // SAFETY: the caller's promise.
    if let Some(pulse) = unsafe { pulse(heart) } {
        calmly((), || pulse.status(status));
    }
}

/// The text that is shown with the service; null or empty: none.
///
/// # Safety
/// As [`lifesign_beat`]; `message` is null or ends in zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lifesign_message(heart: *const LifesignHeart, message: *const c_char) {
    // SAFETY: the caller's promise.
    let message = unsafe { text(message) }.unwrap_or_default();
    // SAFETY: the caller's promise.
    if let Some(pulse) = unsafe { pulse(heart) } {
        calmly((), || pulse.message(message));
    }
}

/// The name of the way: `memory`, `socket`, `pipe`, `http`; `none` for a null heart. Lives for ever.
///
/// # Safety
/// As [`lifesign_beat`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lifesign_way(heart: *const LifesignHeart) -> *const c_char {
    // SAFETY: the caller's promise.
    let way = unsafe { pulse(heart) }.map(Pulse::way);
    let name = match way {
        Some(Way::Memory) => c"memory",
        Some(Way::Socket) => c"socket",
        Some(Way::Pipe) => c"pipe",
        Some(Way::Http) => c"http",
        Some(_) => c"other",
        None => c"none",
    };
    name.as_ptr()
}

/// Says that the program stops on purpose, and frees the heart. Null is nothing to free.
///
/// # Safety
/// `heart` is null, or came from [`lifesign_connect`] and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lifesign_free(heart: *mut LifesignHeart) {
    if heart.is_null() {
        return;
    }
    // SAFETY: the caller's promise.
    let heart = unsafe { Box::from_raw(heart) };
    calmly((), move || drop(heart));
}
