//! Descriptions and fragments of them as they travel over HTTP: an answer with its candidates, and trickled ones. Pure.

use crate::peer::Candidate;

/// An answer with all its candidates in their sections (RFC 8839, 5.1), and the word that there are no more.
pub fn with_candidates(answer: &str, candidates: &[Candidate]) -> String {
    let mut text = String::with_capacity(answer.len() + 128 * candidates.len());
    let mut section: Option<u32> = None;
    for line in answer.lines() {
        if line.starts_with("m=") {
            close(&mut text, section, candidates);
            section = Some(section.map_or(0, |section| section + 1));
        }
        push(&mut text, line);
    }
    close(&mut text, section, candidates);
    text
}

/// The end of a section: its candidates. The first one carries the transport of all.
fn close(text: &mut String, section: Option<u32>, candidates: &[Candidate]) {
    let Some(section) = section else {
        return;
    };
    for candidate in candidates.iter().filter(|one| one.mline == section) {
        push(text, &format!("a={}", candidate.candidate));
    }
    if section == 0 {
        push(text, "a=end-of-candidates");
    }
}

fn push(text: &mut String, line: &str) {
    text.push_str(line.trim_end_matches('\r'));
    text.push_str("\r\n");
}

/// Why a fragment is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// Other credentials than the offer's: that would be an ICE restart.
    #[error(
        "the fragment's ice-ufrag is not the offer's: ICE restart is not supported; DELETE this session and POST anew"
    )]
    Restart,
    /// No section of the offer has this `mid`.
    #[error("the fragment names a=mid:{0}, and the offer has no such section")]
    UnknownSection(String),
}

/// Reads trickled candidates (`application/trickle-ice-sdpfrag`, RFC 8840) that belong to an offer.
///
/// # Errors
/// [`FragmentError`].
pub fn trickled(fragment: &str, offer: &str) -> Result<Vec<Candidate>, FragmentError> {
    let sections = mids(offer);
    let credentials = value(offer, "ice-ufrag");
    let mut mline = 0;
    let mut candidates = Vec::new();
    for line in fragment.lines().map(str::trim_end) {
        let Some((name, value)) = attribute(line) else {
            continue;
        };
        match name {
            "ice-ufrag" if credentials != Some(value) => return Err(FragmentError::Restart),
            "mid" => {
                let place = sections.iter().position(|mid| *mid == value);
                let place = place.and_then(|place| u32::try_from(place).ok());
                mline = place.ok_or_else(|| FragmentError::UnknownSection(value.to_owned()))?;
            }
            "candidate" => candidates.push(Candidate {
                candidate: format!("candidate:{value}"),
                mline,
            }),
            "end-of-candidates" => candidates.push(Candidate {
                candidate: String::new(),
                mline,
            }),
            _ => {}
        }
    }
    Ok(candidates)
}

/// An attribute's name and value; the value of a flag is empty.
fn attribute(line: &str) -> Option<(&str, &str)> {
    let attribute = line.strip_prefix("a=")?;
    Some(attribute.split_once(':').unwrap_or((attribute, "")))
}

fn value<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    let mut attributes = sdp.lines().map(str::trim_end).filter_map(attribute);
    attributes.find_map(|(found, value)| (found == name).then_some(value))
}

/// The `mid` of each section, in their order.
fn mids(sdp: &str) -> Vec<&str> {
    let mut mids = Vec::new();
    for line in sdp.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            mids.push("");
        } else if let (Some(("mid", value)), Some(last)) = (attribute(line), mids.last_mut()) {
            *last = value;
        }
    }
    mids
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:abcd\r\na=mid:sound\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=ice-ufrag:abcd\r\na=mid:1\r\n";
    const HOST: &str = "candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host";

    fn candidate(candidate: &str, mline: u32) -> Candidate {
        Candidate {
            candidate: candidate.to_owned(),
            mline,
        }
    }

    #[test]
    fn an_answer_gets_its_candidates_where_they_belong() {
        let relay = "candidate:2 1 udp 1 192.0.2.9 3478 typ relay raddr 0.0.0.0 rport 0";
        let found = with_candidates(
            "v=0\r\ns=-\r\nm=audio 9 X\r\na=mid:0\r\nm=video 9 X\r\na=mid:1\r\n",
            &[candidate(HOST, 0), candidate(relay, 1)],
        );
        let right = format!(
            "v=0\r\ns=-\r\nm=audio 9 X\r\na=mid:0\r\na={HOST}\r\na=end-of-candidates\r\n\
             m=video 9 X\r\na=mid:1\r\na={relay}\r\n"
        );
        assert_eq!(found, right);
    }

    #[test]
    fn trickled_candidates_find_their_section_by_its_mid() {
        let fragment = format!(
            "a=ice-ufrag:abcd\r\na=ice-pwd:x\r\nm=video 9 RTP/AVP 0\r\na=mid:1\r\na={HOST}\r\na=end-of-candidates\r\n"
        );
        let right = vec![candidate(HOST, 1), candidate("", 1)];
        assert_eq!(trickled(&fragment, OFFER), Ok(right));
        // Some clients name no section: the first is that of the transport.
        assert_eq!(
            trickled(&format!("a={HOST}\n"), OFFER),
            Ok(vec![candidate(HOST, 0)])
        );
    }

    #[test]
    fn a_restart_and_an_unknown_section_are_refused() {
        assert_eq!(
            trickled("a=ice-ufrag:other\r\n", OFFER),
            Err(FragmentError::Restart)
        );
        assert_eq!(
            trickled("a=mid:7\r\n", OFFER),
            Err(FragmentError::UnknownSection("7".to_owned()))
        );
    }
}
