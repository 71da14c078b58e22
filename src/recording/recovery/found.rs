//! What lies in a recording's folder that its manifest does not know: the last files before the recorder was killed.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};
use tracing::warn;

use super::Mode;
use crate::recording::draft;
use crate::recording::hls;
use crate::recording::manifest::{Manifest, MediaEntry, Visit};
use crate::recording::repair::{examine, is_media};
use crate::signalling::ids::ParticipantId;
use crate::signalling::protocol::Kind;

/// A visit's name in its files is taken so much earlier than the manifest's `arrived`.
const SAME_ARRIVAL: Duration = Duration::from_secs(5);

/// A media file's name, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    /// What all files of the visit begin with.
    stem: String,
    arrived: OffsetDateTime,
    participant: ParticipantId,
    part: u32,
}

impl Name {
    /// As `Stem` makes them: `20261122T081530Z-<participant>[.<visit>][-<part>].<extension>`.
    fn of(path: &Path) -> Option<Self> {
        static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(r"^((\d{8}T\d{6})Z-([A-Za-z0-9_.-]+?)(?:\.\d+)?)(?:-(\d+))?$").ok()
        });
        if !is_media(path) {
            return None;
        }
        let path = draft::stands_for(path).unwrap_or_else(|| path.to_owned());
        let name = FORM.as_ref()?.captures(path.file_stem()?.to_str()?)?;
        let form = format_description!("[year][month][day]T[hour][minute][second]");
        let arrived = PrimitiveDateTime::parse(&name[2], form).ok()?;
        Some(Self {
            stem: name[1].to_owned(),
            arrived: arrived.assume_utc(),
            participant: name[3].parse().ok()?,
            part: name
                .get(4)
                .map_or(Some(1), |part| part.as_str().parse().ok())?,
        })
    }
}

/// What the names of all files of the same visit begin with.
pub fn stem_of(path: &Path) -> Option<String> {
    Name::of(Path::new(path.file_name()?)).map(|name| name.stem)
}

/// Whether the folder holds media as a recorder names it.
pub fn looks_like_a_recording(folder: &Path) -> bool {
    files(folder).iter().any(|path| Name::of(path).is_some())
}

/// Adds files that the manifest does not know, of both its folders; gives their number.
pub fn take_in(manifest: &mut Manifest, folder: &Path, mode: Mode) -> usize {
    let mut count = 0;
    let here = files(folder);
    let elsewhere = manifest.second_beside(folder).map(files);
    // Only its second folder is there: its names are whole paths, should the first come back.
    let is_second = manifest.second_folder.is_some() && elsewhere.is_none();
    let there = [here, elsewhere.unwrap_or_default()].concat();
    let settled = |path: &PathBuf| match draft::stands_for(path) {
        Some(file) => settle(path, file, &there, mode),
        None => Some(path.clone()),
    };
    for path in there.iter().filter_map(settled) {
        let file = match path.strip_prefix(folder) {
            Ok(name) if !is_second => name.to_owned(),
            Ok(_) | Err(_) => path.clone(),
        };
        let Some(name) = Name::of(&path) else {
            continue;
        };
        let known = |visit: &Visit| visit.files.iter().any(|entry| entry.file == file);
        if manifest.visits.iter().any(known) {
            continue;
        }
        let started = examine(&path).ok().and_then(|found| found.started);
        let entry = MediaEntry::found(file, name.part, started.unwrap_or(name.arrived));
        let visit = visit_of(manifest, &name);
        visit.files.push(entry);
        visit.files.sort_by_key(|entry| entry.part);
        count += 1;
    }
    count
}

