//! Puts guards into a template's text. The engine counts steps and not memory, and its operators cannot be replaced; but a
//! filter binds more tightly than any of them, so one behind each operand sees what goes into a text.

use std::collections::BTreeMap;

/// A template with guards in it.
pub(super) struct Guarded {
    pub(super) text: String,
    /// Where in the first text something was put in, and how long it is.
    put: Vec<(usize, usize)>,
}

/// Where a loop calls itself, which is captured on its way out and not counted.
pub(super) struct Forbidden {
    pub(super) at: usize,
}

/// The filter that counts what goes into a text or list.
pub(super) const COUNTED: &str = "faceway_counted";
/// The filters behind the first, a middle and the last factor of `*`: it repeats texts and lists, too.
pub(super) const FACTORS: [&str; 3] = ["faceway_first", "faceway_middle", "faceway_last"];
/// The filter that counts the bytes of a text of the template itself.
pub(super) const BYTES: &str = "faceway_bytes";

impl Guarded {
    /// Puts guards into a template. A text that is no template comes out as one that is none.
    pub(super) fn of(text: &str) -> Result<Self, Forbidden> {
        let mut places = Vec::new();
        // How many bodies are being captured, and where the text behind the last tag begins.
        let (mut captured, mut behind) = (0_usize, 0);
        while let Some(begin) = next_tag(text, behind) {
            if text[begin..].starts_with("{#") {
                let close = text[begin..].find("#}");
                count_text(text, (behind, begin), captured, &mut places);
                behind = close.map_or(text.len(), |close| begin + close + 2);
                continue;
            }
            let (tokens, end) = tokens(text, begin + 2);
            let words: Vec<&str> = tokens
                .iter()
                .map(|token| &text[token.start..token.end])
                .collect();
            count_text(text, (behind, begin), captured, &mut places);
            behind = end;
            if text[begin..].starts_with("{%") {
                match words.as_slice() {
                    ["for", .., "recursive"] => return Err(Forbidden { at: begin }),
                    ["raw"] => {
                        behind = after_raw(text, end);
                        if captured > 0 {
                            let trim = trim(text, begin + 2);
                            let bytes = behind - begin;
                            places.push((begin, format!("{{{{{trim} {bytes}|{BYTES} }}}}")));
                        }
                        continue;
                    }
                    ["set", rest @ ..] if !rest.contains(&"=") => captured += 1,
                    ["filter", ..] => captured += 1,
                    ["endset" | "endfilter"] => captured = captured.saturating_sub(1),
                    _ => {}
                }
            }
            guard(&tokens, &words, &mut places);
        }
        count_text(text, (behind, text.len()), captured, &mut places);
        Ok(Self::put_in(text, &places))
    }

    fn put_in(text: &str, places: &[(usize, String)]) -> Self {
        let mut guarded = Self {
            text: String::with_capacity(text.len() * 2),
            put: Vec::new(),
        };
        let mut from = 0;
        for (at, guard) in places {
            guarded.text.push_str(&text[from..*at]);
            guarded.text.push_str(guard);
            guarded.put.push((*at, guard.len()));
            from = *at;
        }
        guarded.text.push_str(&text[from..]);
        guarded
    }

    /// Where a byte of the guarded text was in the first one.
    pub(super) fn original(&self, at: usize) -> usize {
        let mut before = 0;
        for (place, length) in &self.put {
            if place + before >= at {
                break;
            }
            before += length.min(&(at - place - before));
        }
        at - before
    }
}

fn next_tag(text: &str, from: usize) -> Option<usize> {
    let tags = ["{{", "{%", "{#"].map(|tag| text[from..].find(tag));
    tags.into_iter().flatten().min().map(|found| from + found)
}

/// What is captured on its way out is counted where each text begins.
fn count_text(
    text: &str,
    (from, to): (usize, usize),
    captured: usize,
    places: &mut Vec<(usize, String)>,
) {
    if captured > 0 && from < to {
        // A tag that takes the blanks behind it away still has to.
        let trim = from.checked_sub(3).map_or("", |before| trim(text, before));
        let bytes = to - from;
        places.push((from, format!("{{{{ {bytes}|{BYTES} {trim}}}}}")));
    }
}

