//! A network namespace behind a link that loses packets: the way from a sender to this machine.

use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// Each link of this process has addresses of its own.
static NEXT: AtomicU8 = AtomicU8::new(1);

/// A namespace and its link to this machine. Dropped, both are gone.
pub struct Lossy {
    name: String,
    near: String,
    rule: Option<Vec<String>>,
    /// This machine's address on the link.
    pub here: String,
}

fn run(program: &str, arguments: &[&str]) {
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

impl Lossy {
    /// A link that loses every so-manieth packet of UDP that comes from the namespace: the same
    /// part of them in each run, where chance would lose twice as many in one run as in the next.
    pub fn new(every: u32) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let (name, near) = (format!("att-{pid}-{number}"), format!("at{pid}n{number}"));
        let (far, net) = (format!("at{pid}f{number}"), format!("10.213.{number}"));
        let (here, there) = (format!("{net}.1"), format!("{net}.2"));
        let lossy = Self {
            name: name.clone(),
            near: near.clone(),
            rule: None,
            here: here.clone(),
        };
        // IPv4 alone: the rule that loses packets knows nothing else.
        let plain = ["addrgenmode", "none"];
        run("ip", &["netns", "add", &name]);
        let pair = ["link", "add", &near, "type", "veth", "peer", "name", &far];
        run("ip", &pair);
        for end in [&near, &far] {
            run("ip", &[&["link", "set", end], &plain[..]].concat());
        }
        run("ip", &["link", "set", &far, "netns", &name]);
        run("ip", &["addr", "add", &format!("{here}/24"), "dev", &near]);
        run("ip", &["link", "set", &near, "up"]);
        let address = format!("{there}/24");
        run("ip", &["-n", &name, "addr", "add", &address, "dev", &far]);
        run("ip", &["-n", &name, "link", "set", &far, "up"]);
        run("ip", &["-n", &name, "link", "set", "lo", "up"]);
        lossy.losing(every)
    }

    fn losing(mut self, every: u32) -> Self {
        let every = every.to_string();
        let rule = [
            "INPUT",
            "-i",
            &self.near,
            "-p",
            "udp",
            "-m",
            "statistic",
            "--mode",
            "nth",
            "--every",
            &every,
            "--packet",
            "0",
            "-j",
            "DROP",
        ];
        let rule: Vec<_> = rule.into_iter().map(str::to_owned).collect();
        let mut add = vec!["-w", "-I"];
        add.extend(rule.iter().map(String::as_str));
        run("iptables", &add);
        self.rule = Some(rule);
        self
    }

    /// Packets that were lost so far.
    pub fn lost(&self) -> u64 {
        let out = Command::new("iptables")
            .args(["-w", "-L", "INPUT", "-v", "-x", "-n"])
            .output()
            .expect("iptables");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let line = text.lines().find(|line| line.contains(&self.near));
        let count = line.and_then(|line| line.split_whitespace().next());
        count.and_then(|count| count.parse().ok()).expect("a count")
    }

    /// A program in the namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        if let Some(rule) = &self.rule {
            let _ = Command::new("iptables")
                .args(["-w", "-D"])
                .args(rule)
                .status();
        }
        let _ = Command::new("ip")
            .args(["link", "del", &self.near])
            .status();
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}
