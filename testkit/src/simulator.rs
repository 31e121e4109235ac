//! The suite of the simulator contract: every adapter that has a simulator goes through it.

use std::collections::BTreeSet;

use faceway_core::simulator::{
    About, ApiCall, Choice, ChoiceKind, Chosen, Picture, Request, Simulator, Source,
};
use faceway_core::{Adapter, Arrival, Outcome, Settings, Timestamp};
use http::{HeaderMap, HeaderValue};

/// How many requests are looked at.
const REQUESTS: u64 = 200;
/// The size of each picture.
const PICTURE_BYTES: usize = 2048;

/// All of it: what it says of itself, that it is pure, its queues, and that its adapter reads what it sends.
///
/// # Panics
/// When the simulator breaks the contract; the message says what.
#[expect(clippy::panic, reason = "a suite fails by panics")]
pub fn contract(adapter: &dyn Adapter) {
    let Some(simulator) = adapter.simulator() else {
        panic!("{} has no simulator", adapter.name());
    };
    let about = simulator.about();
    check_words(adapter.name(), about);
    check_pure(simulator);
    let source = simulator.source(&chosen(about, 7));
    check_queues(&*source);
    check_read(adapter, &*source, about.sends_pictures);
    check_answers(adapter, &*source);
    check_demo(adapter, simulator);
    // What a stranger asks must not end the simulation.
    if let Some(mut api) = source.api(None) {
        let reply = api.answer(&ApiCall {
            method: "GET",
            path: "/no/such/path",
            authorization: None,
            body: b"\xff",
            now: std::time::Duration::ZERO,
            random: 7,
        });
        assert!(
            reply.status >= 400 && reply.to.is_none(),
            "its API answers {reply:?} to a path that it has not"
        );
    }
}

fn check_words(name: &str, about: &About) {
    let first = about.help.split("\n\n").next().unwrap_or_default();
    assert!(
        first.ends_with('.'),
        "the help begins with a sentence: {first}"
    );
    assert!(!about.examples.is_empty(), "there is no example");
    for example in about.examples {
        let command = format!("faceway simulate {name} ");
        assert!(example.starts_with(&command), "{example}");
    }
    for choice in about.choices() {
        if let Some(default) = choice.default {
            check_value(choice, default);
        }
        assert_eq!(
            choice.kind == ChoiceKind::Flag,
            choice.value.is_empty(),
            "--{} names its value, if it has one",
            choice.name
        );
    }
    for (name, value) in about.demo.chosen {
        let choice = about.choices().find(|choice| choice.name == *name);
        assert!(choice.is_some(), "the demo chooses --{name}: no such thing");
        if let Some(choice) = choice {
            check_value(choice, value);
        }
    }
}

fn check_value(choice: &Choice, value: &str) {
    let good = match choice.kind {
        ChoiceKind::Flag => value.is_empty(),
        ChoiceKind::Text => true,
        ChoiceKind::Words(words) => words.contains(&value),
        ChoiceKind::Number(least, most) => value
            .parse()
            .is_ok_and(|number: u64| (least..=most).contains(&number)),
    };
    assert!(good, "--{} {value:?} is no {:?}", choice.name, choice.kind);
}

fn chosen(about: &About, seed: u64) -> Chosen {
    let mut chosen = Chosen::defaults(about, seed);
    chosen.picture = Picture::Bytes(PICTURE_BYTES);
    chosen
}

/// A second for each.
fn at(number: u64) -> Timestamp {
    let second = i64::try_from(number).unwrap_or_default();
    Timestamp::from_seconds(1_790_000_000 + second).expect("a time")
}

fn requests(simulator: &dyn Simulator, seed: u64) -> Vec<Request> {
    let source = simulator.source(&chosen(simulator.about(), seed));
    (0..REQUESTS)
        .map(|number| source.request(number, at(number)))
        .collect()
}

fn check_pure(simulator: &dyn Simulator) {
    let first = requests(simulator, 7);
    assert!(
        first == requests(simulator, 7),
        "the same seed and number do not make the same request"
    );
    assert!(
        first != requests(simulator, 8),
        "another seed makes the same requests"
    );
}

