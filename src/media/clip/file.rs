//! Clips in the media folder: which names are allowed, what there is, and how each kind of file is read.

use std::path::{Path, PathBuf};

use super::super::feed::{Chain, Media};

const GOOD: &str = "gstreamer1.0-plugins-good";
const BASE: &str = "gstreamer1.0-plugins-base";
const BAD: &str = "gstreamer1.0-plugins-bad";
const LIBAV: &str = "gstreamer1.0-libav";
/// So many names of the folder are told at most.
const SHOWN: usize = 20;

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A still picture, by its decoder.
    Still(&'static str),
    /// Sound and pictures, by their demuxer.
    Container(&'static str),
}

/// A file of the media folder.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Where it is, without symbolic links.
    pub path: PathBuf,
    /// Its name, for messages.
    pub name: String,
    /// How it is read.
    pub format: Format,
}

/// The formats by file name extension.
const FORMATS: [(&str, Format); 8] = [
    ("png", Format::Still("pngdec")),
    ("jpg", Format::Still("jpegdec")),
    ("jpeg", Format::Still("jpegdec")),
    ("webm", Format::Container("matroskademux")),
    ("mkv", Format::Container("matroskademux")),
    ("mp4", Format::Container("qtdemux")),
    ("m4v", Format::Container("qtdemux")),
    ("m4a", Format::Container("qtdemux")),
];

/// Finds a clip by its name.
///
/// # Errors
/// What was found and what would be right: the clips that are there.
pub fn find(folder: Option<&Path>, name: &str) -> Result<Clip, String> {
    let folder = folder.ok_or("attacheclip: no media folder is set")?;
    let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    let wrong = |found: &str| {
        let there = names(folder);
        let there = match there.as_slice() {
            [] => "nothing that could be played".to_owned(),
            names => names.join(", "),
        };
        format!(
            "attacheclip: location {shown:?} {found}; the media folder {} has: {there}",
            folder.display()
        )
    };
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if !is_plain {
        return Err(wrong("is not the plain name of a file"));
    }
    let path = folder.join(name);
    let Some(format) = format_of(&path) else {
        return Err(wrong("is no png, jpg, webm, mkv, mp4, m4v or m4a"));
    };
    let resolved = path.canonicalize().map_err(|_| wrong("is not there"))?;
    let inside = folder.canonicalize().map_err(|_| wrong("is not there"))?;
    if resolved.parent() != Some(&inside) {
        return Err(wrong("is a link that leads out of the folder"));
    }
    if !resolved.is_file() {
        return Err(wrong("is no file"));
    }
    Ok(Clip {
        path: resolved,
        name: shown,
        format,
    })
}

fn format_of(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    FORMATS
        .iter()
        .find(|(of, _)| *of == extension)
        .map(|(_, format)| *format)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|path| format_of(path).is_some())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names.truncate(SHOWN);
    names
}

/// The decoder of a demuxer's stream; `None` if it is of another kind or unknown.
pub fn decoder(media: Media, caps: &gstreamer::Caps) -> Option<Chain> {
    let structure = caps.structure(0)?;
    let chain: (Media, Chain) = match structure.name().as_str() {
        "video/x-vp8" => (Media::Video, &[("vp8dec", GOOD)]),
        "video/x-vp9" => (Media::Video, &[("vp9dec", GOOD)]),
        "video/x-h264" => (Media::Video, &[("h264parse", BAD), ("avdec_h264", LIBAV)]),
        "audio/x-opus" => (Media::Audio, &[("opusdec", BASE)]),
        "audio/x-vorbis" => (Media::Audio, &[("vorbisdec", BASE)]),
        "audio/mpeg" if structure.get::<i32>("mpegversion").ok() == Some(4) => {
            (Media::Audio, &[("aacparse", GOOD), ("avdec_aac", LIBAV)])
        }
        _ => return None,
    };
    (chain.0 == media).then_some(chain.1)
}

/// What is wrong with a stream that is of the kind, but has no decoder here.
pub fn unknown(media: Media, caps: &gstreamer::Caps) -> Option<String> {
    let name = caps.structure(0)?.name();
    let known = match media {
        Media::Video => "VP8, VP9 or H.264",
        Media::Audio => "Opus, Vorbis or AAC",
    };
    let is_of_kind = name.starts_with(media.name());
    is_of_kind.then(|| format!("its {} is {name}; {known} would be played", media.word()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_inside_the_folder_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let media = folder.path().join("media");
        std::fs::create_dir(&media).unwrap();
        for file in [
            media.join("a.png"),
            media.join("notes.txt"),
            outside.path().join("b.png"),
        ] {
            std::fs::write(file, "x").unwrap();
        }
        std::fs::write(folder.path().join("c.png"), "x").unwrap();
        std::fs::create_dir(media.join("dir.png")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("b.png"), media.join("out.png")).unwrap();
        std::os::unix::fs::symlink(media.join("a.png"), media.join("in.png")).unwrap();
        assert!(find(Some(&media), "a.png").is_ok());
        assert!(find(Some(&media), "in.png").is_ok());
        for (name, wanted) in [
            ("", "plain name"),
            ("..", "plain name"),
            ("../c.png", "plain name"),
            ("/etc/passwd", "plain name"),
            (".hidden.png", "plain name"),
            ("sub/a.png", "plain name"),
            ("notes.txt", "is no png"),
            ("gone.png", "is not there"),
            ("out.png", "leads out"),
            ("dir.png", "is no file"),
        ] {
            let error = find(Some(&media), name).expect_err(name);
            assert!(
                error.contains(wanted) && error.contains("has: a.png"),
                "{name}: {error}"
            );
        }
    }
}
