//! What is said of a file that is no TOML.

use toml::de::{DeTable, Error};

use crate::NAME_HELP;
use crate::diagnostic::{Reporter, Span, Syntax, value_behind};

use super::Node;
use super::tree;
use super::unclosed::{Closed, Unclosed};

/// Quotes that an editor for prose puts in place of those of a keyboard.
const TYPOGRAPHIC: [char; 9] = ['“', '”', '„', '‟', '‘', '’', '‚', '«', '»'];

/// Tells the syntax errors, each once: what follows from a bracket or a quote that is not closed is not told. It gives back
/// what can be read of the file, with everything closed where it was meant to end: else values would be taken for those of
/// another key, and a secret among them be shown.
pub(super) fn tell(reporter: &Reporter, text: &str, root: Node, errors: Vec<Error>) -> Node {
    if errors.is_empty() {
        return root;
    }
    let closed = Closed::of(text);
    for open in &closed.unclosed {
        tell_unclosed(reporter, text, *open);
    }
    let (root, errors) = match closed.unclosed.is_empty() {
        true => (root, errors),
        false => {
            let (table, errors) = DeTable::parse_recoverable(&closed.text);
            let mut root = tree::root(0, table.get_ref());
            root.move_to(&|place| closed.original(place));
            (root, errors)
        }
    };
    parsed(reporter, text, &root, errors, &closed);
    root
}

fn tell_unclosed(reporter: &Reporter, text: &str, open: Unclosed) {
    let Unclosed { at, closer } = open;
    let long = closer.to_string().repeat(3);
    let (message, help) = match closer {
        '"' | '\'' if text[at..].starts_with(&long) => (
            "this text is not closed".to_owned(),
            format!("write `{long}` behind it"),
        ),
        '"' | '\'' => (
            "this text is not closed".to_owned(),
            format!("write `{closer}` behind it"),
        ),
        _ => (
            format!("`{}` is not closed", &text[at..=at]),
            format!("write `{closer}` where it ends"),
        ),
    };
    let help = typographic(text, at).map_or(help, str::to_owned);
    reporter.syntax(span(at..at + 1), &message, &help, Syntax::Broken);
}

fn parsed(reporter: &Reporter, text: &str, root: &Node, errors: Vec<Error>, closed: &Closed) {
    let (mut told, mut told_lines) = (Vec::new(), Vec::new());
    for error in errors {
        let place = error.span().unwrap_or(0..0);
        // The recovering parser may stumble several times over one mistake.
        if told.contains(&place.start) {
            continue;
        }
        told.push(place.start);
        let at = closed.original(place.start)..closed.original(place.end);
        let said = error.message();
        if said == "duplicate key" {
            let (message, help) = twice(reporter, text, root, &at);
            reporter.syntax(span(at), &message, &help, Syntax::LeftOut);
        } else if said.starts_with("cannot extend") {
            let message = "this key is there already, and cannot be gone on with";
            let help = "write all of it in one place";
            reporter.syntax(span(at), message, help, Syntax::LeftOut);
        } else if let Some((hidden, message, help)) = unseen(text, at.start) {
            if !told_lines.contains(&hidden.start) {
                told_lines.push(hidden.start);
                reporter.syntax(span(hidden), &message, help, Syntax::Broken);
            }
        } else if let Some(backslash) = escape(text, at.start) {
            // Of a path each folder would be told.
            let line = line(text, backslash.start).start;
            if !told_lines.contains(&line) {
                told_lines.push(line);
                let message = "in double quotes a `\\` begins an escape, and this is none";
                let help = "write the text in single quotes, or `/` in place of each `\\`";
                reporter.syntax(span(backslash), message, help, Syntax::Broken);
            }
        } else if let Some((wide, message, help)) = wide(text, at.start) {
            if !told_lines.contains(&wide.start) {
                told_lines.push(wide.start);
                reporter.syntax(span(wide), &message, &help, Syntax::Broken);
            }
        } else if let Some((letter, message, help)) = foreign(text, at.start, said) {
            reporter.syntax(span(letter), &message, help, Syntax::Broken);
        } else {
            let (message, help) = words(said, text.get(at.clone()).unwrap_or_default());
            let help = typographic(text, at.start).map_or(help, str::to_owned);
            reporter.syntax(span(at), &message, &help, Syntax::Broken);
        }
    }
}

fn span(at: std::ops::Range<usize>) -> Span {
    Span {
        source: 0,
        start: at.start,
        end: at.end,
    }
}

/// The help where such a quote stands on the line, outside of a text in proper ones or not.
fn typographic(text: &str, at: usize) -> Option<&'static str> {
    text[line(text, at)]
        .contains(TYPOGRAPHIC)
        .then_some("typographic quotes such as “ and ” are no quotes here: write \"")
}

