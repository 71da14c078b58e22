//! Changes of the host's addresses, links and routes, as the kernel tells them (rtnetlink).
//!
//! What has changed is not read: whoever waits has to find out anyhow whether its own path still works.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
};
use tokio::net::UnixDatagram;
use tokio::time::Instant;

/// Links up and down, addresses and routes of both families (rtnetlink(7), `RTMGRP_*`).
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// One change makes several messages: those that follow within this time belong to it.
const SETTLE: Duration = Duration::from_millis(50);
/// Longer messages are cut: nobody reads them.
const MESSAGE_BYTES: usize = 1024;

/// The changes from its making on.
#[derive(Debug)]
pub struct Changes {
    /// A netlink socket; only what all sockets of messages have in common is asked of it.
    socket: UnixDatagram,
    /// Something has changed; it is told then.
    tell_at: Option<Instant>,
}

impl Changes {
    /// Begins to watch.
    ///
    /// # Errors
    /// Where the kernel gives no such socket, as in some sandboxes.
    pub fn watch() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            flags,
            SockProtocol::NetlinkRoute,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        Ok(Self {
            socket: UnixDatagram::from_std(StdDatagram::from(socket))?,
            tell_at: None,
        })
    }

    /// Waits for the next change. Dropped before it is ready, it loses nothing.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn next(&mut self) -> io::Result<()> {
        let mut message = [0; MESSAGE_BYTES];
        let tell_at = match self.tell_at {
            Some(at) => at,
            None => {
                is_change(self.socket.recv(&mut message).await)?;
                *self.tell_at.insert(Instant::now() + SETTLE)
            }
        };
        tokio::time::sleep_until(tell_at).await;
        self.tell_at = None;
        while is_change(self.socket.try_recv(&mut message))? {}
        Ok(())
    }
}

/// Whether what was received is a change; if not, nothing waits.
fn is_change(received: io::Result<usize>) -> io::Result<bool> {
    match received {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        // So many changes that the kernel could not keep them all are changes, too.
        Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => Ok(true),
        Err(error) => Err(error),
    }
}
