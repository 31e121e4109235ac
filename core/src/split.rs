//! Takes a batch apart whose text no parser takes as a whole: where an element ends is seen by brackets and quotes alone,
//! so an element that is no JSON costs itself and not its neighbours.

/// The elements of a top-level array, each as sent and without the blanks around it. `None` when the body is no array,
/// when it is cut off, when something stands behind it, or when it has more than `elements_max` elements. Between two
/// commas with nothing between them there is no element.
///
/// Bytes are looked at, not signs: text that is no UTF-8 has the same brackets.
pub fn split(body: &[u8], elements_max: usize) -> Option<Vec<&[u8]>> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let body = body.trim_ascii();
    // Only the very last sign ends the array. Another one that has nothing to close belongs to a broken element.
    let inner = body.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let mut open = Open::default();
    let mut elements = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(byte) = inner.get(at) {
        match byte {
            b'"' => at = behind_string(inner, at + 1)?,
            b',' if open.is_empty() => {
                add(&mut elements, &inner[start..at], elements_max)?;
                at += 1;
                start = at;
            }
            // The array ends here, and text stands behind it.
            b']' if open.is_empty() => return None,
            byte => {
                open.meet(*byte);
                at += 1;
            }
        }
    }
    add(&mut elements, &inner[start..], elements_max)?;
    Some(elements)
}

fn add<'b>(elements: &mut Vec<&'b [u8]>, element: &'b [u8], elements_max: usize) -> Option<()> {
    let element = element.trim_ascii();
    if !element.is_empty() {
        if elements.len() == elements_max {
            return None;
        }
        elements.push(element);
    }
    Some(())
}

/// The place behind the closing quote of the string whose text begins at `start`; `None` when it is not closed.
pub(crate) fn behind_string(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// What is open inside one element.
#[derive(Default)]
struct Open {
    stack: Vec<u8>,
    /// How many of the stack are braces. Without this count, a body of brackets that fit nowhere would take quadratic time.
    braces: usize,
}

impl Open {
    const fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    fn meet(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => {
                self.braces += usize::from(byte == b'{');
                self.stack.push(byte);
            }
            b'}' => self.close(b'{', self.braces > 0),
            b']' => self.close(b'[', self.braces < self.stack.len()),
            _ => {}
        }
    }

    /// Closes the last one of its kind, and with it what a broken element has left open inside. One that was never opened
    /// closes nothing.
    fn close(&mut self, kind: u8, is_open: bool) {
        while is_open && let Some(opened) = self.stack.pop() {
            self.braces -= usize::from(opened == b'{');
            if opened == kind {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::split;

    fn parts(body: &str) -> Option<Vec<&str>> {
        let parts = split(body.as_bytes(), 100)?;
        Some(
            parts
                .into_iter()
                .map(|part| std::str::from_utf8(part).unwrap())
                .collect(),
        )
    }

    #[test]
    fn a_broken_element_costs_itself() {
        for broken in [
            "NaN",
            r#"{"a":NaN}"#,
            "{\"a\":\"line\nbreak\"}",
            r#"{"a":1,}"#,
            r#"{"a":[1,2}"#,
            r#"{"a":1]}"#,
            r#"{"a":1}}"#,
            r#"{"a" "b"}"#,
            r#"{'a':1}"#,
            r#"{"a":"\ud800x"}"#,
            r#"{"a":"x" "y]},{"}"#,
        ] {
            let body = format!(" [{{\"id\":\"],\"}} , {broken}\n,[1,{{}}],7] ");
            assert_eq!(
                parts(&body).unwrap(),
                [r#"{"id":"],"}"#, broken, "[1,{}]", "7"]
            );
        }
        let latin = b"[{\"a\":\"Br\xfcnner\"},{\"b\":1}]";
        assert_eq!(split(latin, 9).unwrap()[1], b"{\"b\":1}");
    }

    #[test]
    fn what_is_no_whole_array_is_not_taken_apart() {
        for body in [
            "",
            "7",
            "{}",
            "[",
            "]",
            "[{}",
            "[{},",
            r#"[{"a":"}]"#,
            r#"[{"a":"\"]"#,
            "[{}]x",
            "[{}][{}]",
            "[1]]",
        ] {
            assert_eq!(parts(body), None, "{body}");
        }
        assert_eq!(split(b"[1,2,3]", 2), None);
    }

    #[test]
    fn nothing_between_two_commas_is_no_element() {
        assert_eq!(parts("[]").unwrap(), Vec::<&str>::new());
        assert_eq!(parts("[{},]").unwrap(), ["{}"]);
        assert_eq!(parts("\u{feff}[,1,,2]").unwrap(), ["1", "2"]);
    }

    #[test]
    fn brackets_that_fit_nowhere_take_no_quadratic_time() {
        for (open, close) in [("[", "}"), ("{", "]"), ("[{", "]"), ("{[", "}")] {
            let body = format!("[{}{}]", open.repeat(400_000), close.repeat(400_000));
            let _ = split(body.as_bytes(), 100);
        }
    }

    proptest! {
        /// What a parser takes is taken apart as the parser does.
        #[test]
        fn good_arrays_are_taken_apart_as_a_parser_does(body in "[\\[\\]{}\",:\\\\a1 ]{0,30}") {
            let body = format!("[{body}]");
            if let Ok(items) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(&body) {
                let items: Vec<&str> = items.into_iter().map(|item| item.get()).collect();
                prop_assert_eq!(parts(&body).unwrap(), items);
            }
        }

        /// Whatever stands between them, so long as its brackets and quotes fit, its neighbours are found.
        #[test]
        fn neighbours_are_found(
            inner in prop::collection::vec(any::<u8>().prop_filter("no bracket, no quote", |byte| !b"\"\\[]{},".contains(byte)), 1..30),
        ) {
            let broken = [b"{", inner.as_slice(), b"}"].concat();
            let body = [b"[{\"id\":1},", broken.as_slice(), b",{\"id\":2}]"].concat();
            let expected: [&[u8]; 3] = [b"{\"id\":1}", &broken, b"{\"id\":2}"];
            prop_assert_eq!(split(&body, 100).unwrap(), expected);
        }
    }
}
