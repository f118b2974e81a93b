#![allow(clippy::unwrap_used, clippy::expect_used)]

mod driver;
mod faults;
mod options;
mod proxy;
mod reading;
mod services;
mod stream;

pub(in crate::kinesis) use stream::pack;