/// Closes the playlists that are open in both folders, and says so in the manifest.
///
/// # Errors
/// Of the file system.
pub fn close_playlists(manifest: &mut Manifest, folder: &Path) -> io::Result<()> {
    let second = manifest.second_beside(folder).map(Path::to_owned);
    let mut playlists = hls::close_playlists(folder)?;
    if let Some(second) = second.filter(|second| second.is_dir()) {
        let elsewhere = hls::close_playlists(&second)?;
        playlists.extend(elsewhere.iter().map(|playlist| second.join(playlist)));
    }
    for playlist in playlists {
        let stem = playlist.parent().and_then(Path::file_stem);
        let is_its = |visit: &&mut Visit| {
            let mut known = visit.hls.iter().flat_map(|entry| &entry.playlists);
            let mut files = visit.files.iter();
            known.any(|known| *known == playlist)
                || files.any(|entry| stem_of(&entry.file).as_deref().map(OsStr::new) == stem)
        };
        if let Some(visit) = manifest.visits.iter_mut().find(is_its) {
            visit.hls.get_or_insert_default().is_finished(&playlist);
        }
    }
    Ok(())
}

/// What becomes of a draft: the file that it stands in for, where the recorder was killed before that had its frames.
fn settle(draft: &Path, file: PathBuf, there: &[PathBuf], mode: Mode) -> Option<PathBuf> {
    let is_it = |path: &&PathBuf| path.file_stem() == file.file_stem();
    let has_file = there.iter().filter(is_it).any(|path| examine(path).is_ok());
    let done = match (has_file, mode) {
        (true, Mode::Look) => return None,
        (false, Mode::Look) => return Some(draft.to_owned()),
        (true, Mode::Recover) => fs::remove_file(draft).map(|()| None),
        (false, Mode::Recover) => fs::rename(draft, &file).map(|()| Some(file)),
    };
    done.unwrap_or_else(|error| {
        warn!("{} stays where it is: {error}", draft.display());
        None
    })
}

/// The visit that a file belongs to; a new one where the manifest has none.
fn visit_of<'a>(manifest: &'a mut Manifest, name: &Name) -> &'a mut Visit {
    let has_others = |visit: &Visit| {
        let mut names = visit.files.iter().filter_map(|entry| Name::of(&entry.file));
        names.any(|known| known.stem == name.stem)
    };
    let is_its = |visit: &Visit| {
        let apart = (visit.arrived - name.arrived).unsigned_abs();
        visit.participant == name.participant && visit.files.is_empty() && apart < SAME_ARRIVAL
    };
    let visits = &manifest.visits;
    let found = visits.iter().position(has_others);
    let index = found
        .or_else(|| visits.iter().position(is_its))
        .unwrap_or_else(|| {
            // What its sender was is not known.
            let visit = Visit::begin(name.participant.clone(), Kind::Person, name.arrived);
            manifest.visits.push(visit);
            manifest.visits.len() - 1
        });
    &mut manifest.visits[index]
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// How long ago something was written into the recording's files.
pub fn silent(folder: &Path) -> Option<Duration> {
    let manifest = Manifest::load(folder).ok();
    let second = manifest
        .as_ref()
        .and_then(|manifest| manifest.second_beside(folder));
    let all = files(folder).into_iter();
    let all = all.chain(second.into_iter().flat_map(files));
    let changed = |path: PathBuf| fs::metadata(path).ok()?.modified().ok();
    all.filter_map(changed).max()?.elapsed().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end so")]
    use super::*;

    #[test]
    fn names_of_files_are_taken_apart() {
        let name = |text: &str| {
            let name = Name::of(Path::new(text))?;
            Some((name.stem, name.participant.to_string(), name.part))
        };
        let first = "20261122T081530Z-7r2c";
        let found = |stem: &str, participant: &str, part| {
            Some((stem.to_owned(), participant.to_owned(), part))
        };
        assert_eq!(name("20261122T081530Z-7r2c.webm"), found(first, "7r2c", 1));
        assert_eq!(name("20261122T081530Z-7r2c-2.mkv"), found(first, "7r2c", 2));
        let again = "20261122T081530Z-7r2c.2";
        assert_eq!(
            name("20261122T081530Z-7r2c.2-11.webm"),
            found(again, "7r2c", 11)
        );
        for other in [
            "holiday.webm",
            "20261122T081530Z-7r2c.txt",
            "20261340T081530Z-a.mkv",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
