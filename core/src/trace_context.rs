//! W3C Trace Context: which trace of another system a device's push belongs to. It is kept beside its events and goes on
//! with them, unchanged. <https://www.w3.org/TR/trace-context-2/>

use http::HeaderMap;

/// The header that names a trace and the span that sent it; so the extension of CloudEvents is called too.
pub const TRACEPARENT: &str = "traceparent";
/// The header of what tracing systems add.
pub const TRACESTATE: &str = "tracestate";

/// Bytes of a `traceparent` of version 00.
const PARENT_BYTES: usize = 55;
/// Bytes of a `tracestate`: what the specification asks to pass on. More is left out, entry by entry.
const STATE_BYTES_MAX: usize = 512;
/// Entries that are longer than this are the first to be left out.
const ENTRY_BYTES_MAX: usize = 128;
/// Entries of a `tracestate`.
const ENTRIES_MAX: usize = 32;
/// Bytes of the name of an entry, and of its value.
const NAME_BYTES_MAX: usize = 256;

/// A trace context that keeps to the grammar. It tells of no person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The `traceparent`; then, where there is one, a line feed and the `tracestate`.
    text: Box<str>,
}

impl TraceContext {
    /// That of a request. One that breaks the grammar is as none, and so is a `tracestate` by itself.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let (Some(parent), None) = (parents.next(), parents.next()) else {
            return None;
        };
        let parent = parent_of(parent.to_str().ok()?)?;
        let states = headers.get_all(TRACESTATE).iter();
        // Several headers are one list.
        let states: Option<Vec<&str>> = states.map(|state| state.to_str().ok()).collect();
        let state = states.and_then(|states| state_of(&states.join(",")));
        Some(Self::new(&parent, state.as_deref()))
    }

    /// What a spool has kept; `None` when it is damaged.
    pub fn stored(text: &str) -> Option<Self> {
        let (parent, state) = match text.split_once('\n') {
            Some((parent, state)) => (parent, Some(state)),
            None => (text, None),
        };
        let whole = parent_of(parent)? == parent
            && state.is_none_or(|state| state_of(state).as_deref() == Some(state));
        whole.then(|| Self::new(parent, state))
    }

    /// What a spool keeps.
    pub fn as_stored(&self) -> &str {
        &self.text
    }

    /// The `traceparent`.
    pub fn parent(&self) -> &str {
        &self.text[..PARENT_BYTES]
    }

    /// The `tracestate`.
    pub fn state(&self) -> Option<&str> {
        self.text.get(PARENT_BYTES + 1..)
    }

    /// What there is of it, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let state = self.state().map(|state| (TRACESTATE, state));
        [(TRACEPARENT, self.parent())].into_iter().chain(state)
    }

    fn new(parent: &str, state: Option<&str>) -> Self {
        let text = match state {
            Some(state) => format!("{parent}\n{state}"),
            None => parent.to_owned(),
        };
        Self { text: text.into() }
    }
}

/// A `traceparent` as version 00 writes it; `None` when it breaks the grammar. Of a later version what 00 knows is taken,
/// as section 3.2.4 asks.
fn parent_of(text: &str) -> Option<String> {
    let known = text.get(..PARENT_BYTES)?;
    let rest = &text[PARENT_BYTES..];
    let [version, trace, span, flags]: [&str; 4] =
        known.split('-').collect::<Vec<_>>().try_into().ok()?;
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |text: &str| text.bytes().any(|byte| byte != b'0');
    let fits = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    if !fits || !some(trace) || !some(span) {
        return None;
    }
    match version {
        "00" => rest.is_empty().then(|| known.to_owned()),
        "ff" => None,
        _ if rest.is_empty() || rest.starts_with('-') => {
            // Of the flags of another version only "sampled" is known to mean the same.
            let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
            Some(format!("00-{trace}-{span}-{sampled:02x}"))
        }
        _ => None,
    }
}

/// A `tracestate` within the limits; `None` when it breaks the grammar or has no entry.
fn state_of(text: &str) -> Option<String> {
    let entries = text.split(',').map(|entry| entry.trim_matches([' ', '\t']));
    let mut entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
    if entries.len() > ENTRIES_MAX {
        return None;
    }
    let mut names = Vec::with_capacity(entries.len());
    for entry in &entries {
        let (name, value) = entry.split_once('=')?;
        if !is_name(name) || !is_value(value) || names.contains(&name) {
            return None;
        }
        names.push(name);
    }
    let bytes = |entries: &[&str]| entries.iter().map(|entry| entry.len() + 1).sum::<usize>();
    if bytes(&entries) > STATE_BYTES_MAX + 1 {
        entries.retain(|entry| entry.len() <= ENTRY_BYTES_MAX);
    }
    while bytes(&entries) > STATE_BYTES_MAX + 1 {
        entries.pop();
    }
    (!entries.is_empty()).then(|| entries.join(","))
}

fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|char: char| char.is_ascii_lowercase() || char.is_ascii_digit());
    let goes_on =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    begins && name.len() <= NAME_BYTES_MAX && name.bytes().all(goes_on)
}

fn is_value(value: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    !value.is_empty() && value.len() <= NAME_BYTES_MAX && value.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn context(headers: &[(&'static str, &str)]) -> Option<TraceContext> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        TraceContext::of(&map)
    }

    #[test]
    fn a_good_one_comes_back_as_it_was() {
        let alone = context(&[("traceparent", PARENT)]).unwrap();
        assert_eq!((alone.parent(), alone.state()), (PARENT, None));
        let state = "congo=t61rcWkgMzE,rojo@vendor=00f067aa0ba902b7";
        let both = context(&[("traceparent", PARENT), ("tracestate", state)]).unwrap();
        assert_eq!((both.parent(), both.state()), (PARENT, Some(state)));
        for one in [alone, both] {
            assert_eq!(TraceContext::stored(one.as_stored()), Some(one));
        }
    }

    #[test]
    fn a_later_version_is_written_as_the_known_one() {
        let later = PARENT.replace("00-4", "cc-4");
        for sent in [later.clone(), format!("{later}-what-the-future-holds")] {
            assert_eq!(context(&[("traceparent", &sent)]).unwrap().parent(), PARENT);
        }
        assert_eq!(context(&[("traceparent", &format!("{later}.x"))]), None);
    }

    #[test]
    fn a_bad_one_is_as_none() {
        for bad in [
            "",
            "00",
            &PARENT[1..],
            &PARENT.to_uppercase(),
            &format!("{PARENT}-"),
            &format!("{PARENT}0"),
            &format!("{PARENT}, {PARENT}"),
            &PARENT.replace("00-4", "ff-4"),
            &PARENT.replace('-', "_"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        ] {
            assert_eq!(context(&[("traceparent", bad)]), None, "{bad}");
            assert_eq!(TraceContext::stored(bad), None, "{bad}");
        }
        let twice = [("traceparent", PARENT), ("traceparent", PARENT)];
        assert_eq!(context(&twice), None);
        assert_eq!(context(&[("tracestate", "a=1")]), None);
    }

    #[test]
    fn a_bad_state_costs_itself() {
        let many: Vec<_> = (0..33).map(|n| format!("k{n}=v")).collect();
        for bad in ["a", "a=", "A=1", "a=1,a=2", "a=b=c", "=1", &many.join(",")] {
            let context = context(&[("traceparent", PARENT), ("tracestate", bad)]).unwrap();
            assert_eq!(context.state(), None, "{bad}");
        }
    }

    #[test]
    fn several_states_are_one_and_no_longer_than_they_may_be() {
        let state = |states: &[&str]| {
            let headers = states.iter().map(|state| ("tracestate", *state));
            let headers: Vec<_> = [("traceparent", PARENT)]
                .into_iter()
                .chain(headers)
                .collect();
            context(&headers).unwrap().state().map(str::to_owned)
        };
        assert_eq!(state(&["a=1 , b=2,,", "c=3"]).unwrap(), "a=1,b=2,c=3");
        let long = format!("long={}", "x".repeat(200));
        let short = |n: usize| format!("k{n}={}", "y".repeat(80));
        let mixed = [long.clone(), short(1), short(2), short(3), short(4)].join(",");
        assert!(mixed.len() > STATE_BYTES_MAX);
        assert_eq!(
            state(&[&mixed]).unwrap(),
            [short(1), short(2), short(3), short(4)].join(",")
        );
        let many: Vec<_> = (0..20).map(short).collect();
        let kept = state(&[&many.join(",")]).unwrap();
        assert!(kept.len() <= STATE_BYTES_MAX && kept.starts_with(&many[..5].join(",")));
        let exact = format!("k={},l={}", "z".repeat(253), "z".repeat(254));
        assert_eq!(
            (exact.len(), state(&[&exact])),
            (STATE_BYTES_MAX, Some(exact))
        );
    }

    proptest! {
        #[test]
        fn whatever_is_sent_what_is_kept_is_a_header_and_comes_back(
            parent in "(00|cc|ff)-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-x)?|[ -~]{0,60}",
            state in "[ -~]{0,40}|([a-z]{1,3}=[a-z]{1,150},?){0,8}",
        ) {
            if let Some(context) = context(&[("traceparent", &parent), ("tracestate", &state)]) {
                prop_assert_eq!(context.parent().len(), PARENT_BYTES);
                prop_assert!(context.state().is_none_or(|state| state.len() <= STATE_BYTES_MAX));
                for (_, value) in context.fields() {
                    prop_assert!(HeaderValue::from_str(value).is_ok());
                }
                prop_assert_eq!(TraceContext::stored(context.as_stored()), Some(context.clone()));
            }
        }
    }
}
