//! Brackets and quotes that are never closed. The parser would stumble over every line behind one; closed where they were
//! meant to end, it tells what else is wrong, and only that.

/// A bracket or a quote that is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclosed {
    /// Where it stands.
    pub(super) at: usize,
    /// What would close it.
    pub(super) closer: char,
}

/// A text in which everything is closed.
#[derive(Debug, Default)]
pub(super) struct Closed {
    pub(super) text: String,
    /// What was not.
    pub(super) unclosed: Vec<Unclosed>,
    /// Where something was put in, in the text as it was, and how many bytes.
    added: Vec<(usize, usize)>,
}

impl Closed {
    /// Closes what is not closed in `text`, which the parser cannot read.
    pub(super) fn of(text: &str) -> Self {
        let mut scan = Scan {
            text,
            at: 0,
            last: 0,
            open: Vec::new(),
            unclosed: Vec::new(),
            added: Vec::new(),
        };
        scan.run();
        let mut closed = String::with_capacity(text.len() + scan.added.len());
        let mut from = 0;
        for (at, closers) in &scan.added {
            closed.push_str(&text[from..*at]);
            closed.push_str(closers);
            from = *at;
        }
        closed.push_str(&text[from..]);
        let added = scan.added.iter();
        Self {
            text: closed,
            unclosed: scan.unclosed,
            added: added.map(|(at, closers)| (*at, closers.len())).collect(),
        }
    }

    /// Where a byte of the closed text is in the text as it was.
    pub(super) fn original(&self, place: usize) -> usize {
        let mut before = 0;
        for (at, length) in &self.added {
            if place < at + before {
                break;
            }
            // What lies in something that was put in lies where it was put in.
            let within = length.saturating_sub(place - (at + before));
            before += length - within;
            if within > 0 {
                break;
            }
        }
        place - before
    }
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    /// Behind the last character that is neither blank nor comment.
    last: usize,
    open: Vec<Unclosed>,
    unclosed: Vec<Unclosed>,
    added: Vec<(usize, String)>,
}

impl<'t> Scan<'t> {
    fn run(&mut self) {
        while self.at < self.text.len() {
            let line = self.line();
            if self.begins_anew(line) {
                self.close_all(self.last);
            }
            if self.open.is_empty() && line.trim_start().starts_with('[') {
                // A header is one line, and the parser knows it well.
                self.at += line.len();
                self.last = self.at;
            } else if !self.values(self.at + line.len()) {
                return;
            }
            self.at += usize::from(self.at < self.text.len());
        }
        self.close_all(self.last);
    }

    /// From here to the end of the line.
    fn line(&self) -> &'t str {
        let rest = &self.text[self.at..];
        rest.split('\n').next().unwrap_or(rest)
    }

    /// Whether something begins on this line that cannot stand within what is open.
    fn begins_anew(&self, line: &str) -> bool {
        let Some(open) = self.open.last() else {
            return false;
        };
        let goes_on = self.text[..self.last].ends_with([',', '{']);
        is_header(line) || (is_assignment(line) && (open.closer == ']' || !goes_on))
    }

    /// Goes over keys and values up to the end of the line, or of a longer text; false when that has none.
    fn values(&mut self, mut end: usize) -> bool {
        let begin = self.at;
        while self.at < end {
            let rest = &self.text[self.at..];
            match rest.chars().next() {
                Some('#') => self.at = end,
                Some(quote @ ('"' | '\'')) => {
                    let Some(behind) = self.quoted(rest, quote, begin, end) else {
                        return false;
                    };
                    self.at = behind;
                    self.last = behind;
                    let line = self.text[behind..].find('\n');
                    end = line.map_or(self.text.len(), |line| behind + line);
                }
                Some(char) => {
                    self.bracket(char);
                    self.at += char.len_utf8();
                    if !char.is_whitespace() {
                        self.last = self.at;
                    }
                }
                None => break,
            }
        }
        true
    }

    fn bracket(&mut self, char: char) {
        let at = self.at;
        match char {
            '[' => self.open.push(Unclosed { at, closer: ']' }),
            '{' => self.open.push(Unclosed { at, closer: '}' }),
            ']' | '}' if self.open.iter().any(|open| open.closer == char) => {
                while let Some(open) = self.open.pop().filter(|open| open.closer != char) {
                    self.close(open, self.last);
                }
            }
            _ => {}
        }
    }

    /// Behind the text that begins here. One that does not end on its line is closed there, with what was opened before it
    /// on that line.
    fn quoted(&mut self, rest: &str, quote: char, begin: usize, end: usize) -> Option<usize> {
        let long = quote.to_string().repeat(3);
        if let Some(inside) = rest.strip_prefix(long.as_str()) {
            let Some(end) = inside.find(long.as_str()) else {
                self.close_to_the_end(quote, long);
                return None;
            };
            return Some(self.at + 3 + end + 3);
        }
        let mut escaped = false;
        for (offset, char) in rest[1..end - self.at].char_indices() {
            if char == quote && !escaped {
                return Some(self.at + 1 + offset + 1);
            }
            escaped = quote == '"' && char == '\\' && !escaped;
        }
        let behind = self.at + rest[..end - self.at].trim_end().len();
        let at = self.at;
        self.close(Unclosed { at, closer: quote }, behind);
        let before = self.open.partition_point(|open| open.at < begin);
        // The bracket that closes them is taken for a part of the text.
        let closers = self.open.drain(before..).rev().map(|open| open.closer);
        let mut closers: String = closers.collect();
        if before > 0 {
            closers.push(',');
        }
        self.added.push((behind, closers));
        Some(end)
    }

    /// All that follows is taken for a part of the text.
    fn close_to_the_end(&mut self, quote: char, mut closers: String) {
        let at = self.at;
        self.unclosed.push(Unclosed { at, closer: quote });
        closers.extend(self.open.drain(..).rev().map(|open| open.closer));
        self.added.push((self.text.len(), closers));
    }

    fn close_all(&mut self, at: usize) {
        while let Some(open) = self.open.pop() {
            self.close(open, at);
        }
    }

    fn close(&mut self, open: Unclosed, at: usize) {
        self.unclosed.push(open);
        self.added.push((at, open.closer.to_string()));
    }
}

