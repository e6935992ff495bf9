//! How much one heartbeat body may hold.

/// Largest body of `POST /api/v1/heartbeats`, in bytes; a larger one is refused with 413 before it is read.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The limits of a heartbeat body. What exceeds one is refused with 422 and named; nothing is cut silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole body. Whoever reads the socket enforces it; [`crate::read`] takes what it is given.
    pub body_bytes: usize,
    /// Heartbeats in one array. A full array of short heartbeats fits the default body.
    pub beats: usize,
    /// Metrics of one heartbeat. Each becomes a series that rules look at and the dashboard draws.
    pub metrics: usize,
    /// Bytes of a metric's name.
    pub metric_name_bytes: usize,
    /// Bytes of a message.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: MAX_BODY_BYTES,
            beats: 1000,
            metrics: 100,
            metric_name_bytes: 128,
            message_bytes: 1024,
        }
    }
}
