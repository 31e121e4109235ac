//! Episodes: the visit of a person or a vehicle, when it opens, with every event of it, and when it closes.

use faceway_core::lenient::text;
use faceway_core::reader::{Zone, items, members};
use faceway_core::{Episode, EpisodeState, Facts, Members, Raw, Rest, Timestamp};

use crate::wire::{Record, Topic};
use crate::{camera, person};

/// Reads an episode. Its id repeats over open, event and close.
pub(crate) fn read<'a>(record: &mut Record<'a>, facts: &mut Facts<'a>) {
    let Topic::Episode(object) = record.topic else {
        return;
    };
    let state = state(record);
    let fields = &mut record.fields;
    let times = ["created_date", "closed_date"].map(|name| (name, fields.members.peek(name)));
    let opened_at = fields.written_time("created_date", Zone::Utc);
    let closed_at = fields.written_time("closed_date", Zone::Utc);
    facts.occurred_at = match state {
        Some(EpisodeState::Open) => opened_at,
        Some(EpisodeState::Close) => closed_at,
        Some(EpisodeState::Event) => newest_event(&fields.members),
        None => None,
    };
    facts.device = camera::device(fields);
    (facts.person, facts.matched.status) = person::read(fields, false);
    let episode = |id| Episode {
        id,
        state,
        object: Some(object),
        events_count: fields.count("events_count"),
        opened_at,
        closed_at,
    };
    facts.episode = facts.vendor_id.clone().map(episode);
    if facts.episode.is_none() {
        fields.warn("id", "missing, so there is no episode");
        // No word is left for them, so they stay.
        for (name, raw) in times {
            if let Some(raw) = raw.filter(|_| !fields.members.has(name)) {
                fields.members.put(name, Rest::Raw(raw));
            }
        }
    }
}

/// Told by the class; without one, only an episode that is not `open` any more tells what became of it.
fn state(record: &mut Record<'_>) -> Option<EpisodeState> {
    let fields = &mut record.fields;
    let Some(class) = record.class.as_deref() else {
        let closed = fields.told("open").is_some_and(|raw| raw.get() == "false");
        return closed.then_some(EpisodeState::Close);
    };
    let state = match class {
        "episode_open" => Some(EpisodeState::Open),
        "episode_event" => Some(EpisodeState::Event),
        "episode_close" => Some(EpisodeState::Close),
        _ => None,
    };
    if state.is_none() {
        fields.warn("event_model_class", "an unknown word");
    }
    state
}

/// The newest of the events that are told with the episode: `last_face_event`, `best_body_event` …
fn newest_event(episode: &Members<'_>) -> Option<Timestamp> {
    episode
        .iter()
        .filter(|(name, _)| name.ends_with("_event") || matches!(*name, "event" | "events"))
        .filter_map(|(name, _)| episode.peek(name))
        .filter_map(created)
        .max()
}

fn created(event: Raw<'_>) -> Option<Timestamp> {
    if let Some(events) = items(event) {
        return events.into_iter().filter_map(created_of_one).max();
    }
    created_of_one(event)
}

fn created_of_one(event: Raw<'_>) -> Option<Timestamp> {
    let event = members(event)?;
    text(event.peek("created_date")?)?.trim().parse().ok()
}
