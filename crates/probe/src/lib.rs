//! lifesign-probe
