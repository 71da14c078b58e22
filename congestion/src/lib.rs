//! Congestion control for real-time media on transport-wide feedback. No I/O and no clock: times are passed in.
//!
//! * [`flow`] is the whole for one connection: packets in, packets out at their time, feedback in, a rate out.
//! * [`feedback`] reads what the other side reports; [`history`] finds the packets that it is about.
//! * [`groups`] and [`trend`] say whether the queue on the way grows; [`queue`] how long it is, [`jump`] whether that is sudden.
//! * [`acknowledged`] is what arrives, [`loss`] what does not, [`limited`] whether enough is sent to learn from it.
//! * [`aimd`] is the rate that follows; [`controller`] puts these together.
//! * [`probe`] finds out what more the link would carry, [`schedule`] when; [`pacer`] sends packets at their time.
//!
//! Sources: draft-ietf-rmcat-gcc-02 (the algorithm), Carlucci et al., "Congestion control for web real-time communication"
//! (IEEE/ACM Transactions on Networking 25(5), 2017: the adaptive threshold), draft-holmer-rmcat-transport-wide-cc-extensions-01
//! (the feedback), RFC 8867 (the cases that the tests simulate).

pub mod acknowledged;
pub mod aimd;
pub mod controller;
pub mod feedback;
pub mod flow;
pub mod groups;
pub mod history;
pub mod jump;
pub mod limited;
pub mod loss;
pub mod pacer;
pub mod probe;
pub mod queue;
pub mod rate;
pub mod schedule;
pub mod trend;
mod unwrap;

pub use controller::{Settings, Status};
pub use feedback::Feedback;
pub use flow::{Flow, Mark};
pub use pacer::{Class, Step};
pub use rate::Rate;