/// The line of a place.
fn line(text: &str, at: usize) -> std::ops::Range<usize> {
    let at = text.floor_char_boundary(at.min(text.len()));
    let begin = text[..at].rfind('\n').map_or(0, |line| line + 1);
    let length = text[begin..].find('\n');
    begin..length.map_or(text.len(), |length| begin + length)
}

/// A character at this place that looks like a blank, or like nothing: where it is, what to say, what to write.
fn unseen(text: &str, at: usize) -> Option<(std::ops::Range<usize>, String, &'static str)> {
    let line = line(text, at);
    let is_blank = |char: char| char.is_whitespace() && !char.is_ascii();
    let is_unseen =
        |char: char| is_blank(char) || !char.is_ascii() && faceway_core::is_hidden(char);
    // Some parsers stop behind it, some before what is behind it.
    let around = text
        .get(at..line.end)?
        .chars()
        .next()
        .filter(|char| is_unseen(*char));
    let (place, char) = match around {
        Some(char) => (at, char),
        None => {
            let (before, char) = text[line.start..at].char_indices().next_back()?;
            is_unseen(char).then_some((line.start + before, char))?
        }
    };
    let name = match char {
        '\u{A0}' => " (no-break space)",
        '\u{FEFF}' => " (byte order mark)",
        '\u{200B}' => " (zero-width space)",
        '\u{3000}' => " (ideographic space)",
        _ => "",
    };
    let code = u32::from(char);
    let (message, help) = match is_blank(char) {
        true => (
            "looks like a blank and is none",
            "write a blank in its place",
        ),
        false => ("is not seen and means something", "leave it out"),
    };
    let message = format!("the character U+{code:04X}{name} {message}");
    Some((place..place + char.len_utf8(), message, help))
}

/// A sign of the width of an ideograph, as a Chinese or Japanese keyboard writes it, where TOML has a narrow one: `，` `＝`.
fn wide(text: &str, at: usize) -> Option<(std::ops::Range<usize>, String, String)> {
    let narrow = |char: char| match char {
        '\u{3001}' => Some(','),
        // There is no colon between key and value.
        '\u{FF1A}' => Some('='),
        '\u{3002}' => Some('.'),
        '\u{300C}'..='\u{300F}' => Some('"'),
        '\u{3010}' => Some('['),
        '\u{3011}' => Some(']'),
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(char) - 0xFEE0),
        _ => None,
    };
    let line = line(text, at);
    let (mut quote, mut escaped) = (None, false);
    let outside = |(_, char): &(usize, char)| {
        match (quote, *char) {
            (Some('"'), '\\') => escaped = !escaped,
            (Some(open), char) if open == char && !escaped => quote = None,
            (None, '"' | '\'') => quote = Some(*char),
            _ => escaped = false,
        }
        quote.is_none() && narrow(*char).is_some_and(|narrow| !narrow.is_ascii_alphanumeric())
    };
    // The parser may stumble before it or behind it; outside of a text it is wrong wherever it stands.
    let code = text[line.clone()].split('#').next().unwrap_or_default();
    let place = line.start + code.char_indices().find(outside)?.0;
    let char = text[place..].chars().next()?;
    let narrow = narrow(char)?;
    let message = format!(
        "the sign `{char}` (U+{:04X}) is not `{narrow}`",
        u32::from(char)
    );
    let help = format!("write `{narrow}`, with the keyboard switched to Latin letters");
    Some((place..place + char.len_utf8(), message, help))
}

/// A letter of another script in a key without quotes: a name in the operator's language, or a Cyrillic `о` that looks like
/// the Latin one.
fn foreign(
    text: &str,
    at: usize,
    said: &str,
) -> Option<(std::ops::Range<usize>, String, &'static str)> {
    if !said.starts_with("invalid unquoted key") {
        return None;
    }
    let line = line(text, at);
    let char = text
        .get(at..line.end)?
        .chars()
        .next()
        .filter(|char| !char.is_ascii())?;
    let message = format!(
        "the letter `{char}` (U+{:04X}) cannot stand in a key",
        u32::from(char)
    );
    let header = text[line.clone()].trim_start().trim_start_matches('[');
    let is_name = ["inbound.", "outbound."]
        .iter()
        .any(|section| header.starts_with(section));
    let help = match is_name {
        true => NAME_HELP,
        false => {
            "keys are Latin letters, digits, `-` and `_`; some look like letters of other scripts"
        }
    };
    let letters = text[at..line.end]
        .chars()
        .take_while(|char| char.is_alphanumeric() && !char.is_ascii());
    let length: usize = letters.map(char::len_utf8).sum();
    Some((at..at + length.max(char.len_utf8()), message, help))
}

