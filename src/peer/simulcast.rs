//! Several encodings of one picture in one m-line, told apart by RID (RFC 8851, RFC 8852, RFC 8853): what descriptions say
//! of them. Pure.
//!
//! webrtcbin is told nothing of it: it takes packets of sources that no description names, a pad for each. What the other
//! side has to know is written into our description on its way out.

use std::fmt::Write as _;

use gstreamer_sdp as gst_sdp;

use super::sdp::{SdpError, extension};

/// Header extensions that name a packet's encoding, and that of a packet sent again (RFC 8852).
const STREAM_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const REPAIRED_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
/// The ids that our offers give them, as Chromium does.
const OFFERED_STREAM_ID: u8 = 10;
const OFFERED_REPAIRED_ID: u8 = 11;
/// What our offers ask for, the largest first: of a small picture Chromium sends the first ones alone.
const OFFERED: [&str; 3] = ["h", "m", "l"];
/// More encodings of one picture than this are refused: browsers make three.
pub const MOST: usize = 4;
/// A header extension of one byte has room for no longer one (RFC 8285, 4.2).
const LONGEST: usize = 16;

/// The name of one encoding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rid(String);

impl Rid {
    /// Letters, digits, `-` and `_` (RFC 8851, 10).
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_one = (1..=LONGEST).contains(&text.len()) && text.bytes().all(fits);
        is_one.then(|| Self(text.to_owned()))
    }

    /// As descriptions have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Rid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The encodings of a section's picture that its author sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulcast {
    /// Their names, in its author's order.
    pub rids: Vec<Rid>,
    /// The id of the header extension that tells them.
    pub extension: u8,
    /// And of the one in packets that are sent again.
    repaired: Option<u8>,
}

impl Simulcast {
    /// Reads what the author of a section sends; none where that is one encoding.
    ///
    /// # Errors
    /// [`SdpError::Simulcast`], [`SdpError::Encodings`].
    pub fn read(mline: usize, media: &gst_sdp::SDPMediaRef) -> Result<Option<Self>, SdpError> {
        let Some(value) = media.attribute_val("simulcast") else {
            return Ok(None);
        };
        let wrong = || SdpError::Simulcast {
            mline,
            found: value.to_owned(),
        };
        let sent = sent(value).ok_or_else(wrong)?;
        if sent.len() > MOST {
            let count = sent.len();
            return Err(SdpError::Encodings { mline, count });
        }
        // RFC 8853 5.2: one that no `a=rid` describes is as if it were not there.
        let is_described = |rid: &Rid| {
            let mut described = media.attributes().filter(|a| a.key() == "rid");
            described.any(|described| {
                let mut words = described.value().unwrap_or_default().split(' ');
                words.next() == Some(rid.as_str()) && words.next() == Some("send")
            })
        };
        let rids: Vec<_> = sent.into_iter().filter(is_described).collect();
        let Some(extension) = extension_id(media, STREAM_ID).filter(|_| rids.len() > 1) else {
            return Ok(None);
        };
        let repaired = extension_id(media, REPAIRED_ID);
        Ok(Some(Self {
            rids,
            extension,
            repaired,
        }))
    }

    /// What our offers ask for.
    pub fn offered() -> Self {
        Self {
            rids: OFFERED.iter().map(|rid| Rid((*rid).to_owned())).collect(),
            extension: OFFERED_STREAM_ID,
            repaired: Some(OFFERED_REPAIRED_ID),
        }
    }

    /// Our description with the word that all of these are received in a section.
    pub fn received(&self, ours: &str, mline: usize) -> String {
        let mut sections = 0;
        let mut text = String::with_capacity(ours.len() + 512);
        for line in ours.lines() {
            if line.starts_with("m=") {
                if sections == mline + 1 {
                    self.write(&mut text, ours);
                }
                sections += 1;
            }
            text.push_str(line);
            text.push_str("\r\n");
        }
        if sections == mline + 1 {
            self.write(&mut text, ours);
        }
        text
    }

    fn write(&self, text: &mut String, ours: &str) {
        let extensions = [
            (Some(self.extension), STREAM_ID),
            (self.repaired, REPAIRED_ID),
        ];
        for (id, name) in extensions {
            if let Some(id) = id.filter(|_| !ours.contains(name)) {
                // Writing to a String does not fail.
                let _ = write!(text, "a=extmap:{id} {name}\r\n");
            }
        }
        for rid in &self.rids {
            let _ = write!(text, "a=rid:{rid} recv\r\n");
        }
        let all: Vec<_> = self.rids.iter().map(Rid::to_string).collect();
        let _ = write!(text, "a=simulcast:recv {}\r\n", all.join(";"));
    }
}

/// A description without what webrtcbin is not told: it would write it into its answer as it is.
pub fn without(sdp: &str) -> String {
    let is_kept = |line: &&str| !line.starts_with("a=simulcast:") && !line.starts_with("a=rid:");
    let mut text = String::with_capacity(sdp.len());
    for line in sdp.lines().filter(is_kept) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text
}

