//! lifesign-lang
