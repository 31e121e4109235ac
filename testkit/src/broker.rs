//! Real brokers as child processes, each with a private directory on free ports of 127.0.0.1.

pub mod mosquitto;
