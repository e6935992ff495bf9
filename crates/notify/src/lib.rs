//! lifesign-notify
