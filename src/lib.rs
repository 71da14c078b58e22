//! attache attends calls.
//!
//! The modules, in the order in which a call flows through them:
//!
//! * [`cli`]: arguments become a command; [`config`]: `attache.toml` becomes a typed [`config::Config`]; [`logging`]: the log.
//! * [`doctor`]: one look at the machine, from the plugins to a call with itself.
//! * [`server`]: `attache serve`, the control process: starts what follows and stops it in order; [`home`]: its state folder.
//! * [`admission`]: whether there is room for one more job; [`auth`]: who may do what; [`tls`]: certificates; [`ice`]: STUN and TURN for everybody.
//! * [`signalling`]: rooms, the protocol, the server's socket and the client's. No GStreamer here.
//! * [`whip`]: players that speak WHEP become viewers in a room, publishers that speak WHIP get a relay.
//! * [`http`]: the page, the API, health, metrics; [`descriptions`]: changed files are checked, and running jobs follow.
//! * [`job`]: what a worker is asked to do and what it reports; [`supervisor`]: the parent's side of that
//!   conversation, [`worker`]: the child's.
//! * [`filters`]: filters that participants ask for; [`large_rooms`]: relays where a mesh would carry too much.
//! * [`webhooks`]: what happens is told to others' servers.
//! * [`pipeline`]: descriptions, read and checked, become GStreamer bins; [`graph`]: pictures of them.
//! * [`media`]: clock, capture, encoders, fan-out, playback; [`peer`]: the only place that names `webrtcbin`.
//! * [`network`]: the host's addresses and routes have changed.
//! * [`quality`]: from a peer's counters to rates, loss and a score.
//! * [`filter`]: noise suppression: engines, the element `attachedenoise`, `attache denoise`.
//! * [`streaming`]: a mix goes out live, to an RTMP or SRT server.
//! * [`role`]: what kiosk, recorder and filter do with their peers' media; [`recording`]: files and manifests.

pub mod admission;
pub mod auth;
pub mod cli;
pub mod config;
pub mod descriptions;
pub mod doctor;
pub mod filter;
pub mod filters;
pub mod graph;
pub mod home;
pub mod http;
pub mod ice;
pub mod job;
pub mod large_rooms;
pub mod logging;
pub mod media;
pub mod network;
pub mod peer;
pub mod pipeline;
pub mod quality;
pub mod recording;
pub mod role;
pub mod server;
pub mod signalling;
pub mod streaming;
pub mod supervisor;
pub mod tls;
pub mod webhooks;
pub mod whip;
pub mod worker;
