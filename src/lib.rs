//! The gateway: wiring, servers, command line. It knows every other crate and is known by none.

pub mod admin;
pub mod api;
pub mod config;
pub mod context;
pub mod dispatch;
mod duty;
pub mod gateway;
pub mod inbound;
pub mod link;
pub mod memory;
pub mod notify;
pub mod observe;
pub mod process;
mod throttle;
pub mod topology;
pub mod visible;
