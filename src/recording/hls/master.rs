//! The multivariant playlist (RFC 8216, 4.3.4): which media playlists there are, and what they hold. Pure.

use crate::recording::report::Size;

/// A playlist that a player need not have seen grow: what it says of bit rates and codecs is of all segments so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Master {
    /// That of the sound; there is none before the first segment with sound.
    pub sound: Option<Media>,
    /// That of the picture.
    pub picture: Option<Media>,
    /// The picture's largest size.
    pub size: Option<Size>,
    /// Channels of the sound.
    pub channels: u8,
}

/// What is told of a media playlist.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Media {
    /// The playlist, beside this one.
    pub file: String,
    /// Each codec that is or was in it, in order.
    pub codecs: Vec<String>,
    /// The bit rate of the segment with the highest one, in bits per second.
    pub peak: u64,
}

/// The one group of sound that there is.
const GROUP: &str = "sound";

impl Master {
    /// The playlist as players read it; `None` before there is anything to play.
    pub fn text(&self) -> Option<String> {
        let main = self.picture.as_ref().or(self.sound.as_ref())?;
        // Sound in a playlist of its own (EXT-X-MEDIA), where there is a picture to which it belongs.
        let beside = self.sound.as_ref().filter(|_| self.picture.is_some());
        let all = || [Some(main), beside].into_iter().flatten();
        let peak: u64 = all().map(|media| media.peak).sum();
        let codecs: Vec<_> = all().flat_map(|media| media.codecs.clone()).collect();
        let mut lines = vec!["#EXTM3U".to_owned(), "#EXT-X-VERSION:6".to_owned()];
        let mut stream = format!(
            "#EXT-X-STREAM-INF:BANDWIDTH={},CODECS=\"{}\"",
            peak.max(1),
            codecs.join(",")
        );
        if let (Some(size), Some(_)) = (self.size, &self.picture) {
            stream += &format!(",RESOLUTION={}x{}", size.width, size.height);
        }
        if let Some(sound) = beside {
            lines.push(format!(
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{GROUP}\",NAME=\"Sound\",DEFAULT=YES,AUTOSELECT=YES,\
                 CHANNELS=\"{}\",URI=\"{}\"",
                self.channels, sound.file
            ));
            stream += &format!(",AUDIO=\"{GROUP}\"");
        }
        lines.extend([stream, main.file.clone()]);
        Some(lines.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(file: &str, codecs: &[&str], peak: u64) -> Option<Media> {
        Some(Media {
            file: file.to_owned(),
            codecs: codecs.iter().map(|codec| (*codec).to_owned()).collect(),
            peak,
        })
    }

    #[test]
    fn sound_and_picture_are_named_with_what_they_take_together() {
        let master = Master {
            sound: media("sound.m3u8", &["Opus"], 50_000),
            picture: media("picture.m3u8", &["avc3.42c01f"], 1_500_000),
            size: Some(Size {
                width: 640,
                height: 360,
            }),
            channels: 2,
        };
        let expected = "#EXTM3U\n#EXT-X-VERSION:6\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"Sound\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",\
            URI=\"sound.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1550000,CODECS=\"avc3.42c01f,Opus\",RESOLUTION=640x360,AUDIO=\"sound\"\n\
            picture.m3u8\n";
        assert_eq!(master.text().unwrap(), expected);
    }

    #[test]
    fn sound_alone_is_the_stream_itself() {
        let master = Master {
            sound: media("sound.m3u8", &["mp4a.40.2"], 64_000),
            channels: 2,
            ..Master::default()
        };
        let expected = "#EXTM3U\n#EXT-X-VERSION:6\n\
            #EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\nsound.m3u8\n";
        assert_eq!(master.text().unwrap(), expected);
        assert_eq!(Master::default().text(), None);
    }
}
