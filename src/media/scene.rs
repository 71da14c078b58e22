//! What a mix for a recording shows: everybody who is there, with a name and signs. Pure.

use std::time::Instant;

use super::grid::Place;
use super::layout::Layout;
use super::speaker::Voices;
use crate::signalling::ids::ParticipantId;
use crate::signalling::protocol::Sends;

/// Somebody who is in the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub id: ParticipantId,
    /// What is written on its picture. It may come from a stranger.
    pub label: String,
    /// What it sends now.
    pub sends: Sends,
}

/// One person's part of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tile {
    /// Whose.
    pub id: ParticipantId,
    pub place: Place,
    /// It lies over the large picture.
    pub is_over: bool,
    pub caption: Caption,
}

/// What is drawn over a person's picture, or in place of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Caption {
    pub label: String,
    pub is_muted: bool,
    pub is_speaking: bool,
    /// The camera is on, and a picture has come.
    pub has_picture: bool,
}

/// Everybody, and how they are arranged.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub people: Vec<Person>,
    pub layout: Layout,
    pub voices: Voices<ParticipantId>,
}

impl Scene {
    /// The tiles in the order in which people came; `shows` says who has a picture.
    pub fn tiles(
        &self,
        shows: impl Fn(&ParticipantId) -> bool,
        (width, height): (u32, u32),
        now: Instant,
    ) -> Vec<Tile> {
        let active = self.voices.active();
        let large = self
            .people
            .iter()
            .position(|person| Some(&person.id) == active);
        // Until somebody has spoken: the first who shows anything.
        let visible = |person: &Person| person.sends.video && shows(&person.id);
        let large = large
            .or_else(|| self.people.iter().position(visible))
            .unwrap_or(0);
        let places = self.layout.places(self.people.len(), large, width, height);
        let people = self.people.iter().zip(places).enumerate();
        people
            .map(|(index, (person, place))| Tile {
                id: person.id.clone(),
                place,
                is_over: index != large && self.layout == Layout::Pip,
                caption: Caption {
                    label: person.label.clone(),
                    is_muted: !person.sends.audio,
                    is_speaking: person.sends.audio && self.voices.is_speaking(&person.id, now),
                    has_picture: visible(person),
                },
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::speaker::Level;
    use super::*;

    fn person(id: &str, audio: bool, video: bool) -> Person {
        Person {
            id: id.parse().unwrap(),
            label: id.to_owned(),
            sends: Sends { audio, video },
        }
    }

    fn speaks(scene: &mut Scene, id: &str, now: &mut Instant) {
        for level in [127, 20, 20, 20, 20, 20, 20] {
            *now += Duration::from_millis(100);
            scene
                .voices
                .heard(&id.parse().unwrap(), Level::new(level), *now);
        }
    }

    #[test]
    fn who_speaks_is_large_and_framed_until_another_one_speaks() {
        let mut scene = Scene {
            people: vec![person("a", true, true), person("b", true, true)],
            layout: Layout::Pip,
            ..Scene::default()
        };
        let mut now = Instant::now();
        let look = |scene: &Scene, now| {
            let tiles = scene.tiles(|_| true, (1280, 720), now);
            let large = tiles
                .iter()
                .find(|tile| !tile.is_over)
                .unwrap()
                .id
                .to_string();
            let framed: Vec<_> = tiles
                .iter()
                .filter(|tile| tile.caption.is_speaking)
                .collect();
            (
                large,
                framed
                    .iter()
                    .map(|tile| tile.id.to_string())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(look(&scene, now), ("a".to_owned(), vec![]));
        speaks(&mut scene, "b", &mut now);
        assert_eq!(look(&scene, now), ("b".to_owned(), vec!["b".to_owned()]));
        now += Duration::from_secs(2);
        assert_eq!(look(&scene, now), ("b".to_owned(), vec![]));
        speaks(&mut scene, "a", &mut now);
        assert_eq!(look(&scene, now).0, "a");
    }

    #[test]
    fn who_is_muted_or_has_no_camera_is_marked_so() {
        let scene = Scene {
            people: vec![
                person("a", false, true),
                person("b", true, false),
                person("c", true, true),
            ],
            ..Scene::default()
        };
        let arrived: ParticipantId = "a".parse().unwrap();
        let tiles = scene.tiles(|id| *id == arrived, (1280, 720), Instant::now());
        let signs = tiles
            .iter()
            .map(|tile| (tile.caption.is_muted, tile.caption.has_picture));
        assert_eq!(
            signs.collect::<Vec<_>>(),
            [(true, true), (false, false), (false, false)]
        );
    }

    #[test]
    fn the_large_place_falls_to_one_with_a_picture_when_the_speaker_has_gone() {
        let mut scene = Scene {
            people: vec![person("a", true, false), person("b", true, true)],
            layout: Layout::Speaker,
            ..Scene::default()
        };
        speaks(&mut scene, "c", &mut Instant::now());
        let tiles = scene.tiles(|_| true, (1280, 720), Instant::now());
        assert!(tiles[1].place.width > tiles[0].place.width);
    }
}
