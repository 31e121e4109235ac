//! Real brokers as child processes of a test, each in private directories on free ports of 127.0.0.1.

pub mod mosquitto;
pub mod nats;
pub mod rabbitmq;
