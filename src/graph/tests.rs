//! Graphs of real bins: elements, links with caps, and pictures of them.

use gst::prelude::*;
use gstreamer as gst;

use super::model::{Class, Graph};

fn paused(launch: &str) -> gst::Pipeline {
    crate::media::init().unwrap();
    let pipeline = gst::parse::launch(launch)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    let (result, ..) = pipeline.state(gst::ClockTime::from_seconds(10));
    result.unwrap();
    pipeline
}

#[test]
fn a_graph_has_elements_links_and_caps_through_bins_and_travels_as_json() {
    let pipeline = paused(
        "videotestsrc pattern=ball num-buffers=3 ! video/x-raw,format=I420,width=64,height=48,framerate=5/1 ! tee name=t \
         t. ! queue ! ( identity ! jpegenc ) ! fakesink t. ! queue ! fakesink",
    );
    let graph = Graph::of(&[pipeline.clone().upcast()]);
    let _ = pipeline.set_state(gst::State::Null);
    let cluster = &graph.clusters[0];
    let title = |index: usize| cluster.nodes[index].title.as_str();
    let links: Vec<String> = cluster
        .edges
        .iter()
        .map(|edge| format!("{}>{}", title(edge.from), title(edge.to)))
        .collect();
    for wanted in [
        "videotestsrc>caps",
        "caps>tee",
        "tee>queue",
        "queue>identity",
        "identity>jpegenc",
        "jpegenc>fakesink",
        "queue>fakesink",
    ] {
        assert!(
            links.iter().any(|link| link == wanted),
            "{wanted}: {links:?}"
        );
    }
    assert_eq!((cluster.nodes.len(), links.len()), (9, 8), "{graph:#?}");
    let source = cluster
        .nodes
        .iter()
        .find(|node| node.title == "videotestsrc")
        .unwrap();
    assert!(
        source.properties.contains(&"pattern=ball".to_owned()),
        "{source:?}"
    );
    assert_eq!(source.class, Class::Source);
    let first = cluster
        .edges
        .iter()
        .find(|edge| title(edge.from) == "videotestsrc")
        .unwrap();
    assert_eq!(first.caps, ["video/raw I420", "64x48 5"]);

    let json = serde_json::to_string(&graph).unwrap();
    let back: Graph = serde_json::from_str(&json).unwrap();
    assert_eq!(back, graph);
    let svg = back.to_svg();
    assert!(svg.contains(">jpegenc<") && svg.contains("64x48 5") && !svg.contains("identity0"));
    assert!(back.to_png().unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn what_stands_in_a_graph_is_text_in_the_picture() {
    let pipeline = paused("videotestsrc num-buffers=1 ! textoverlay text=\"<script>&\" ! fakesink");
    let svg = Graph::of(&[pipeline.clone().upcast()]).to_svg();
    let _ = pipeline.set_state(gst::State::Null);
    assert!(
        svg.contains("text=&lt;script&gt;&amp;") && !svg.contains("<script"),
        "{svg}"
    );
}
