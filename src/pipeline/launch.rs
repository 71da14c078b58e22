//! The part of gst-launch's grammar that descriptions use, read without GStreamer: elements, properties, caps, links.
//!
//! ```text
//! fragment  = chain { chain }
//! chain     = item { "!" item }
//! item      = factory { property "=" value } | caps | {device} | name "." [ pad ]
//! value     = word without spaces | "quoted" | 'quoted'
//! ```
//! Placeholders `{name}` may stand in values and caps. What else gst-launch knows (bins in parentheses, URIs, presets,
//! `:`) is refused with what to write instead.

/// A fragment's text, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launch {
    /// Elements, caps and devices, in the order of the text.
    pub elements: Vec<Element>,
    /// What is linked to what, in the order of the text.
    pub links: Vec<Link>,
}

/// An element of a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// What is built for it.
    pub what: What,
    /// What `name=` says.
    pub name: Option<String>,
    /// Its properties, in the order of the text.
    pub properties: Vec<Property>,
    /// The byte position in the fragment.
    pub at: usize,
}

/// What an element is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An element of this factory.
    Factory(String),
    /// Caps between two links: a `capsfilter`.
    Caps(Template),
    /// A device parameter.
    Device(String),
}

/// A property's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name; `sink_0::alpha` for a property of a pad.
    pub name: String,
    /// The byte position of its name.
    pub at: usize,
    /// The value, unquoted.
    pub value: Template,
    /// The byte position of its value.
    pub value_at: usize,
}

/// A text with placeholders in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// A parameter, with its byte position in the fragment.
    Placeholder {
        /// The name between the braces.
        name: String,
        /// Where the brace opens.
        at: usize,
    },
}

impl Template {
    /// The parameter, where the text is nothing but one.
    pub fn whole(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Placeholder { name, .. }] => Some(name),
            _ => None,
        }
    }

    /// The placeholders with their byte positions.
    pub fn placeholders(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Placeholder { name, at } => Some((name.as_str(), *at)),
            Piece::Text(_) => None,
        })
    }

    /// The text with each placeholder replaced.
    pub fn filled(&self, literal: impl Fn(&str) -> String) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Placeholder { name, .. } => literal(name),
        });
        pieces.collect()
    }

    fn of(letters: &[(char, usize)]) -> Self {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = letters;
        while let Some(((letter, at), after)) = rest.split_first() {
            let name = (*letter == '{').then(|| name_in_braces(after)).flatten();
            let Some(name) = name else {
                text.push(*letter);
                rest = after;
                continue;
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            rest = &after[name.len() + 1..];
            pieces.push(Piece::Placeholder { name, at: *at });
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Self(pieces)
    }
}

/// A parameter's name that ends with a brace: a small letter, then small letters, digits and `_`. Other braces belong
/// to caps (`format={I420,NV12}`).
fn name_in_braces(letters: &[(char, usize)]) -> Option<String> {
    let length = letters.iter().position(|(letter, _)| *letter == '}')?;
    let name: String = letters[..length]
        .iter()
        .map(|(letter, _)| *letter)
        .collect();
    is_parameter_name(&name).then_some(name)
}

/// Whether a parameter may be called so.
pub fn is_parameter_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A link from one element's source pad to another's sink pad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where from.
    pub from: LinkEnd,
    /// Where to.
    pub to: LinkEnd,
    /// The byte position of its `!`.
    pub at: usize,
}

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkEnd {
    /// The element's index in [`Launch::elements`].
    pub element: usize,
    /// The pad, where `x.pad` names one.
    pub pad: Option<String>,
}

