//! Lines of bounded length from a pipe.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// As it came; bytes that are not UTF-8 are replaced.
    Text(String),
    /// Longer than allowed; it was read to its end and dropped.
    TooLong,
}

/// Reads lines of at most `longest` bytes; never holds more in memory.
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
    longest: usize,
    line: Vec<u8>,
    too_long: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most `longest` bytes.
    pub fn new(reader: R, longest: usize) -> Self {
        Self {
            reader: BufReader::new(reader),
            longest,
            line: Vec::new(),
            too_long: false,
        }
    }

    /// The next line; `None` at the end. What was read so far is kept when this is cancelled.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                let nothing = self.line.is_empty() && !self.too_long;
                return Ok((!nothing).then(|| self.take()));
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            if self.too_long || self.line.len() + part.len() > self.longest {
                self.too_long = true;
                self.line.clear();
            } else {
                self.line.extend_from_slice(part);
            }
            let used = end.map_or(available.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        if std::mem::take(&mut self.too_long) {
            return Line::TooLong;
        }
        let text = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        Line::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_lines_are_dropped_and_the_next_one_is_read() {
        let input = format!("first\n{}\n{}\n\nlast", "x".repeat(11), "y".repeat(10));
        let mut lines = Lines::new(input.as_bytes(), 10);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(line);
        }
        let text = |text: &str| Line::Text(text.to_owned());
        assert_eq!(
            found,
            [
                text("first"),
                Line::TooLong,
                text("yyyyyyyyyy"),
                text(""),
                text("last")
            ]
        );
    }

    #[tokio::test]
    async fn an_endless_line_takes_no_memory() {
        use tokio::io::AsyncReadExt;
        let endless = tokio::io::repeat(b'x').take(10_000_000);
        let mut lines = Lines::new(endless, 1000);
        assert_eq!(lines.next().await.unwrap(), Some(Line::TooLong));
        assert!(lines.line.capacity() <= 2000, "{}", lines.line.capacity());
        assert_eq!(lines.next().await.unwrap(), None);
    }
}
