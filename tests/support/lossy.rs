//! A link that loses packets: the way from a sender to this machine.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::process::Command;

#[path = "link.rs"]
mod link;

pub use link::Link;

/// A namespace behind a link that loses packets. Dropped, both are gone.
pub struct Lossy(Link);

impl Lossy {
    /// Loses every so-manieth packet of UDP that comes from the namespace: the same part of them in each run, where
    /// chance would lose twice as many in one run as in the next.
    pub fn new(every: u32) -> Self {
        let mut link = Link::new();
        let (near, every) = (link.near.clone(), every.to_string());
        let from = ["INPUT", "-i", &near, "-p", "udp"];
        let nth = ["-m", "statistic", "--mode", "nth", "--every", &every];
        let lose = ["--packet", "0", "-j", "DROP"];
        link.rule(&[&from[..], &nth, &lose].concat());
        Self(link)
    }

    /// The link.
    pub fn link(&self) -> &Link {
        &self.0
    }

    /// Packets that were lost so far.
    pub fn lost(&self) -> u64 {
        let out = Command::new("iptables")
            .args(["-w", "-L", "INPUT", "-v", "-x", "-n"])
            .output()
            .expect("iptables");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let line = text.lines().find(|line| line.contains(&self.0.near));
        let count = line.and_then(|line| line.split_whitespace().next());
        count.and_then(|count| count.parse().ok()).expect("a count")
    }
}
