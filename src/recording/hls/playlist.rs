//! A media playlist (RFC 8216, 4): which segments there are, and the text that says so. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::format_description;

/// What closes a playlist (RFC 8216, 4.3.3.4).
const END: &str = "#EXT-X-ENDLIST";
/// A playlist that may still grow names at least so many target durations (RFC 8216, 6.2.2).
const LEAST: u32 = 3;

/// A media playlist of fragmented MP4.
#[derive(Debug)]
pub struct Playlist {
    target: Duration,
    /// Segments to be listed; 0: all.
    keep: usize,
    listed: VecDeque<Segment>,
    /// Not listed any more, but still there for those who read an older playlist.
    expired: VecDeque<Segment>,
    /// Number of the first listed segment, from 1.
    first: u64,
    /// Discontinuities in front of those that are listed.
    discontinuities: u64,
    ended: bool,
}

/// A piece of media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its file, beside the playlist.
    pub file: String,
    /// The file that says what its tracks are.
    pub header: String,
    /// How long it is.
    pub duration: Duration,
    /// Wall-clock time of its first sample.
    pub at: OffsetDateTime,
    /// Its times do not follow those of its forerunner, or its tracks are others.
    pub discontinuity: bool,
    /// There is no such file: nothing of this track came before the first of it.
    pub is_gap: bool,
}

impl Playlist {
    /// For segments no longer than `target`, of which the last `keep` are listed, or with 0 all.
    pub fn new(target: Duration, keep: usize) -> Self {
        Self {
            target,
            keep,
            listed: VecDeque::new(),
            expired: VecDeque::new(),
            first: 1,
            discontinuities: 0,
            ended: false,
        }
    }

    /// The same, of a track that is in none of the segments; these files are not there.
    pub fn without_media(&self, file: impl Fn(u64) -> String) -> Self {
        let gap = |(number, segment): (u64, &Segment)| Segment {
            file: file(number),
            header: String::new(),
            is_gap: true,
            ..segment.clone()
        };
        Self {
            target: self.target,
            keep: self.keep,
            listed: (self.first..).zip(&self.listed).map(gap).collect(),
            expired: VecDeque::new(),
            first: self.first,
            discontinuities: self.discontinuities,
            ended: self.ended,
        }
    }

    /// The number of the next segment.
    pub fn next(&self) -> u64 {
        self.first + self.listed.len() as u64
    }

    /// Adds a segment. Gives the files that nobody needs any more.
    pub fn push(&mut self, segment: Segment) -> Vec<String> {
        self.listed.push_back(segment);
        while self.lists_too_much() {
            let Some(oldest) = self.listed.pop_front() else {
                break;
            };
            self.first += 1;
            self.discontinuities += u64::from(oldest.discontinuity);
            self.expired.push_back(oldest);
        }
        let mut useless = Vec::new();
        // RFC 8216, 6.2.2: one that is not listed any more stays as long as a playlist with it may be played.
        while self.keep > 0 && self.expired.len() > self.listed.len() + 1 {
            let Some(oldest) = self.expired.pop_front() else {
                break;
            };
            useless.push(oldest.file);
            let mut rest = self.expired.iter().chain(&self.listed);
            if rest.all(|segment| segment.header != oldest.header) {
                useless.push(oldest.header);
            }
        }
        useless
    }

    fn lists_too_much(&self) -> bool {
        let rest: Duration = self.listed.iter().skip(1).map(|it| it.duration).sum();
        self.keep > 0 && self.listed.len() > self.keep && rest >= self.target * LEAST
    }

    /// No segment comes after those that are there.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The playlist as players read it.
    pub fn text(&self) -> String {
        // The first one with EXT-X-GAP, and with EXT-X-MAP for media (RFC 8216bis, 8).
        let version = match self.listed.iter().any(|segment| segment.is_gap) {
            true => 8,
            false => 6,
        };
        let mut lines = vec![
            "#EXTM3U".to_owned(),
            format!("#EXT-X-VERSION:{version}"),
            format!("#EXT-X-TARGETDURATION:{}", self.target.as_secs()),
            format!("#EXT-X-MEDIA-SEQUENCE:{}", self.first),
        ];
        if self.keep == 0 {
            lines.push("#EXT-X-PLAYLIST-TYPE:EVENT".to_owned());
        } else {
            lines.push(format!(
                "#EXT-X-DISCONTINUITY-SEQUENCE:{}",
                self.discontinuities
            ));
        }
        let mut header = None;
        for segment in &self.listed {
            if segment.discontinuity {
                lines.push("#EXT-X-DISCONTINUITY".to_owned());
            }
            if header != Some(&segment.header) && !segment.header.is_empty() {
                lines.push(format!("#EXT-X-MAP:URI=\"{}\"", segment.header));
            }
            header = Some(&segment.header);
            if segment.is_gap {
                lines.push("#EXT-X-GAP".to_owned());
            }
            lines.push(format!("#EXT-X-PROGRAM-DATE-TIME:{}", utc(segment.at)));
            lines.push(format!("#EXTINF:{:.3},", segment.duration.as_secs_f64()));
            lines.push(segment.file.clone());
        }
        if self.ended {
            lines.push(END.to_owned());
        }
        lines.join("\n") + "\n"
    }
}