/// Every number is in one queue, once, and in each queue later ones come behind earlier ones.
fn check_queues(source: &dyn Source) {
    let queues = source.posting().queues;
    assert!(queues > 0, "there is no queue");
    let mut seen = BTreeSet::new();
    for queue in 0..queues {
        let numbers = (0..).map(|earlier| source.in_queue(queue, earlier));
        let mut last = None;
        for number in numbers.take_while(|number| *number < REQUESTS) {
            assert!(last < Some(number), "queue {queue} goes back to {number}");
            assert!(seen.insert(number), "{number} is in two queues");
            last = Some(number);
        }
    }
    let all: BTreeSet<u64> = (0..REQUESTS).collect();
    assert!(seen == all, "not every number is in a queue");
}

fn check_read(adapter: &dyn Adapter, source: &dyn Source, sends_pictures: bool) {
    let batch = source.posting().batch;
    let mut pictures = 0;
    for number in 0..REQUESTS {
        let request = source.request(number, at(number));
        let read = read(adapter, &request);
        assert_eq!(
            read.0, batch,
            "request {number} has another number of records"
        );
        pictures += read.1;
    }
    assert_eq!(
        pictures > 0,
        sends_pictures,
        "`sends_pictures` is not what it sends"
    );
}

/// How many records a request has, and how many pictures.
fn read(adapter: &dyn Adapter, request: &Request) -> (u64, usize) {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let value = HeaderValue::from_str(value);
        assert!(value.is_ok(), "the header {name} is not one: {value:?}");
        headers.extend(
            value
                .ok()
                .map(|value| (http::HeaderName::from_static(name), value)),
        );
    }
    let arrival = Arrival {
        headers: &headers,
        peer: None,
        body: &request.body,
    };
    let body = String::from_utf8_lossy(&request.body);
    let elements = adapter.read(&arrival, &Settings::default());
    assert!(elements.is_ok(), "{body}: {:?}", elements.err());
    let elements = elements.unwrap_or_default();
    let mut pictures = 0;
    for element in &elements {
        match element {
            Ok(reading) => {
                let warnings = &reading.facts.warnings;
                assert!(warnings.is_empty(), "{body}: {warnings:?}");
                pictures += reading.pictures.len();
            }
            Err(unreadable) => assert!(unreadable.reason.is_empty(), "{body}: {unreadable:?}"),
        }
    }
    (elements.len() as u64, pictures)
}

/// The source understands the answers of its own adapter.
fn check_answers(adapter: &dyn Adapter, source: &dyn Source) {
    let taken = |outcome: &Outcome| {
        let answer = adapter.answer(outcome);
        source.taken(answer.status, &answer.body).is_ok()
    };
    assert!(taken(&Outcome::Kept), "success is no success to the source");
    assert!(
        !taken(&Outcome::Busy),
        "`try again` is success to the source"
    );
    assert!(
        !taken(&Outcome::Refused("a reason".into())),
        "a refusal is success to the source"
    );
}

/// The addresses in the demo's keys are those of doors that the simulator has.
fn check_demo(adapter: &dyn Adapter, simulator: &dyn Simulator) {
    let about = simulator.about();
    let names = |place| {
        about
            .demo
            .keys
            .iter()
            .any(|(_, value)| value.contains(place))
    };
    let source = simulator.source(&Chosen::defaults(about, 7));
    let name = adapter.name();
    assert!(
        !names("{api}") || source.api(None).is_some(),
        "the demo of {name} names an API, and there is none"
    );
    let (_, url) = about
        .demo
        .keys
        .iter()
        .find(|(key, _)| *key == "url")
        .unwrap_or(&("", ""));
    if let Some(address) = url.strip_prefix("ws://{listen}") {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let path = if path.is_empty() { "/" } else { path };
        assert!(
            source.admit(path, query).is_ok(),
            "the demo of {name} dials {url}, where it is not let in"
        );
    }
    assert!(
        about.demo.rate > 0.0,
        "nothing happens in the demo of {name}"
    );
}
