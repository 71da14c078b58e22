//! The graph of running bins: elements, what is set on them, and links with their caps.

use std::collections::HashMap;

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;
use serde::{Deserialize, Serialize};

/// Pipelines and their elements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// Each pipeline, or each bin that was looked at by itself.
    pub clusters: Vec<Cluster>,
}

/// A pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its elements, those of bins within it included.
    pub nodes: Vec<Node>,
    /// Its links, by index of the elements.
    pub edges: Vec<Edge>,
}

/// An element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it is called: its factory, or caps.
    pub title: String,
    /// Properties that differ from their defaults, a few, as `name=value`.
    pub properties: Vec<String>,
    /// What it does.
    pub class: Class,
}

/// What an element does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It makes media.
    Source,
    /// It treats media.
    Filter,
    /// It encodes or decodes.
    Codec,
    /// It takes media.
    Sink,
    /// It only passes media on: queues, tees, caps.
    Flow,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The element it comes from.
    pub from: usize,
    /// The element it goes to.
    pub to: usize,
    /// The caps in short lines; empty before anything flowed.
    pub caps: Vec<String>,
}

/// No more properties are shown for an element.
const PROPERTIES: usize = 3;
/// Longer texts are cut, in characters.
const LONGEST: usize = 24;

impl Graph {
    /// The graph of these pipelines or bins as they are now.
    pub fn of(bins: &[gst::Bin]) -> Self {
        Self {
            clusters: bins.iter().map(cluster).collect(),
        }
    }
}

fn cluster(bin: &gst::Bin) -> Cluster {
    let mut elements = Vec::new();
    leaves(bin, &mut elements);
    let index: HashMap<String, usize> = elements
        .iter()
        .enumerate()
        .map(|(index, element)| (element.path_string().to_string(), index))
        .collect();
    let mut edges = Vec::new();
    for (from, element) in elements.iter().enumerate() {
        for pad in element.src_pads() {
            let Some(to) = far_element(&pad, &index) else {
                continue;
            };
            let caps = pad
                .current_caps()
                .map(|caps| short(&caps))
                .unwrap_or_default();
            edges.push(Edge { from, to, caps });
        }
    }
    Cluster {
        name: bin.name().to_string(),
        nodes: elements.iter().map(node).collect(),
        edges,
    }
}

/// Elements, those within plain bins included; a bin that is an element of its own kind stays one.
fn leaves(bin: &gst::Bin, elements: &mut Vec<gst::Element>) {
    let mut children: Vec<gst::Element> = bin.iterate_elements().into_iter().flatten().collect();
    children.reverse();
    for child in children {
        match child.downcast_ref::<gst::Bin>() {
            Some(inner) if is_plain(inner) && stand_in(&child).is_none() => leaves(inner, elements),
            Some(_) | None => elements.push(child),
        }
    }
}

/// The one element within a bin that a fragment's element was replaced with.
fn stand_in(element: &gst::Element) -> Option<gst::Element> {
    let bin = element
        .downcast_ref::<gst::Bin>()
        .filter(|bin| is_plain(bin))?;
    let mut children = bin.iterate_elements().into_iter().flatten();
    let only = children.next()?;
    (element.name().contains('#') && children.next().is_none()).then_some(only)
}

fn is_plain(bin: &gst::Bin) -> bool {
    let factory = bin.factory().map(|factory| factory.name().to_string());
    factory.is_none_or(|factory| factory == "bin" || factory == "pipeline")
}

/// The element at the other end of a link, through the pads of bins.
fn far_element(pad: &gst::Pad, index: &HashMap<String, usize>) -> Option<usize> {
    let mut peer = pad.peer()?;
    // Each step goes into or out of a bin; no pipeline nests as deep.
    for _ in 0..32 {
        let parent = peer.parent()?;
        if let Some(found) = index.get(parent.path_string().as_str()) {
            return Some(*found);
        }
        peer = match peer.downcast_ref::<gst::GhostPad>() {
            Some(ghost) => ghost.target()?,
            // A proxy pad: out of the bin through its ghost.
            None => peer.downcast_ref::<gst::ProxyPad>()?.internal()?.peer()?,
        };
    }
    None
}

fn node(element: &gst::Element) -> Node {
    let factory = stand_in(element).map_or_else(|| element.factory(), |inner| inner.factory());
    let kind = factory.as_ref().map(|factory| factory.name().to_string());
    let name = element.name().to_string();
    // A fragment's elements are called by factory and index; a stand-in shows what it stands for.
    let written = name.split_once('#').map(|(factory, _)| factory.to_owned());
    if kind.as_deref() == Some("capsfilter") {
        let caps = element.property::<gst::Caps>("caps");
        return Node {
            title: "caps".to_owned(),
            properties: short(&caps),
            class: Class::Flow,
        };
    }
    Node {
        title: cut(&written.or(kind.clone()).unwrap_or(name)),
        properties: properties(element),
        class: factory.map_or(Class::Filter, |factory| class(&factory)),
    }
}

