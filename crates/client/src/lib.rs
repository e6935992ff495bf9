//! lifesign-client
