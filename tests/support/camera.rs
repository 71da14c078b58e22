//! A real RTSP server in a process of its own, as a camera.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// A camera: `tests/rtsp-camera.py`. Dropped, it is killed as by a power cut.
pub struct Camera(Child);

impl Camera {
    pub fn start(port: u16, arguments: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rtsp-camera.py");
        // Debian's own: it has the bindings that Debian packages.
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .arg(port.to_string())
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.as_mut().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the camera did not start");
        Self(child)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
