/// Handles and sockets are limited by memory only.
pub(super) fn raise_limit() -> Option<u64> {
    None
}
