//! ICE at webrtcbin: servers, policy, candidates.

use anyhow::{Result, bail};
use gst::glib;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_webrtc::WebRTCICEGatheringState;
use tokio::sync::mpsc::UnboundedSender;

use super::{Candidate, PeerEvent};
use crate::signalling::protocol::{Ice, IceServer, IceTransportPolicy};

/// Between two connectivity checks: as short as RFC 8445, 14.2, allows.
const CHECKS_EVERY_MS: u32 = 5;
/// How often an unanswered check is sent, the first after 500 ms and the last time followed by as long a wait: so many pairs as
/// lead nowhere (a bridge of containers, a private network) hold a connection up for a second. libnice, which nominates the
/// best pair when it knows what became of all others, would send three and wait for two seconds.
const CHECKS_PER_PAIR: u32 = 2;

/// Sets servers and policy, and what libnice needs to be quick and to work on a host without a network.
pub fn configure(webrtc: &gst::Element, ice: &Ice) -> Result<()> {
    let policy = match ice.transport_policy {
        IceTransportPolicy::All => "all",
        IceTransportPolicy::Relay => "relay",
    };
    webrtc.set_property_from_str("ice-transport-policy", policy);
    let mut stun = false;
    for server in &ice.servers {
        for url in &server.urls {
            match server_uri(url, server)? {
                // webrtcbin knows one STUN server; the first is preferred.
                Uri::Stun(uri) if !stun => {
                    webrtc.set_property("stun-server", uri);
                    stun = true;
                }
                Uri::Stun(_) => {}
                Uri::Turn(uri) => {
                    let _: bool = webrtc.emit_by_name("add-turn-server", &[&uri]);
                }
            }
        }
    }
    let agent = webrtc.property::<glib::Object>("ice-agent");
    if only_loopback() {
        let _: bool = agent.emit_by_name("add-local-ip-address", &[&"127.0.0.1"]);
    }
    if agent.find_property("agent").is_some() {
        let nice = agent.property::<glib::Object>("agent");
        // libnice waits 200 ms for a UPnP router while it gathers; a call must not.
        if nice.find_property("upnp").is_some() {
            nice.set_property("upnp", false);
        }
        // A pair over TCP (RFC 6544) that answers first is never left again, even if the checks over UDP only lost a packet:
        // the call would stay on TCP. Where nothing but TCP passes, a TURN server is reached over it.
        if nice.find_property("ice-tcp").is_some() {
            nice.set_property("ice-tcp", false);
        }
        if nice.find_property("stun-max-retransmissions").is_some() {
            nice.set_property("stun-max-retransmissions", CHECKS_PER_PAIR);
        }
        // With an address or two more on either side the pair that works has its turn that much sooner.
        if nice.find_property("stun-pacing-timer").is_some() {
            nice.set_property("stun-pacing-timer", CHECKS_EVERY_MS);
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Uri {
    Stun(String),
    Turn(String),
}

/// From the browsers' form (RFC 7064, RFC 7065) to GStreamer's, where the credentials are part of the URI.
fn server_uri(url: &str, server: &IceServer) -> Result<Uri> {
    let Some((scheme, rest)) = url.split_once(':') else {
        bail!("the ICE server {url:?} has no scheme; stun:, stuns:, turn: or turns: is needed");
    };
    match scheme {
        "stun" | "stuns" => Ok(Uri::Stun(format!("{scheme}://{rest}"))),
        "turn" | "turns" => {
            let (Some(username), Some(credential)) = (&server.username, &server.credential) else {
                bail!("the TURN server {url:?} has no username and credential");
            };
            Ok(Uri::Turn(format!(
                "{scheme}://{}:{}@{rest}",
                escape(username),
                escape(credential)
            )))
        }
        _ => bail!(
            "the ICE server {url:?} has the scheme {scheme:?}; stun:, stuns:, turn: or turns: is needed"
        ),
    }
}

/// Percent-encodes what may not stand in the user part of a URI (RFC 3986 3.2.1).
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn only_loopback() -> bool {
    if_addrs::get_if_addrs()
        .is_ok_and(|interfaces| interfaces.iter().all(|interface| interface.is_loopback()))
}

/// Reports local candidates as they are found, and an empty one when there are no more (RFC 8838, 8.2).
pub fn watch_candidates(webrtc: &gst::Element, events: &UnboundedSender<PeerEvent>) {
    let at_end = events.clone();
    webrtc.connect_notify(Some("ice-gathering-state"), move |webrtc, _| {
        let state = webrtc.property::<WebRTCICEGatheringState>("ice-gathering-state");
        if state == WebRTCICEGatheringState::Complete {
            let none = Candidate {
                candidate: String::new(),
                mline: 0,
            };
            let _ = at_end.send(PeerEvent::Candidate(none));
        }
    });
    let events = events.clone();
    webrtc.connect("on-ice-candidate", false, move |values| {
        let (Ok(mline), Ok(candidate)) = (values[1].get::<u32>(), values[2].get::<String>()) else {
            return None;
        };
        let _ = events.send(PeerEvent::Candidate(Candidate { candidate, mline }));
        None
    });
}

/// Gives a remote candidate to webrtcbin.
pub fn add_candidate(webrtc: &gst::Element, candidate: &Candidate) {
    if is_of_use(&candidate.candidate) {
        webrtc.emit_by_name::<()>(
            "add-ice-candidate",
            &[&candidate.mline, &candidate.candidate],
        );
    }
}

/// The end of candidates is nothing to webrtcbin. Names of multicast DNS
/// (draft-ietf-mmusic-mdns-ice-candidates) hide a browser's address; we need not resolve them: its packets reach us
/// and make a peer-reflexive candidate.
fn is_of_use(candidate: &str) -> bool {
    let address = candidate.split(' ').nth(4).unwrap_or_default();
    !candidate.is_empty() && !address.ends_with(".local")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turn_credentials_are_escaped_into_the_uri() {
        let server = IceServer {
            urls: vec![],
            username: Some("1700000000:anna@home".to_owned()),
            credential: Some("a+b/c=".to_owned()),
        };
        let uri = server_uri("turn:turn.example.org:3478?transport=tcp", &server).unwrap();
        let right =
            "turn://1700000000%3Aanna%40home:a%2Bb%2Fc%3D@turn.example.org:3478?transport=tcp";
        assert_eq!(uri, Uri::Turn(right.to_owned()));
        assert_eq!(
            server_uri("stun:stun.example.org", &server).unwrap(),
            Uri::Stun("stun://stun.example.org".to_owned())
        );
        assert!(server_uri("http://example.org", &server).is_err());
    }

    #[test]
    fn hidden_addresses_and_the_end_of_candidates_are_left_out() {
        assert!(is_of_use(
            "candidate:1 1 udp 2113937151 192.0.2.7 50000 typ host"
        ));
        assert!(!is_of_use(
            "candidate:1 1 udp 2113937151 5a3c.local 50000 typ host"
        ));
        assert!(!is_of_use(""));
    }
}
