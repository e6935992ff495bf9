//! lifesign-store
