//! lifesign-config