/// `[outbound.webhook.erp]` or `[[route]]`, and no list of values.
fn is_header(line: &str) -> bool {
    let line = line.trim_start();
    let name = line.trim_start_matches('[');
    let end = name.find(|char: char| !(char.is_ascii_alphanumeric() || "-_.".contains(char)));
    let end = end.unwrap_or(name.len());
    let (name, rest) = name.split_at(end);
    let value = ["true", "false", "inf", "nan"].contains(&name);
    line.starts_with('[')
        && name.starts_with(|char: char| char.is_ascii_alphabetic())
        && !value
        && rest.starts_with([']', '"'])
}

/// `key = …`.
fn is_assignment(line: &str) -> bool {
    let fits = |char: char| char.is_ascii_alphanumeric() || "-_.\"' \t".contains(char);
    let Some((key, _)) = line.split_once('=') else {
        return false;
    };
    !key.trim().is_empty() && key.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::Closed;

    fn closed(text: &str) -> (String, Vec<(usize, char)>) {
        let closed = Closed::of(text);
        let unclosed = closed.unclosed.iter();
        let unclosed = unclosed.map(|open| (open.at, open.closer)).collect();
        (closed.text, unclosed)
    }

    #[test]
    fn what_is_closed_stays_as_it_is() {
        for text in [
            "a = [\n [1, 2],\n [true],\n]\n",
            "a = { b = 1,\n c = [\"]\"] } # [\n[x.\"y]\"]\n",
            "a = '''\n[x]\n'''\nb = \"\\\"[\"\n",
            "a = '\\'\nb = 1\n",
        ] {
            assert_eq!(closed(text), (text.to_owned(), Vec::new()));
        }
    }

    #[test]
    fn what_is_not_closed_is_closed_where_it_was_meant_to_end() {
        for (text, expected, unclosed) in [
            (
                "a = [1,\n\n[b.c]\nd = 1",
                "a = [1,]\n\n[b.c]\nd = 1",
                vec![(4, ']')],
            ),
            ("a = [1 # x\nb = 1", "a = [1] # x\nb = 1", vec![(4, ']')]),
            ("a = { b = 1\nc = 1", "a = { b = 1}\nc = 1", vec![(4, '}')]),
            ("a = [{ b = 1 ]\n", "a = [{ b = 1} ]\n", vec![(5, '}')]),
            ("a = [\"x]\nb = 1", "a = [\"x]\"]\nb = 1", vec![(5, '"')]),
            (
                "a = [\n'x,\n'y'\n]",
                "a = [\n'x,',\n'y'\n]",
                vec![(6, '\'')],
            ),
            ("a = ['''x]\n", "a = ['''x]\n''']", vec![(5, '\'')]),
            (
                "a = [\n{ b = 1",
                "a = [\n{ b = 1}]",
                vec![(6, '}'), (4, ']')],
            ),
        ] {
            assert_eq!(closed(text), (expected.to_owned(), unclosed), "{text}");
        }
    }

    #[test]
    fn places_are_those_of_the_text_as_it_was() {
        let text = "a = [\"x]\nb = [1\nc = 1";
        let closed = Closed::of(text);
        assert_eq!(closed.text, "a = [\"x]\"]\nb = [1]\nc = 1");
        for char in ['a', 'x', 'b', '1', 'c'] {
            let place = closed.original(closed.text.find(char).unwrap());
            assert_eq!(Some(place), text.find(char), "{char}");
        }
        assert_eq!(closed.original(closed.text.find("]\nb").unwrap()), 8);
        assert_eq!(closed.original(closed.text.len()), text.len());
    }
}