/// The sign at this byte that takes blanks away, if it is one.
fn trim(text: &str, at: usize) -> &'static str {
    match text.as_bytes().get(at) {
        Some(b'-') => "-",
        _ => "",
    }
}

fn after_raw(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(found) = text[at..].find("{%") {
        let (tokens, end) = tokens(text, at + found + 2);
        at = end;
        if matches!(tokens.as_slice(), [token] if &text[token.start..token.end] == "endraw") {
            return at;
        }
    }
    text.len()
}

/// Finds the ends of what is joined, multiplied or filtered.
fn guard(tokens: &[Token], words: &[&str], places: &mut Vec<(usize, String)>) {
    // By its end: whether it is joined or filtered, is a left factor, is a right one.
    let mut operands: BTreeMap<usize, (bool, bool, bool)> = BTreeMap::new();
    for (index, word) in words.iter().enumerate().skip(1) {
        let left = operands.entry(tokens[index - 1].end).or_default();
        match *word {
            "~" | "+" => left.0 = true,
            "*" => left.1 = true,
            "|" if !matches!(words.get(index + 1), Some(&("default" | "d"))) => left.0 = true,
            _ => continue,
        }
        if *word != "|"
            && let Some(last) = operand(words, index + 1)
        {
            let right = operands.entry(tokens[last].end).or_default();
            match *word {
                "*" => right.2 = true,
                _ => right.0 = true,
            }
        }
    }
    let [first, middle, last] = FACTORS;
    for (at, operand) in operands {
        let guard = match operand {
            (_, true, true) => middle,
            (_, true, false) => first,
            (_, false, true) => last,
            (true, false, false) => COUNTED,
            (false, false, false) => continue,
        };
        places.push((at, format!("|{guard}")));
    }
}

/// The last token of the operand that begins at `at`.
fn operand(words: &[&str], mut at: usize) -> Option<usize> {
    while matches!(*words.get(at)?, "-" | "+" | "not") {
        at += 1;
    }
    let mut last = group(words, at)?;
    loop {
        last = match words.get(last + 1) {
            Some(&("." | "|")) => last + 2,
            Some(&("[" | "(")) => group(words, last + 1)?,
            _ => return (last < words.len()).then_some(last),
        };
    }
}

