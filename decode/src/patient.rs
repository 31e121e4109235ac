//! Reading what an adapter could not read at first: mended, and of a batch each element for itself.

use std::borrow::Cow;
use std::cell::OnceCell;

use faceway_core::{
    Adapter, Arrival, Element, Reject, Settings, Text, Unreadable, element, mend, split,
};

use crate::charset;

/// More elements than this are no batch, whatever the adapter would take.
const ELEMENTS_MAX: usize = 100_000;

/// Lets the adapter read, and reads more patiently what it cannot.
pub(crate) fn read<'a>(
    adapter: &dyn Adapter,
    arrival: &Arrival<'a>,
    settings: &Settings,
    unknown: Option<&str>,
    mended: &'a OnceCell<String>,
) -> Result<Vec<Element<'a>>, Reject> {
    let reason = match adapter.read(arrival, settings) {
        Err(Reject::Unreadable(reason)) => reason,
        read => return read,
    };
    let read = |json: &'a str| {
        let body = json.as_bytes();
        adapter.read(&Arrival { body, ..*arrival }, settings)
    };
    let batch = split(arrival.body, ELEMENTS_MAX).map(|parts| Batch::of(parts, unknown));
    let again = match batch {
        Some(batch) => batch.is_better().then(|| batch.read(mended, read)),
        None => single(arrival.body, mended, read),
    };
    match again {
        Some(Ok(elements)) => Ok(elements),
        Some(Err(Again::Rejected(reject))) => Err(reject),
        Some(Err(Again::InVain)) | None => {
            let reason = hinted(reason, arrival.body, unknown);
            Err(Reject::Unreadable(reason))
        }
    }
}

/// Why a second reading gives nothing.
enum Again {
    /// The text is in order now, and this is why it is no record.
    Rejected(Reject),
    /// What was wrong with it at first says more.
    InVain,
}

fn single<'a>(
    body: &'a [u8],
    mended: &'a OnceCell<String>,
    read: impl FnOnce(&'a str) -> Result<Vec<Element<'a>>, Reject>,
) -> Option<Result<Vec<Element<'a>>, Again>> {
    let found = mend(body)?;
    if element(found.json.as_bytes()).is_err() {
        return None;
    }
    let mut elements = match read(mended.get_or_init(|| found.json)) {
        Ok(elements) => elements,
        Err(reject) => return Some(Err(Again::Rejected(reject))),
    };
    for element in &mut elements {
        match element {
            Ok(reading) => reading.facts.warnings.extend(found.notes.iter().cloned()),
            // Kept as it came.
            Err(unreadable) => unreadable.raw = body,
        }
    }
    Some(Ok(elements))
}

/// A batch, taken apart: the elements as sent.
struct Batch<'a> {
    parts: Vec<Part<'a>>,
    /// The good ones together, as a list again.
    json: String,
}

struct Part<'a> {
    raw: &'a [u8],
    /// Warnings of what was mended, or why it cannot be read.
    state: Result<Vec<Text<'static>>, Cow<'static, str>>,
}

impl<'a> Batch<'a> {
    fn of(parts: Vec<&'a [u8]>, unknown: Option<&str>) -> Self {
        let mut json = String::from("[");
        let mut add = |good: &str| {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(good);
        };
        let parts = parts.into_iter().map(|raw| {
            let state = match element(raw) {
                Ok(good) => {
                    add(good);
                    Ok(Vec::new())
                }
                Err(malformed) => match mend(raw) {
                    Some(mended) if element(mended.json.as_bytes()).is_ok() => {
                        add(&mended.json);
                        Ok(mended.notes)
                    }
                    _ => Err(hinted(malformed.to_string().into(), raw, unknown)),
                },
            };
            Part { raw, state }
        });
        let parts = parts.collect();
        json.push(']');
        Self { parts, json }
    }

    /// Whether there is anything to be read in it that was not there before: a batch of good elements alone was not
    /// rejected for what stands in them.
    fn is_better(&self) -> bool {
        self.json.len() > 2
    }

    fn read(
        self,
        mended: &'a OnceCell<String>,
        read: impl FnOnce(&'a str) -> Result<Vec<Element<'a>>, Reject>,
    ) -> Result<Vec<Element<'a>>, Again> {
        let Self { parts, json } = self;
        let good = parts.iter().filter(|part| part.state.is_ok()).count();
        let elements = read(mended.get_or_init(|| json)).map_err(Again::Rejected)?;
        // Who does not give an element for each cannot be asked which is which.
        if elements.len() != good {
            return Err(Again::InVain);
        }
        let mut elements = elements.into_iter();
        let put_back = |Part { raw, state }: Part<'a>| match state {
            Err(reason) => Some(Err(Unreadable { reason, raw })),
            Ok(notes) => Some(match elements.next()? {
                Ok(mut reading) => {
                    reading.facts.warnings.extend(notes);
                    Ok(reading)
                }
                Err(Unreadable { reason, .. }) => Err(Unreadable { reason, raw }),
            }),
        };
        Ok(parts.into_iter().filter_map(put_back).collect())
    }
}

/// A reason, and what a body that is no UTF-8 probably is.
fn hinted(reason: Cow<'static, str>, text: &[u8], unknown: Option<&str>) -> Cow<'static, str> {
    match charset::hint(text, unknown) {
        Some(hint) => format!("{reason}; {hint}").into(),
        None => reason,
    }
}
