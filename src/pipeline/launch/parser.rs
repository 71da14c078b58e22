//! A fragment's text becomes its elements and links, or every mistake in it with its position.

mod items;

use super::{Element, Launch, Link, LinkEnd, Mistake, Piece, Property, What};
use items::is_name;

/// Longer fragments are refused, in bytes.
const LONGEST: usize = 16 * 1024;

/// Reads a fragment's text.
///
/// # Errors
/// Every mistake, each with its byte position.
pub fn parse(text: &str) -> Result<Launch, Vec<Mistake>> {
    let mut parser = Parser {
        text,
        at: 0,
        launch: Launch::default(),
        links: Vec::new(),
        mistakes: Vec::new(),
    };
    if text.len() > LONGEST {
        let found = format!("{} bytes", text.len());
        parser.wrong(0, found, format!("at most {LONGEST} bytes"));
    } else {
        parser.chains();
        parser.resolve();
    }
    if parser.mistakes.is_empty() {
        return Ok(parser.launch);
    }
    parser.mistakes.sort_by_key(|mistake| mistake.at);
    parser.mistakes.dedup();
    Err(parser.mistakes)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    launch: Launch,
    links: Vec<(Node, Node, usize)>,
    mistakes: Vec<Mistake>,
}

/// What stands at an end of a link.
#[derive(Debug, Clone)]
enum Node {
    Element(usize),
    Reference {
        name: String,
        pad: Option<String>,
        at: usize,
    },
    /// It was told already what is wrong with it.
    Broken,
}

/// What was read at one place.
enum Item {
    Node(Node),
    Property(Property),
    Nothing,
}

impl<'a> Parser<'a> {
    fn wrong(&mut self, at: usize, found: impl Into<String>, right: impl Into<String>) {
        self.mistakes.push(Mistake {
            at,
            found: found.into(),
            right: right.into(),
        });
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes letters while they are of this kind.
    fn take_while(&mut self, is_one: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|letter| !is_one(letter)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn chains(&mut self) {
        let mut previous: Option<Node> = None;
        let mut link: Option<usize> = None;
        loop {
            self.skip_spaces();
            let start = self.at;
            match self.peek() {
                None => break,
                Some('!') => {
                    self.at += 1;
                    if previous.is_none() || link.is_some() {
                        let found = "\"!\" with nothing before it";
                        self.wrong(start, found, "an element stands on both sides of \"!\"");
                    }
                    link = Some(start);
                    continue;
                }
                Some(letter) => match self.item(letter) {
                    Item::Nothing => continue,
                    Item::Property(property) => {
                        self.property(previous.as_ref(), link, property);
                        if link.take().is_some() {
                            previous = Some(Node::Broken);
                        }
                    }
                    Item::Node(node) => {
                        if let (Some(link), Some(from)) = (link.take(), previous) {
                            self.links.push((from, node.clone(), link));
                        }
                        previous = Some(node);
                    }
                },
            }
        }
        if let Some(link) = link {
            let found = "\"!\" with nothing behind it";
            self.wrong(link, found, "an element stands on both sides of \"!\"");
        } else if previous.is_none() && self.mistakes.is_empty() {
            self.wrong(0, "no element", "at least one element");
        }
    }

    /// Adds a property to the element before it.
    fn property(&mut self, previous: Option<&Node>, link: Option<usize>, property: Property) {
        let right = "a property stands behind its element: element property=value";
        let element = match previous {
            Some(Node::Element(index)) if link.is_none() => *index,
            Some(Node::Broken) if link.is_none() => return,
            Some(Node::Element(_) | Node::Reference { .. } | Node::Broken) | None => {
                let found = format!("the property {} without an element", property.name);
                return self.wrong(property.at, found, right);
            }
        };
        match &self.launch.elements[element].what {
            What::Factory(_) => {}
            What::Caps(_) => {
                let found = format!("the property {} behind caps", property.name);
                let right = "caps end with \"!\"; the fields of caps are joined with commas, without spaces before them";
                return self.wrong(property.at, found, right);
            }
            What::Device(name) => {
                let found = format!("the property {} behind {{{name}}}", property.name);
                let right = "attache sets a device's properties itself: leave this out";
                return self.wrong(property.at, found, right);
            }
        }
        if property.name == "name" {
            return self.name(element, &property);
        }
        let properties = &mut self.launch.elements[element].properties;
        if properties.iter().any(|other| other.name == property.name) {
            let found = format!("{} a second time", property.name);
            return self.wrong(property.at, found, "each property once");
        }
        properties.push(property);
    }

    fn name(&mut self, element: usize, property: &Property) {
        let name = match property.value.0.as_slice() {
            [Piece::Text(text)] if is_name(text) => text.clone(),
            _ => {
                let found = "a name that is none";
                let right = "a letter, then letters, digits, _ and -: name=mix";
                return self.wrong(property.value_at, found, right);
            }
        };
        let is_taken = |other: &Element| other.name.as_ref() == Some(&name);
        if self.launch.elements.iter().any(is_taken) {
            let found = format!("a second element with the name {name}");
            return self.wrong(property.value_at, found, "another name");
        }
        self.launch.elements[element].name = Some(name);
    }

    /// Finds the elements that references name.
    fn resolve(&mut self) {
        for (from, to, at) in std::mem::take(&mut self.links) {
            let ends = (self.end(from), self.end(to));
            if let (Some(from), Some(to)) = ends {
                self.launch.links.push(Link { from, to, at });
            }
        }
    }

    fn end(&mut self, node: Node) -> Option<LinkEnd> {
        let (name, pad, at) = match node {
            Node::Element(element) => return Some(LinkEnd { element, pad: None }),
            Node::Reference { name, pad, at } => (name, pad, at),
            Node::Broken => return None,
        };
        let elements = &self.launch.elements;
        let is_it = |element: &Element| element.name.as_ref() == Some(&name);
        if let Some(element) = elements.iter().position(is_it) {
            return Some(LinkEnd { element, pad });
        }
        let names: Vec<&str> = elements
            .iter()
            .filter_map(|element| element.name.as_deref())
            .collect();
        let right = if names.is_empty() {
            format!("put name={name} behind the element that is meant")
        } else {
            format!("names here: {}", names.join(", "))
        };
        self.wrong(at, format!("no element has the name {name}"), right);
        None
    }
}
