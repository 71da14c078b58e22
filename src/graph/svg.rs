//! The picture of a graph: SVG, and PNG made of it. Dark text on white, colours by what elements do.

use std::fmt::Write;

use super::layout::{Cell, layout};
use super::model::{Class, Cluster, Graph};

const NODE_WIDTH: usize = 180;
const TITLE_HEIGHT: usize = 26;
const LINE_HEIGHT: usize = 15;
/// Between columns: caps stand here.
const GAP: usize = 150;
const ROW_GAP: usize = 22;
const MARGIN: usize = 24;
const HEADER: usize = 34;

fn colour(class: Class) -> (&'static str, &'static str) {
    match class {
        Class::Source => ("#d8f0dc", "#2e7d4f"),
        Class::Filter => ("#e4ecfa", "#3f62a8"),
        Class::Codec => ("#fdeccd", "#a86a12"),
        Class::Sink => ("#f8dcdf", "#a8394a"),
        Class::Flow => ("#f1f1f1", "#777777"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace(|letter: char| letter.is_control(), " ")
}

impl Graph {
    /// The picture as SVG.
    pub fn to_svg(&self) -> String {
        let mut body = String::new();
        let (mut top, mut width) = (MARGIN, 400);
        for cluster in &self.clusters {
            let drawn = Drawn::of(cluster);
            drawn.draw(cluster, top, &mut body);
            width = width.max(drawn.width + 2 * MARGIN);
            top += drawn.height + MARGIN;
        }
        let legend_top = top;
        draw_legend(legend_top, &mut body);
        let height = legend_top + 40;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"DejaVu Sans, sans-serif\" fill=\"#1a1a1a\">\n\
             <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
             <path d=\"M0 0 L8 4 L0 8 z\" fill=\"#555\"/></marker></defs>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
        )
    }

    /// The picture as PNG.
    ///
    /// # Errors
    /// In words, where it is too large to draw.
    pub fn to_png(&self) -> Result<Vec<u8>, String> {
        use resvg::{tiny_skia, usvg};
        let mut options = usvg::Options::default();
        options.fontdb_mut().load_system_fonts();
        let tree =
            usvg::Tree::from_str(&self.to_svg(), &options).map_err(|error| error.to_string())?;
        let size = tree.size().to_int_size();
        let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height())
            .ok_or_else(|| format!("{} by {} pixels are too many", size.width(), size.height()))?;
        resvg::render(&tree, tiny_skia::Transform::default(), &mut pixels.as_mut());
        pixels.encode_png().map_err(|error| error.to_string())
    }
}

fn draw_legend(top: usize, out: &mut String) {
    let classes = [
        (Class::Source, "source"),
        (Class::Filter, "filter"),
        (Class::Codec, "encoder, decoder"),
        (Class::Sink, "sink"),
        (Class::Flow, "flow"),
    ];
    let mut left = MARGIN;
    for (class, name) in classes {
        let (fill, stroke) = colour(class);
        let (baseline, text) = (top + 12, left + 20);
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{top}\" width=\"14\" height=\"14\" rx=\"3\" fill=\"{fill}\" stroke=\"{stroke}\"/>\
             <text x=\"{text}\" y=\"{baseline}\" font-size=\"12\">{name}</text>"
        );
        left += 40 + name.len() * 8;
    }
}

/// A cluster with the places of its nodes.
struct Drawn {
    cells: Vec<Cell>,
    /// The top of each row, below the cluster's own.
    rows: Vec<usize>,
    width: usize,
    height: usize,
}

fn node_height(lines: usize) -> usize {
    TITLE_HEIGHT + lines * LINE_HEIGHT + if lines > 0 { 6 } else { 0 }
}