fn class(factory: &gst::ElementFactory) -> Class {
    let name = factory.name();
    if matches!(
        name.as_str(),
        "queue" | "queue2" | "tee" | "identity" | "clocksync" | "valve" | "funnel"
    ) {
        return Class::Flow;
    }
    let has = |direction| {
        factory
            .static_pad_templates()
            .iter()
            .any(|template| template.direction() == direction)
    };
    let klass = factory.klass().to_owned();
    match (has(gst::PadDirection::Sink), has(gst::PadDirection::Src)) {
        (false, _) => Class::Source,
        (true, false) => Class::Sink,
        (true, true) if klass.contains("Encoder") || klass.contains("Decoder") => Class::Codec,
        (true, true) => Class::Filter,
    }
}

/// Simple properties that are not as they come.
fn properties(element: &gst::Element) -> Vec<String> {
    let mut found = Vec::new();
    for spec in element.list_properties() {
        let is_simple = spec.flags().contains(glib::ParamFlags::READWRITE)
            && !matches!(spec.name(), "name" | "parent" | "caps");
        if !is_simple || found.len() == PROPERTIES {
            continue;
        }
        let value = element.property_value(spec.name());
        let Ok(text) = value.serialize() else {
            continue;
        };
        let is_default = spec
            .default_value()
            .serialize()
            .is_ok_and(|default| default == text);
        if !is_default && !text.contains("NULL") {
            let plain = text.trim_matches('"').replace('\\', "");
            found.extend(told(spec.name(), &plain).as_deref().map(cut));
        }
    }
    found
}

/// A property as it may be shown: addresses without users, passwords and queries, secrets not at all.
fn told(name: &str, value: &str) -> Option<String> {
    let is_secret = [
        "password",
        "passwd",
        "user-pw",
        "user-id",
        "turn-server",
        // Of live servers.
        "username",
        "application",
        "stream",
        "secure-token",
        "streamid",
        "passphrase",
    ];
    if is_secret.contains(&name) {
        return None;
    }
    if !value.contains("://") {
        return Some(format!("{name}={value}"));
    }
    if let Some(hidden) = crate::streaming::target::hidden(value) {
        return Some(format!("{name}={hidden}"));
    }
    let url = url::Url::parse(value).ok()?;
    let host = url.host_str().unwrap_or_default();
    Some(format!("{name}={}://{host}{}", url.scheme(), url.path()))
}

/// Caps as a few short lines: media and format, size, rate.
fn short(caps: &gst::Caps) -> Vec<String> {
    let Some(structure) = caps.structure(0) else {
        return Vec::new();
    };
    let text = |field: &str| {
        let value = structure.value(field).ok()?;
        value.serialize().ok().map(|text| text.to_string())
    };
    let media = structure.name().to_string();
    let format = text("format").unwrap_or_default();
    let mut lines = vec![cut(format!("{} {format}", media.replace("/x-", "/")).trim())];
    if let (Some(width), Some(height)) = (text("width"), text("height")) {
        let rate = text("framerate").map(|rate| format!(" {}", rate.trim_end_matches("/1")));
        lines.push(cut(&format!(
            "{width}x{height}{}",
            rate.unwrap_or_default()
        )));
    }
    if let Some(rate) = text("rate") {
        let channels = text("channels").map(|channels| format!(" {channels} ch"));
        lines.push(cut(&format!("{rate} Hz{}", channels.unwrap_or_default())));
    }
    lines
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let start: String = text.chars().take(LONGEST - 1).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn passwords_do_not_get_into_pictures() {
        let location = told(
            "location",
            "rtsp://admin:s3cret@camera.local:554/live?token=abc",
        );
        assert_eq!(
            location.as_deref(),
            Some("location=rtsp://camera.local/live")
        );
        assert_eq!(told("turn-server", "turn://user:pass@host"), None);
        assert_eq!(told("user-pw", "s3cret"), None);
        assert_eq!(told("streamid", "s3cret"), None);
        let stream = told("location", "rtmp://live:1935/app/s3cret");
        assert_eq!(stream.as_deref(), Some("location=rtmp://live:1935/..."));
        assert_eq!(told("uri", "no url :// s3cret"), None);
        assert_eq!(told("pattern", "ball").as_deref(), Some("pattern=ball"));
    }
}
