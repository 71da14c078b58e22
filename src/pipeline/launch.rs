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

mod parser;
#[cfg(test)]
mod tests;

pub use parser::parse;

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
