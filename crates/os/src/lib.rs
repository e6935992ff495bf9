//! lifesign-os
