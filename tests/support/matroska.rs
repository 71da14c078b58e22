//! The skeleton of a finished Matroska file, read independently of players: elements, cues, clusters.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

use std::path::Path;

const SEGMENT: u32 = 0x1853_8067;
const SEEK_HEAD: u32 = 0x114D_9B74;
const SEEK: u32 = 0x4DBB;
const SEEK_ID: u32 = 0x53AB;
const SEEK_POSITION: u32 = 0x53AC;
const CLUSTER: u32 = 0x1F43_B675;
const TIMESTAMP: u32 = 0xE7;
const CUES: u32 = 0x1C53_BB6B;
const CUE_TIME: u32 = 0xB3;
const CUE_TRACK_POSITIONS: u32 = 0xB7;
const CUE_CLUSTER_POSITION: u32 = 0xF1;

/// An element: id, where it begins, its content.
#[derive(Debug, Clone, Copy)]
struct Element<'a> {
    id: u32,
    at: usize,
    content: &'a [u8],
}

/// What a finished file says of itself.
#[derive(Debug, Default, PartialEq)]
pub struct Skeleton {
    /// Timestamps of the clusters, in milliseconds.
    pub clusters: Vec<u64>,
    /// Cues: their time, and the timestamp of the cluster they point at.
    pub cues: Vec<(u64, u64)>,
}

impl Skeleton {
    /// Reads a finished file.
    ///
    /// # Panics
    /// If sizes do not add up, or the seek head or a cue points at a wrong place.
    pub fn of(file: &Path) -> Self {
        let bytes = std::fs::read(file).unwrap();
        let top = children(&bytes);
        let segment = top
            .iter()
            .find(|element| element.id == SEGMENT)
            .expect("a segment");
        let inside = children(segment.content);
        let at = |position: u64| {
            inside
                .iter()
                .find(|element| element.at as u64 == position)
                .unwrap_or_else(|| panic!("nothing begins at {position}"))
        };
        let seek_head = find(&inside, SEEK_HEAD);
        for seek in children(seek_head.content)
            .iter()
            .filter(|element| element.id == SEEK)
        {
            let entry = children(seek.content);
            let target = at(number(find(&entry, SEEK_POSITION)));
            assert_eq!(
                u64::from(target.id),
                number(find(&entry, SEEK_ID)),
                "the seek head points at something else"
            );
        }
        let timestamp = |cluster: &Element| number(find(&children(cluster.content), TIMESTAMP));
        let mut cues = Vec::new();
        for point in inside
            .iter()
            .filter(|element| element.id == CUES)
            .flat_map(|cues| children(cues.content))
        {
            let entry = children(point.content);
            let positions = children(find(&entry, CUE_TRACK_POSITIONS).content);
            let cluster = at(number(find(&positions, CUE_CLUSTER_POSITION)));
            assert_eq!(
                cluster.id, CLUSTER,
                "a cue points at something else than a cluster"
            );
            cues.push((number(find(&entry, CUE_TIME)), timestamp(cluster)));
        }
        let clusters = inside
            .iter()
            .filter(|element| element.id == CLUSTER)
            .map(timestamp)
            .collect();
        Self { clusters, cues }
    }
}

fn find<'a, 'b>(elements: &'b [Element<'a>], id: u32) -> &'b Element<'a> {
    elements
        .iter()
        .find(|element| element.id == id)
        .unwrap_or_else(|| panic!("no element {id:#x}"))
}

fn number(element: &Element) -> u64 {
    element
        .content
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The elements that fill `bytes` to the last one.
fn children(bytes: &[u8]) -> Vec<Element<'_>> {
    let mut elements = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let id_length = bytes[at].leading_zeros() as usize + 1;
        let id = bytes[at..at + id_length]
            .iter()
            .fold(0, |id, &byte| id << 8 | u32::from(byte));
        let size_at = at + id_length;
        let size_length = bytes[size_at].leading_zeros() as usize + 1;
        let mask = if size_length == 8 {
            0
        } else {
            0xff >> size_length
        };
        let first = usize::from(bytes[size_at]) & mask;
        let size = bytes[size_at + 1..size_at + size_length]
            .iter()
            .fold(first, |size, &byte| size << 8 | usize::from(byte));
        let content = size_at + size_length;
        assert!(
            content + size <= bytes.len(),
            "element {id:#x} at {at} is longer than what holds it"
        );
        elements.push(Element {
            id,
            at,
            content: &bytes[content..content + size],
        });
        at = content + size;
    }
    elements
}
