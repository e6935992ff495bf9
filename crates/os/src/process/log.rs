//! The bounded log of a supervised process.