impl Drawn {
    fn of(cluster: &Cluster) -> Self {
        let cells = layout(cluster);
        let columns = cells.iter().map(|cell| cell.column + 1).max().unwrap_or(1);
        let count = cells.iter().map(|cell| cell.row + 1).max().unwrap_or(1);
        let mut rows = Vec::with_capacity(count);
        let mut top = HEADER;
        for row in 0..count {
            rows.push(top);
            let heights = cells
                .iter()
                .zip(&cluster.nodes)
                .filter(|(cell, _)| cell.row == row)
                .map(|(_, node)| node_height(node.properties.len()));
            top += heights.max().unwrap_or(TITLE_HEIGHT) + ROW_GAP;
        }
        Self {
            cells,
            rows,
            width: columns * NODE_WIDTH + (columns - 1) * GAP + 2 * MARGIN,
            height: top,
        }
    }

    fn place(&self, node: usize, top: usize) -> (usize, usize) {
        let cell = self.cells[node];
        let left = 2 * MARGIN + cell.column * (NODE_WIDTH + GAP);
        (left, top + self.rows[cell.row])
    }

    fn draw(&self, cluster: &Cluster, top: usize, out: &mut String) {
        let (width, height, name) = (self.width, self.height, escape(&cluster.name));
        let (title_left, title_top) = (MARGIN + 12, top + 21);
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "<rect x=\"{MARGIN}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#fcfcfc\" stroke=\"#bbbbbb\"/>\
             <text x=\"{title_left}\" y=\"{title_top}\" font-size=\"14\" font-weight=\"bold\">{name}</text>"
        );
        for edge in &cluster.edges {
            if edge.from < self.cells.len() && edge.to < self.cells.len() {
                self.draw_edge(edge, top, out);
            }
        }
        for (index, node) in cluster.nodes.iter().enumerate() {
            let (left, top) = self.place(index, top);
            let (fill, stroke) = colour(node.class);
            let height = node_height(node.properties.len());
            let (middle, baseline, title) = (left + NODE_WIDTH / 2, top + 18, escape(&node.title));
            let _ = writeln!(
                out,
                "<rect x=\"{left}\" y=\"{top}\" width=\"{NODE_WIDTH}\" height=\"{height}\" rx=\"6\" fill=\"{fill}\" stroke=\"{stroke}\"/>\
                 <text x=\"{middle}\" y=\"{baseline}\" font-size=\"13\" font-weight=\"bold\" text-anchor=\"middle\">{title}</text>"
            );
            for (line, property) in node.properties.iter().enumerate() {
                let baseline = top + TITLE_HEIGHT + 11 + line * LINE_HEIGHT;
                let property = escape(property);
                let _ = writeln!(
                    out,
                    "<text x=\"{middle}\" y=\"{baseline}\" font-size=\"11\" text-anchor=\"middle\">{property}</text>"
                );
            }
        }
    }

    fn draw_edge(&self, edge: &super::model::Edge, top: usize, out: &mut String) {
        let ((x1, y1), (x2, y2)) = (self.place(edge.from, top), self.place(edge.to, top));
        let (x1, y1, y2) = (
            x1 + NODE_WIDTH,
            y1 + TITLE_HEIGHT / 2,
            y2 + TITLE_HEIGHT / 2,
        );
        let bend = (x1 + GAP / 2, x2.saturating_sub(GAP / 2));
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "<path d=\"M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#555\" marker-end=\"url(#tip)\"/>",
            bend.0, bend.1
        );
        // Beside the end of the link: links that come from one element differ there.
        let (middle, first) = (x2.saturating_sub(GAP / 2), y2);
        for (line, caps) in edge.caps.iter().enumerate() {
            let baseline = match line {
                0 => first.saturating_sub(5),
                line => first + 1 + line * 12,
            };
            let caps = escape(caps);
            let _ = writeln!(
                out,
                "<text x=\"{middle}\" y=\"{baseline}\" font-size=\"10\" text-anchor=\"middle\" fill=\"#333\" \
                 stroke=\"#fcfcfc\" stroke-width=\"3\" paint-order=\"stroke\">{caps}</text>"
            );
        }
    }
}