/// The encodings that a value of `a=simulcast` sends, the first of alternatives each; none where it is none (RFC 8853, 5.1).
fn sent(value: &str) -> Option<Vec<Rid>> {
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    let mut sent = None;
    let mut directions = Vec::new();
    while let Some(direction) = words.next() {
        let list = words.next()?.split(';').map(first_alternative);
        let list = list.collect::<Option<Vec<_>>>()?;
        if !matches!(direction, "send" | "recv") || directions.contains(&direction) {
            return None;
        }
        directions.push(direction);
        if direction == "send" {
            sent = Some(list);
        }
    }
    (!directions.is_empty()).then(|| sent.unwrap_or_default())
}

/// `~` in front says that it is paused at first.
fn first_alternative(text: &str) -> Option<Rid> {
    let rid = |one: &str| Rid::parse(one.strip_prefix('~').unwrap_or(one));
    let all = text.split(',').map(rid).collect::<Option<Vec<_>>>()?;
    all.into_iter().next()
}

fn extension_id(media: &gst_sdp::SDPMediaRef, name: &str) -> Option<u8> {
    let (id, _) = extension(media, name)?;
    id.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n\
        a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n";

    fn read(lines: &str) -> Result<Option<Vec<String>>, SdpError> {
        gstreamer::init().unwrap();
        let text = format!("{SECTION}{lines}");
        let sdp = gst_sdp::SDPMessage::parse_buffer(text.as_bytes()).unwrap();
        let found = Simulcast::read(0, sdp.media(0).unwrap())?;
        Ok(found.map(|found| found.rids.iter().map(Rid::to_string).collect()))
    }

    fn rids(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    const DESCRIBED: &str =
        "a=rid:h send\r\na=rid:m send pt=96;max-width=640\r\na=rid:l send\r\na=rid:x recv\r\n";

    #[test]
    fn the_encodings_that_are_sent_and_described_are_read_in_their_order() {
        let found = |value: &str| read(&format!("{DESCRIBED}a=simulcast:{value}\r\n"));
        assert_eq!(found("send h;m;l"), Ok(Some(rids(&["h", "m", "l"]))));
        assert_eq!(
            found("recv x send l,m;~h"),
            Ok(Some(rids(&["l", "h"]))),
            "of alternatives the first"
        );
        assert_eq!(found("send h;unknown;l"), Ok(Some(rids(&["h", "l"]))));
        assert_eq!(found("send h"), Ok(None), "one is no choice");
        assert_eq!(found("recv h;m;l"), Ok(None));
        assert_eq!(read(DESCRIBED), Ok(None));
    }

    #[test]
    fn what_is_malformed_or_too_much_is_refused_with_what_was_found() {
        for value in [
            "send",
            "both h;m",
            "send h;;l",
            "send h;m send l",
            "send h;a b;c",
            "send h;\u{e9}",
            "send h;abcdefghijklmnopq",
        ] {
            let error = read(&format!("{DESCRIBED}a=simulcast:{value}\r\n"));
            let found = value.to_owned();
            assert_eq!(error, Err(SdpError::Simulcast { mline: 0, found }));
        }
        let error = read("a=simulcast:send a;b;c;d;e\r\n");
        assert_eq!(error, Err(SdpError::Encodings { mline: 0, count: 5 }));
        let told = error.unwrap_err().to_string();
        assert!(
            told.contains("5 encodings") && told.contains("up to 4"),
            "{told}"
        );
    }

    #[test]
    fn our_description_says_in_the_right_section_what_is_received() {
        let simulcast = Simulcast {
            rids: vec![Rid("h".to_owned()), Rid("l".to_owned())],
            extension: 9,
            repaired: Some(12),
        };
        let ours =
            "v=0\r\nm=audio 9 X\r\na=mid:0\r\nm=video 9 X\r\na=mid:1\r\nm=application 9 X\r\n";
        let right = format!(
            "v=0\r\nm=audio 9 X\r\na=mid:0\r\nm=video 9 X\r\na=mid:1\r\n\
             a=extmap:9 {STREAM_ID}\r\na=extmap:12 {REPAIRED_ID}\r\na=rid:h recv\r\na=rid:l recv\r\n\
             a=simulcast:recv h;l\r\nm=application 9 X\r\n"
        );
        let told = simulcast.received(ours, 1);
        assert_eq!(told, right);
        let plain = without(&told);
        assert!(!plain.contains("a=rid") && !plain.contains("a=simulcast"));
        assert!(plain.contains("a=extmap:9"));
        let last = simulcast.received("v=0\r\nm=video 9 X\r\n", 0);
        assert!(last.ends_with("a=simulcast:recv h;l\r\n"), "{last}");
    }
}
