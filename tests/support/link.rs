//! A network namespace and the link between it and this machine: it can be cut, and its far end can move.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// Each link of this process has addresses of its own.
static NEXT: AtomicU8 = AtomicU8::new(1);

/// A namespace and its link. Dropped, both are gone.
pub struct Link {
    name: String,
    /// This machine's end.
    pub near: String,
    far: String,
    net: String,
    rules: Vec<Vec<String>>,
    /// This machine's address on the link.
    pub here: String,
}

/// Runs a program that must succeed.
pub fn run(program: &str, arguments: &[&str]) {
    let out = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success(),
        "{program} {}: {said}; this test needs to be root",
        arguments.join(" ")
    );
}

impl Link {
    /// A link that works.
    pub fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        // Other processes' tests run beside these.
        let net = format!("10.{}.{number}", 64 + pid % 128);
        let link = Self {
            name: format!("att-{pid}-{number}"),
            near: format!("at{pid}n{number}"),
            far: format!("at{pid}f{number}"),
            here: format!("{net}.1"),
            net,
            rules: Vec::new(),
        };
        run("ip", &["netns", "add", &link.name]);
        link.join();
        run("ip", &["-n", &link.name, "link", "set", "lo", "up"]);
        link
    }

    /// A second link to the same namespace, for [`Link::only`] the signalling.
    pub fn beside(&self) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let net = format!("10.{}.{number}", 64 + pid % 128);
        let link = Self {
            name: self.name.clone(),
            near: format!("at{pid}n{number}"),
            far: format!("at{pid}f{number}"),
            here: format!("{net}.1"),
            net,
            rules: Vec::new(),
        };
        link.join();
        link
    }

    /// Nothing passes but TCP to a port of this machine: no path for media, which ICE finds over TCP (RFC 6544), too.
    pub fn only(&mut self, port: &str) {
        let near = self.near.clone();
        for (chain, end, side) in [("INPUT", "-i", "--dport"), ("OUTPUT", "-o", "--sport")] {
            self.rule(&[chain, end, &near, "-p", "udp", "-j", "DROP"]);
            self.rule(&[
                chain, end, &near, "-p", "tcp", "!", side, port, "-j", "DROP",
            ]);
        }
    }

    fn join(&self) {
        // IPv4 alone: the rules know nothing else.
        let plain = ["addrgenmode", "none"];
        let (near, far) = (self.near.as_str(), self.far.as_str());
        run(
            "ip",
            &["link", "add", near, "type", "veth", "peer", "name", far],
        );
        for end in [near, far] {
            run("ip", &[&["link", "set", end], &plain[..]].concat());
        }
        run("ip", &["link", "set", far, "netns", &self.name]);
        let here = format!("{}/24", self.here);
        run("ip", &["addr", "add", &here, "dev", near]);
        run("ip", &["link", "set", near, "up"]);
        self.address("add", 2);
        run("ip", &["-n", &self.name, "link", "set", far, "up"]);
    }

    /// A namespace that reaches this machine only through the far end, which translates its addresses as home routers do.
    pub fn behind_a_router(&self) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let net = format!("10.{}.{number}", 64 + pid % 128);
        let inner = Self {
            name: format!("att-{pid}-{number}"),
            near: format!("at{pid}n{number}"),
            far: format!("at{pid}f{number}"),
            here: self.here.clone(),
            net: net.clone(),
            rules: Vec::new(),
        };
        let (near, far) = (inner.near.as_str(), inner.far.as_str());
        let (router, host) = (self.name.as_str(), inner.name.as_str());
        run("ip", &["netns", "add", host]);
        let veth = ["type", "veth", "peer", "name", far, "netns", host];
        run(
            "ip",
            &[&["-n", router, "link", "add", near], &veth[..]].concat(),
        );
        let gateway = format!("{net}.1");
        let mask = |address: &str| format!("{address}/24");
        run(
            "ip",
            &["-n", router, "addr", "add", &mask(&gateway), "dev", near],
        );
        run("ip", &["-n", router, "link", "set", near, "up"]);
        run("ip", &["-n", host, "link", "set", "lo", "up"]);
        run(
            "ip",
            &[
                "-n",
                host,
                "addr",
                "add",
                &mask(&format!("{net}.2")),
                "dev",
                far,
            ],
        );
        run("ip", &["-n", host, "link", "set", far, "up"]);
        run(
            "ip",
            &["-n", host, "route", "add", "default", "via", &gateway],
        );
        self.inside("sysctl", &["-qw", "net.ipv4.ip_forward=1"]);
        self.translate(&[]);
        inner
    }

    /// The router forgets all connections; from now on they come from other ports.
    pub fn rebind(&self) {
        self.inside("iptables", &["-t", "nat", "-F", "POSTROUTING"]);
        self.translate(&["--to-ports", "20000-20999"]);
        self.inside("conntrack", &["-F"]);
    }

    fn translate(&self, more: &[&str]) {
        for protocol in ["udp", "tcp"] {
            let rule = [
                "-t",
                "nat",
                "-A",
                "POSTROUTING",
                "-o",
                &self.far,
                "-p",
                protocol,
            ];
            let masquerade = ["-j", "MASQUERADE"];
            self.inside("iptables", &[&rule[..], &masquerade, more].concat());
        }
    }

    fn inside(&self, program: &str, arguments: &[&str]) {
        let there = ["netns", "exec", &self.name, program];
        run("ip", &[&there[..], arguments].concat());
    }

    /// Adds (`add`) or removes (`del`) an address of the far end.
    pub fn address(&self, act: &str, host: u8) {
        let address = format!("{}.{host}/24", self.net);
        run(
            "ip",
            &["-n", &self.name, "addr", act, &address, "dev", &self.far],
        );
    }

    /// Nothing passes any more, and nobody is told.
    pub fn cut(&mut self) {
        self.rule(&["INPUT", "-i", &self.near.clone(), "-j", "DROP"]);
        self.rule(&["OUTPUT", "-o", &self.near.clone(), "-j", "DROP"]);
    }

    /// The far end reaches all of this machine's addresses.
    pub fn route_here(&self) {
        let route = ["-n", &self.name, "route", "add", "default", "via"];
        run("ip", &[&route[..], &[self.here.as_str()]].concat());
    }

    /// This machine sends no more than this to the far end, in kilobits a second, and 300 ms of it wait.
    pub fn limit(&self, kilobits: u32) {
        let rate = format!("{kilobits}kbit");
        let shape = [
            "root", "tbf", "rate", &rate, "burst", "3kb", "latency", "300ms",
        ];
        run(
            "tc",
            &[&["qdisc", "replace", "dev", &self.near], &shape[..]].concat(),
        );
    }

    /// Takes back what [`Link::cut`] and [`Link::rule`] did.
    pub fn mend(&mut self) {
        for rule in std::mem::take(&mut self.rules) {
            let rule: Vec<_> = rule.iter().map(String::as_str).collect();
            run("iptables", &[&["-w", "-D"], &rule[..]].concat());
        }
    }

    /// Adds a rule of iptables on this machine.
    pub fn rule(&mut self, rule: &[&str]) {
        run("iptables", &[&["-w", "-I"], rule].concat());
        self.rules
            .push(rule.iter().map(|&part| part.to_owned()).collect());
    }

    /// A program in the namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for rule in &self.rules {
            let _ = Command::new("iptables")
                .args(["-w", "-D"])
                .args(rule)
                .status();
        }
        // Of the second link to a namespace both fail: they are gone.
        let _ = Command::new("ip")
            .args(["link", "del", &self.near])
            .output();
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .output();
    }
}
