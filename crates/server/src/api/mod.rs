//! The HTTP interface under `/api/v1`, the health routes and `/metrics`.
