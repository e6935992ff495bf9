//! lifesign-agent
