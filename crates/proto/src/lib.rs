//! lifesign-proto