/// What is wrong in a fragment's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The byte position.
    pub at: usize,
    /// What was found.
    pub found: String,
    /// What would be right.
    pub right: String,
}

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

    fn item(&mut self, letter: char) -> Item {
        let start = self.at;
        match letter {
            '"' | '\'' => return self.quoted_item(),
            '{' => return self.device(),
            'a'..='z' | 'A'..='Z' => return self.word(),
            _ => {}
        }
        let right = match letter {
            '(' | ')' => "bins are not used here: write the elements without parentheses",
            '@' => "presets are not used here: write the properties one by one",
            ':' => "links are written with \"!\"",
            '.' => "name the element that the pad belongs to: x.pad, with name=x at the element",
            ';' | ',' => "caps and their fields stand without spaces, or wholly in quotes",
            '=' => "property=value stands behind an element",
            '#' => "comments are TOML's: they stand outside of the text",
            _ => "an element, caps, {device}, or name. of an element",
        };
        let found = format!("found {letter:?}");
        self.at += letter.len_utf8();
        if letter == ')' && self.text[..start].contains('(') {
            return Item::Nothing;
        }
        self.wrong(start, found, right);
        if matches!(letter, '(' | ')') {
            return Item::Nothing;
        }
        self.skip_word();
        Item::Node(Node::Broken)
    }

    fn skip_word(&mut self) {
        self.take_while(|letter| !letter.is_whitespace() && letter != '!');
    }

    fn add(&mut self, what: What, at: usize) -> Item {
        self.launch.elements.push(Element {
            what,
            name: None,
            properties: Vec::new(),
            at,
        });
        Item::Node(Node::Element(self.launch.elements.len() - 1))
    }

    /// `{camera}`.
    fn device(&mut self) -> Item {
        let start = self.at;
        let letters: Vec<(char, usize)> = self.rest().chars().skip(1).zip(0..).collect();
        if let Some(name) = name_in_braces(&letters) {
            self.at += name.len() + 2;
            if self.at_end_of_word() {
                return self.add(What::Device(name), start);
            }
        }
        self.at = start + 1;
        self.skip_word();
        let right = "a device parameter stands alone: {camera} ! ...";
        self.wrong(start, "found \"{\" where an element stands", right);
        Item::Node(Node::Broken)
    }

    fn at_end_of_word(&self) -> bool {
        self.peek()
            .is_none_or(|letter| letter.is_whitespace() || letter == '!')
    }

    /// Caps in quotes.
    fn quoted_item(&mut self) -> Item {
        let start = self.at;
        let Some(letters) = self.quoted() else {
            return Item::Node(Node::Broken);
        };
        let text: String = letters.iter().map(|(letter, _)| *letter).collect();
        if is_caps(&text) {
            return self.add(What::Caps(Template::of(&letters)), start);
        }
        let right = "a text in quotes stands behind property=, or is caps such as \"video/x-raw, width=640\"";
        self.wrong(start, "a text in quotes", right);
        Item::Node(Node::Broken)
    }

    /// What begins with a letter: an element, a property, a reference, caps or a URI.
    fn word(&mut self) -> Item {
        let start = self.at;
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        let word = self.take_while(is_part);
        let rest = self.rest();
        if rest.starts_with('/') {
            return self.caps(start);
        }
        if rest.starts_with(":/") {
            self.skip_word();
            let right = "addresses are given to an element's property, such as attachertsp location={camera}";
            self.wrong(
                start,
                format!("an address ({word}:...) as an element"),
                right,
            );
            return Item::Node(Node::Broken);
        }
        if rest.starts_with('.') {
            return self.reference(start, word);
        }
        let mut name = word.to_owned();
        while let Some(after) = self.rest().strip_prefix("::") {
            if !after.starts_with(is_part) {
                break;
            }
            self.at += 2;
            name = format!("{name}::{}", self.take_while(is_part));
        }
        let behind = self.at;
        self.skip_spaces();
        if self.peek() == Some('=') {
            self.at += 1;
            return match self.value(&name) {
                Some((value_at, value)) => Item::Property(Property {
                    name,
                    at: start,
                    value,
                    value_at,
                }),
                None => Item::Nothing,
            };
        }
        self.at = behind;
        if self.at_end_of_word() && !name.contains(':') {
            return self.add(What::Factory(name), start);
        }
        let found = self.peek().unwrap_or('!');
        self.skip_word();
        let right = match found {
            ':' => "links are written with \"!\", properties of pads as pad::property=value",
            '(' | ')' => "bins are not used here: write the elements without parentheses",
            ',' => "one pad for each link: tee name=t t. ! ... t. ! ...",
            _ => "letters, digits, _ and - make an element's name",
        };
        self.wrong(behind, format!("found {found:?} behind {name}"), right);
        Item::Node(Node::Broken)
    }

    /// `x.` or `x.pad`.
    fn reference(&mut self, start: usize, name: &str) -> Item {
        self.at += 1;
        let pad = self.take_while(|letter| {
            letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '%')
        });
        if !self.at_end_of_word() {
            let at = self.at;
            self.skip_word();
            let right = "x. or x.pad, followed by a space; one pad for each link";
            self.wrong(at, format!("more behind {name}.{pad}"), right);
            return Item::Node(Node::Broken);
        }
        Item::Node(Node::Reference {
            name: name.to_owned(),
            pad: (!pad.is_empty()).then(|| pad.to_owned()),
            at: start,
        })
    }

    /// Caps without quotes: up to a space that no comma, bracket or quote holds together.
    fn caps(&mut self, start: usize) -> Item {
        let text = &self.text[start..];
        let mut depth = 0usize;
        let mut quote = false;
        let mut end = text.len();
        for (at, letter) in text.char_indices() {
            match letter {
                '"' => quote = !quote,
                _ if quote => {}
                '(' | '[' | '{' | '<' => depth += 1,
                ')' | ']' | '}' | '>' => depth = depth.saturating_sub(1),
                '!' => {
                    end = at;
                    break;
                }
                _ if letter.is_whitespace() && depth == 0 => {
                    let before = text[..at].trim_end();
                    let after = text[at..].trim_start();
                    let is_held = |part: char| matches!(part, ',' | '=' | ';');
                    if !before.ends_with(is_held) && !after.starts_with(is_held) {
                        end = at;
                        break;
                    }
                }
                _ => {}
            }
        }
        self.at = start + end;
        let text = text[..end].trim_end();
        if !is_caps(text) {
            let right = "caps are like video/x-raw,width=640,height=360";
            self.wrong(start, "caps without a media type", right);
            return Item::Node(Node::Broken);
        }
        let letters: Vec<(char, usize)> = text
            .char_indices()
            .map(|(at, letter)| (letter, start + at))
            .collect();
        self.add(What::Caps(Template::of(&letters)), start)
    }

    /// A property's value, with the position it begins at.
    fn value(&mut self, name: &str) -> Option<(usize, Template)> {
        self.skip_spaces();
        let start = self.at;
        match self.peek() {
            None | Some('!') => {
                let right = format!("a value; for an empty text {name}=\"\"");
                self.wrong(start, format!("{name}= without a value"), right);
                None
            }
            Some('"' | '\'') => {
                let letters = self.quoted()?;
                if !self.at_end_of_word() {
                    let at = self.at;
                    self.skip_word();
                    let right = "a space behind the closing quote; a text is wholly in quotes or not at all";
                    self.wrong(at, format!("more behind the quotes of {name}"), right);
                    return None;
                }
                Some((start, Template::of(&letters)))
            }
            Some(_) => {
                let text = self.take_while(|letter| !letter.is_whitespace());
                let found = text
                    .char_indices()
                    .find(|(_, letter)| matches!(letter, '!' | '"' | '\'' | '\\'));
                if let Some((at, letter)) = found {
                    let right = format!("put the whole value in quotes: {name}=\"...\"");
                    self.wrong(
                        start + at,
                        format!("{letter:?} in the value of {name}"),
                        right,
                    );
                    return None;
                }
                let letters: Vec<(char, usize)> = text
                    .char_indices()
                    .map(|(at, letter)| (letter, start + at))
                    .collect();
                Some((start, Template::of(&letters)))
            }
        }
    }

    /// A text in quotes: its letters with their positions. In double quotes a backslash keeps the next letter.
    fn quoted(&mut self) -> Option<Vec<(char, usize)>> {
        let start = self.at;
        let mut letters = Vec::new();
        let mut all = self.rest().char_indices();
        let (_, quote) = all.next()?;
        while let Some((at, letter)) = all.next() {
            if letter == quote {
                self.at = start + at + 1;
                return Some(letters);
            }
            if letter == '\\' && quote == '"' {
                letters.extend(all.next().map(|(at, kept)| (kept, start + at)));
            } else {
                letters.push((letter, start + at));
            }
        }
        self.at = self.text.len();
        let right = format!("a closing {quote}");
        self.wrong(start, "a quote that is not closed", right);
        None
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

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Whether a text begins with a media type: `video/x-raw`.
fn is_caps(text: &str) -> bool {
    let Some((kind, rest)) = text.split_once('/') else {
        return false;
    };
    !kind.is_empty()
        && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && rest.starts_with(|first: char| first.is_ascii_alphanumeric())
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