/// The last token of what begins at `at`: itself, or its closing bracket.
fn group(words: &[&str], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, word) in words.iter().enumerate().skip(at) {
        match *word {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

/// A token: its first byte, and behind its last one.
struct Token {
    start: usize,
    end: usize,
}

/// The tokens of a tag, and where the text goes on behind it.
fn tokens(text: &str, from: usize) -> (Vec<Token>, usize) {
    let mut tokens = Vec::new();
    let mut braces = 0_usize;
    let mut at = from;
    // `{%-` and `{{+` are about the blanks before.
    if text[at..].starts_with(['-', '+']) {
        at += 1;
    }
    while let Some(char) = text[at..].chars().next() {
        let rest = &text[at..];
        let ends = |rest: &str| rest.starts_with("%}") || (braces == 0 && rest.starts_with("}}"));
        if ends(rest) {
            return (tokens, at + 2);
        }
        if rest.starts_with(['-', '+']) && ends(&rest[1..]) {
            return (tokens, at + 3);
        }
        if char.is_whitespace() {
            at += char.len_utf8();
            continue;
        }
        match char {
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
        let end = at + length(rest, char);
        tokens.push(Token { start: at, end });
        at = end;
    }
    (tokens, text.len())
}

fn length(rest: &str, char: char) -> usize {
    let in_word = |char: char| char.is_alphanumeric() || char == '_';
    match char {
        '"' | '\'' => {
            let mut escaped = false;
            let close = rest[1..].find(|next: char| {
                let closes = next == char && !escaped;
                escaped = next == '\\' && !escaped;
                closes
            });
            close.map_or(rest.len(), |close| close + 2)
        }
        '0'..='9' => number(rest),
        char if in_word(char) => rest.find(|char| !in_word(char)).unwrap_or(rest.len()),
        _ => ["**", "==", "!=", "<=", ">=", "//"]
            .iter()
            .find(|operator| rest.starts_with(**operator))
            .map_or(char.len_utf8(), |operator| operator.len()),
    }
}

/// `1`, `1_000`, `0x1f`, `1.5`, `1.5e+3`.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut end = 1;
    while let Some(byte) = bytes.get(end) {
        let exponent = matches!(bytes[end - 1], b'e' | b'E') && !rest.starts_with("0x");
        let next = bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        match byte {
            b'.' if next => end += 1,
            b'+' | b'-' if exponent && next => end += 1,
            byte if byte.is_ascii_alphanumeric() || *byte == b'_' => end += 1,
            _ => break,
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::Guarded;

    fn guarded(text: &str) -> String {
        let Ok(guarded) = Guarded::of(text) else {
            return "forbidden".into();
        };
        for (at, char) in text.char_indices() {
            assert_eq!(
                text[guarded.original(at)..].len().cmp(&0),
                std::cmp::Ordering::Greater,
                "{char}"
            );
        }
        let short = guarded.text.replace("|faceway_counted", "§");
        let short = short.replace("|faceway_first", "¹");
        let short = short.replace("|faceway_middle", "²");
        short.replace("|faceway_last", "³")
    }

    #[test]
    fn what_is_joined_or_filtered_is_guarded() {
        for (text, wanted) in [
            ("a ~ b {{ a.b }} | c", "a ~ b {{ a.b }} | c"),
            ("{{ a ~ b ~ c }}", "{{ a§ ~ b§ ~ c§ }}"),
            (
                "{{ a.b[x ~ 1]|upper ~ 'c ~ d' }}",
                "{{ a.b[x§ ~ 1§]§|upper§ ~ 'c ~ d'§ }}",
            ),
            (
                "{{- (a + f(b)) * -2.5e+3 -}}",
                "{{- (a§ + f(b)§)¹ * -2.5e+3³ -}}",
            ),
            ("{{ a * b * d ~ c }}", "{{ a¹ * b² * d³ ~ c§ }}"),
            ("{{ a ** 2 // b }}", "{{ a ** 2 // b }}"),
            (
                "{%+ set x = {'a': [b ~ b]} +%}",
                "{%+ set x = {'a': [b§ ~ b§]} +%}",
            ),
            ("{{ {'a': {'b': c ~ d}} }}", "{{ {'a': {'b': c§ ~ d§}} }}"),
            (
                "{{ a | default(b | d) | upper }}",
                "{{ a | default(b | d)§ | upper }}",
            ),
            (
                "{# {{ a ~ b }} #}{% raw %}{{ a ~ b }}{% endraw %}{{a~b}}",
                "{# {{ a ~ b }} #}{% raw %}{{ a ~ b }}{% endraw %}{{a§~b§}}",
            ),
            ("{{ \"\\\" }} ~ \" ~ x }}", "{{ \"\\\" }} ~ \"§ ~ x§ }}"),
            ("{{ a ~", "{{ a§ ~"),
            (
                "a{% set x -%} bc {{- d }}e{% if f %}{% endif %}{%- raw %}g{% endraw %}{% endset %}h",
                "a{% set x -%}{{ 4|faceway_bytes -}} bc {{- d }}{{ 1|faceway_bytes }}e{% if f %}{% endif %}{{- 23|faceway_bytes }}{%- raw %}g{% endraw %}{% endset %}h",
            ),
            (
                "{%- filter upper %}x{% endfilter %}y",
                "{%- filter upper %}{{ 1|faceway_bytes }}x{% endfilter %}y",
            ),
            ("{% for x in y recursive -%}{% endfor %}", "forbidden"),
            (
                "{% for recursive in y %}{% endfor %}",
                "{% for recursive in y %}{% endfor %}",
            ),
        ] {
            assert_eq!(guarded(text), wanted);
        }
    }

    #[test]
    fn places_are_those_of_the_first_text() {
        let text = "{{ a ~ bc }} x";
        let Ok(guarded) = Guarded::of(text) else {
            panic!("forbidden")
        };
        for (at, _) in text.match_indices(['a', '~', 'b', 'x']) {
            let word = &text[at..=at];
            let now = guarded.text.replace("faceway_counted", "_______________");
            assert_eq!(guarded.original(now.find(word).unwrap()), at, "{word}");
        }
    }
}