/// The text of a playlist that somebody could not close; `None` if it is closed.
pub fn closed(text: &str) -> Option<String> {
    let is_closed = text.lines().any(|line| line.trim_end() == END);
    (!is_closed).then(|| format!("{}\n{END}\n", text.trim_end()))
}

fn utc(at: OffsetDateTime) -> String {
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    // A year with five digits is no time that a clock shows.
    at.to_offset(time::UtcOffset::UTC)
        .format(form)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn segment(number: u64, header: &str, discontinuity: bool) -> Segment {
        Segment {
            file: format!("{number}.m4s"),
            header: header.to_owned(),
            duration: 4 * SECOND,
            at: datetime!(2026-11-22 08:15:30 UTC) + number as u32 * 4 * SECOND,
            discontinuity,
            is_gap: false,
        }
    }

    #[test]
    fn a_track_that_comes_late_has_gaps_where_the_other_has_segments() {
        let mut sound = Playlist::new(4 * SECOND, 0);
        sound.push(segment(1, "a.mp4", false));
        sound.push(segment(2, "b.mp4", true));
        let mut picture = sound.without_media(|number| format!("p{number}.m4s"));
        assert_eq!(picture.next(), 3);
        picture.push(segment(3, "p.mp4", true));
        let expected = "#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:1\n\
            #EXT-X-PLAYLIST-TYPE:EVENT\n\
            #EXT-X-GAP\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T08:15:34.000Z\n#EXTINF:4.000,\np1.m4s\n\
            #EXT-X-DISCONTINUITY\n\
            #EXT-X-GAP\n#EXT-X-PROGRAM-DATE-TIME:2026-11-22T08:15:38.000Z\n#EXTINF:4.000,\np2.m4s\n\
            #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"p.mp4\"\n\
            #EXT-X-PROGRAM-DATE-TIME:2026-11-22T08:15:42.000Z\n#EXTINF:4.000,\n3.m4s\n";
        assert_eq!(picture.text(), expected);
    }

    #[test]
    fn a_playlist_of_everything_names_headers_times_and_breaks() {
        let mut playlist = Playlist::new(5 * SECOND, 0);
        playlist.push(segment(1, "a.mp4", false));
        playlist.push(segment(2, "a.mp4", false));
        playlist.push(segment(3, "b.mp4", true));
        let expected = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:5\n#EXT-X-MEDIA-SEQUENCE:1\n\
            #EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MAP:URI=\"a.mp4\"\n\
            #EXT-X-PROGRAM-DATE-TIME:2026-11-22T08:15:34.000Z\n#EXTINF:4.000,\n1.m4s\n\
            #EXT-X-PROGRAM-DATE-TIME:2026-11-22T08:15:38.000Z\n#EXTINF:4.000,\n2.m4s\n\
            #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"b.mp4\"\n\
            #EXT-X-PROGRAM-DATE-TIME:2026-11-22T08:15:42.000Z\n#EXTINF:4.000,\n3.m4s\n";
        assert_eq!(playlist.text(), expected);
        playlist.end();
        assert_eq!(playlist.text(), format!("{expected}#EXT-X-ENDLIST\n"));
    }

    #[test]
    fn a_window_moves_on_and_files_go_once_nobody_can_want_them() {
        let mut playlist = Playlist::new(4 * SECOND, 3);
        let mut gone = Vec::new();
        for number in 1..=9 {
            let header = if number < 3 { "a.mp4" } else { "b.mp4" };
            gone.push(playlist.push(segment(number, header, number == 3)));
        }
        let text = playlist.text();
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:7\n"), "{text}");
        assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{text}");
        let files: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(files, ["7.m4s", "8.m4s", "9.m4s"]);
        assert!(text.contains("MAP:URI=\"b.mp4\""), "{text}");
        let gone: Vec<_> = gone.iter().map(|files| files.join(" ")).collect();
        assert_eq!(gone[7..], ["1.m4s", "2.m4s a.mp4"]);
        assert!(gone[..7].iter().all(String::is_empty), "{gone:?}");
    }

    #[test]
    fn a_window_is_never_shorter_than_three_target_durations() {
        let mut playlist = Playlist::new(10 * SECOND, 3);
        for number in 1..=20 {
            playlist.push(segment(number, "a.mp4", false));
        }
        // Of 4 seconds each: eight are 32 s.
        assert_eq!(playlist.next(), 21);
        assert!(
            playlist.text().contains("SEQUENCE:13\n"),
            "{}",
            playlist.text()
        );
    }

    #[test]
    fn a_playlist_that_a_killed_recorder_left_is_closed_once() {
        let mut playlist = Playlist::new(4 * SECOND, 0);
        playlist.push(segment(1, "a.mp4", false));
        let text = closed(&playlist.text()).unwrap();
        playlist.end();
        assert_eq!(text, playlist.text());
        assert_eq!(closed(&text), None);
    }
}