/// The backslash before this place, when the parser stumbled over what follows it in double quotes.
fn escape(text: &str, at: usize) -> Option<std::ops::Range<usize>> {
    let line = line(text, at);
    let before = text.get(line.start..at)?;
    let backslash = before.rfind('\\')?;
    let between = &before[backslash + 1..];
    // Up to eight digits follow `\U`.
    let is_near = between.len() <= 9 && between.chars().all(|char| char.is_ascii_alphanumeric());
    let begin = line.start + backslash;
    (is_near && before.contains('"')).then_some(begin..begin + 1)
}

/// What the parser says, in words that need no grammar of TOML beside them.
fn words(said: &str, at: &str) -> (String, String) {
    let said = said.split(", expected").next().unwrap_or(said);
    let (message, help) = match said {
        "string values must be quoted" | "missing value" | "missing value for key"
            if at.trim().is_empty() =>
        {
            ("the value is missing", "write one behind the `=`")
        }
        "string values must be quoted" => ("text needs quotes", "write \" before and behind it"),
        "unclosed array table" => ("the header is not closed", "write it like `[[route]]`"),
        "unclosed table" => (
            "the header is not closed",
            "write it like `[inbound.nebula.lobby]`",
        ),
        "unexpected key or value" => (
            "nothing may stand behind the value",
            "begin a new line, or write `#` before a comment",
        ),
        "missing comma between key-value pairs" | "missing comma between array elements" => {
            ("a comma is missing", "write `,` before this")
        }
        "extra comma in array" | "extra comma in inline table" => {
            ("there is a comma too many", "leave it out")
        }
        "key with no value" | "missing assignment between key-value pairs" => {
            ("this key has no value", "write it like `key = \"value\"`")
        }
        "invalid unquoted key" => (
            "this is no key",
            "letters, digits, `-` and `_`; others in quotes: `\"person.id\" = …`",
        ),
        other => {
            let plain = other
                .replace("multi-line basic string", "text in three quotes")
                .replace("basic string", "text in quotes")
                .replace("literal string", "text in single quotes")
                .replace("inline table", "table in braces")
                .replace("array", "list");
            return (plain, String::new());
        }
    };
    (message.into(), help.into())
}

/// A key that is there already, and where.
fn twice(
    reporter: &Reporter,
    text: &str,
    root: &Node,
    at: &std::ops::Range<usize>,
) -> (String, String) {
    let key = text.get(at.clone()).unwrap_or_default();
    // The second was left out, so nothing will ask whether it is a secret.
    for value in value_behind(text, at.end) {
        reporter.mask(span(value));
    }
    let message = format!("`{key}` is there twice");
    let begin = text[..at.start].rfind('\n').map_or(0, |line| line + 1);
    let before = text[begin..at.start].trim_start();
    let first = match before.starts_with('[') {
        true => header(text, root, begin),
        false => same_place(root, key, before.is_empty(), text, at.start),
    };
    let help = match first {
        Some(first) => format!(
            "the first is at {}; keep one of them",
            reporter.place(first)
        ),
        None => "keep one of them".into(),
    };
    (message, help)
}

/// The header of the same name before the one whose line begins at `from`, or where else the table comes into being.
fn header(text: &str, root: &Node, from: usize) -> Option<Span> {
    let names = |line: &str| {
        let name = line.trim_start().trim_start_matches('[').split(']').next();
        let names = name.unwrap_or_default().split('.').map(bare);
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let wanted = names(text[from..].lines().next()?);
    let mut at = 0;
    for line in text[..from].split_inclusive('\n') {
        if line.trim_start().starts_with('[') && names(line) == wanted {
            let begin = at + line.len() - line.trim_start().len();
            return Some(span(begin..begin + line.trim().len()));
        }
        at += line.len();
    }
    let mut node = root;
    let mut found = None;
    for name in &wanted {
        let entry = node.entries()?.iter().find(|entry| entry.key == *name)?;
        (node, found) = (&entry.node, Some(entry.span));
    }
    found.filter(|found| found.start < from)
}

fn bare(name: &str) -> &str {
    name.trim().trim_matches(['"', '\''])
}

/// The last key of this name before, that begins its line if this one does.
fn same_place(
    root: &Node,
    key: &str,
    begins_line: bool,
    text: &str,
    before: usize,
) -> Option<Span> {
    let mut found: Option<Span> = None;
    let mut nodes = vec![root];
    while let Some(node) = nodes.pop() {
        if let super::Value::List(items) = &node.value {
            nodes.extend(items);
        }
        for entry in node.entries().unwrap_or_default() {
            nodes.push(&entry.node);
            let start = entry.span.start;
            let line = text[..start].rsplit('\n').next().unwrap_or_default();
            let alike = line.trim().is_empty() == begins_line;
            let later = found.is_none_or(|found| found.start < start);
            if entry.key == bare(key) && start < before && alike && later {
                found = Some(entry.span);
            }
        }
    }
    found
}
