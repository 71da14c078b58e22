//! Single items of a fragment's text: words, caps, devices, references, properties with their values.

use super::super::{Template, name_in_braces};
use super::{Element, Item, Node, Parser, Property, What};

impl Parser<'_> {
    pub(super) fn item(&mut self, letter: char) -> Item {
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

    pub(super) fn add(&mut self, what: What, at: usize) -> Item {
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
}

pub(super) fn is_name(text: &str) -> bool {
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
