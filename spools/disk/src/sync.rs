//! The locks of what is tested under a scheduler that tries their orders; here those of the system.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
