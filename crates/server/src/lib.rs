//! lifesign-server
