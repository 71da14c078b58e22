//! What the server must know of a session description: whether it promises to send media. Nothing else is read.

/// Whether an m-section of sound or picture is `sendrecv` or `sendonly`, or says nothing (RFC 8866, 6.7: that is
/// `sendrecv`). Rejected m-lines (port 0 without `bundle-only`; RFC 8829, 5.3.1) send nothing.
///
/// Who must not send could try a description that this and a browser read differently. So everything that is not
/// plainly silent counts as sending: whatever is not a data channel is media, one sending attribute among several
/// is enough, and any line break ends a line.
pub fn sends_media(sdp: &str) -> bool {
    let mut lines = sdp
        .split(['\r', '\n'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .peekable();

    let mut session = Directions::default();
    while let Some(line) = lines.next_if(|line| !is_media_line(line)) {
        session.read(line);
    }
    while let Some(media_line) = lines.next() {
        let mut section = Directions::default();
        while let Some(line) = lines.next_if(|line| !is_media_line(line)) {
            section.read(line);
        }
        let rejected = is_port_zero(media_line) && !section.bundle_only;
        let carries_media = !is_data(media_line) && !rejected;
        if carries_media && section.sends(&session) {
            return true;
        }
    }
    false
}

#[derive(Default)]
struct Directions {
    sending: bool,
    silent: bool,
    bundle_only: bool,
}

impl Directions {
    fn read(&mut self, line: &str) {
        match line.to_ascii_lowercase().replace(' ', "").as_str() {
            "a=sendrecv" | "a=sendonly" => self.sending = true,
            "a=recvonly" | "a=inactive" => self.silent = true,
            "a=bundle-only" => self.bundle_only = true,
            _ => {}
        }
    }

    fn sends(&self, session: &Self) -> bool {
        if self.sending || self.silent {
            return self.sending;
        }
        session.sending || !session.silent
    }
}

fn is_media_line(line: &&str) -> bool {
    line.starts_with("m=") || line.starts_with("M=")
}

fn is_data(media_line: &str) -> bool {
    media_line
        .strip_prefix("m=")
        .is_some_and(|rest| rest.starts_with("application "))
}

fn is_port_zero(media_line: &str) -> bool {
    media_line.split_whitespace().nth(1) == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(sections: &[&str]) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{}",
            sections.concat()
        )
    }

    #[test]
    fn only_receiving_descriptions_send_nothing() {
        let sdp = described(&[
            "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\n",
            "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=inactive\r\n",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\n",
        ]);
        assert!(!sends_media(&sdp));
    }

    #[test]
    fn one_sending_section_is_enough() {
        for direction in [
            "a=sendrecv\r\n",
            "a=sendonly\r\n",
            "",
            "a=recvonly\r\na=sendrecv\r\n",
            "A=sendrecv\n",
        ] {
            let sdp = described(&[
                "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=recvonly\r\n",
                "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
                direction,
            ]);
            assert!(sends_media(&sdp), "{direction:?}");
        }
    }

    #[test]
    fn rejected_sections_send_nothing_but_bundled_ones_do() {
        assert!(!sends_media(&described(&[
            "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=sendrecv\r\n"
        ])));
        assert!(sends_media(&described(&[
            "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=bundle-only\r\na=sendrecv\r\n"
        ])));
    }

    #[test]
    fn a_direction_of_the_session_holds_for_sections_without_one() {
        assert!(!sends_media("v=0\na=recvonly\nm=audio 9 RTP/AVP 0\n"));
        assert!(sends_media(
            "v=0\na=recvonly\nm=audio 9 RTP/AVP 0\na=sendonly\n"
        ));
        assert!(sends_media(
            "v=0\na=recvonly\rm=audio 9 RTP/AVP 0\ra=sendonly\r"
        ));
    }

    #[test]
    fn unknown_kinds_of_media_count_as_media() {
        assert!(sends_media(&described(&["m=Application 9 RTP/AVP 0\r\n"])));
        assert!(sends_media(&described(&["m=text 9 RTP/AVP 0\r\n"])));
    }
}
