//! ARCHITECTURE.md says nothing that no test holds: each row of a table that has a column `held by` names a test, and each
//! file that the page names is there.

use std::collections::BTreeSet;
use std::path::Path;

use super::ROOT;
use super::rooms::ROOMS;

/// The column of tests.
const HELD_BY: &str = "held by";

fn page() -> String {
    std::fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md")).unwrap()
}

/// A row of a table, with the header that it stands under.
struct Row {
    header: Vec<String>,
    cells: Vec<String>,
}

fn rows(page: &str) -> Vec<Row> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim_matches('|');
        line.split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let (mut rows, mut header) = (Vec::new(), None);
    for line in page.lines() {
        if !line.starts_with('|') {
            header = None;
        } else if line.starts_with("|-") {
        } else if let Some(header) = &header {
            rows.push(Row {
                header: Vec::clone(header),
                cells: cells(line),
            });
        } else {
            header = Some(cells(line));
        }
    }
    rows
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn each_claim_of_the_architecture_has_a_test_that_is_there() {
    let (mut wrong, mut held) = (Vec::new(), 0);
    for row in rows(&page()) {
        let Some(at) = row.header.iter().position(|cell| cell == HELD_BY) else {
            continue;
        };
        let tests: Vec<&str> = row
            .cells
            .get(at)
            .into_iter()
            .flat_map(|cell| quoted(cell))
            .collect();
        if tests.is_empty() {
            wrong.push(format!("{:?} names no test", row.cells));
        }
        for test in tests {
            held += 1;
            if let Err(reason) = is_a_test(test) {
                wrong.push(format!("{test}: {reason}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "ARCHITECTURE.md: name a test as `path/to/file.rs::name`, write one, or take the claim out:\n{}",
        wrong.join("\n")
    );
    assert!(held > 80, "only {held} tests were found in ARCHITECTURE.md");
}

/// Whether `file.rs::name` is a test.
fn is_a_test(named: &str) -> Result<(), &'static str> {
    let (file, name) = named.split_once("::").ok_or("it is no `file::name`")?;
    let text = std::fs::read_to_string(Path::new(ROOT).join(file));
    let text = text.map_err(|_| "there is no such file")?;
    let lines: Vec<&str> = text.lines().collect();
    let function = format!("fn {name}(");
    let is_there = |line: &&str| {
        line.trim_start()
            .trim_start_matches("async ")
            .starts_with(&function)
    };
    let at = lines.iter().position(is_there);
    let at = at.ok_or("there is no such function in the file")?;
    let above = lines[..at].iter().rev().map(|line| line.trim_start());
    let mut attributes = above.take_while(|line| !line.is_empty() && !line.ends_with('}'));
    attributes
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
        .then_some(())
        .ok_or("the function is no test")
}

#[test]
fn what_the_architecture_names_is_there() {
    let page = page();
    // Files of a room by their names in it, and everything that is written with its room.
    let (mut inner, mut named) = (BTreeSet::new(), BTreeSet::new());
    let rows = rows(&page);
    for row in &rows {
        if row.header[..2] == ["room", "files"] {
            let room = row.cells[0].trim_matches('`');
            inner.extend(quoted(&row.cells[1]));
            named.extend(quoted(&row.cells[1]).map(|file| format!("{room}{file}")));
        }
    }
    for word in quoted(&page).filter(|word| !inner.contains(word)) {
        let path = word.split("::").next().unwrap_or_default();
        let is_path = path.contains('/')
            && !path.starts_with('/')
            && !path.contains(['<', '*', ' ', ':', '{'])
            && (path.ends_with('/') || Path::new(path).extension().is_some());
        if is_path {
            named.insert(path.to_owned());
        }
    }
    let is_gone = |path: &&String| !Path::new(ROOT).join(path).exists();
    let wrong: Vec<&String> = named.iter().filter(is_gone).collect();
    assert!(
        wrong.is_empty(),
        "ARCHITECTURE.md names what is not there: {wrong:?}"
    );
    assert!(named.len() > 150, "only {} paths were found", named.len());
}

#[test]
fn the_rooms_of_the_architecture_are_those_that_are_held() {
    let shown = rows(&page()).into_iter();
    let shown = shown.filter(|row| row.header[0] == "room of `src/`");
    let shown: Vec<(String, Vec<String>)> = shown
        .flat_map(|row| {
            let known: Vec<String> = quoted(&row.cells[1]).map(str::to_owned).collect();
            let rooms: Vec<String> = quoted(&row.cells[0]).map(str::to_owned).collect();
            rooms.into_iter().map(move |room| (room, known.clone()))
        })
        .collect();
    let held: Vec<(String, Vec<String>)> = ROOMS
        .iter()
        .map(|(room, known)| {
            let known = known.iter().map(|known| (*known).to_owned());
            ((*room).to_owned(), known.collect())
        })
        .collect();
    assert_eq!(
        shown, held,
        "write into ARCHITECTURE.md, \"The rooms of src\", what tests/it/tidy/rooms.rs says"
    );
}

/// The walk of a delivery: the file, and what in it leads on to the next one.
const WALK: [(&str, &str); 11] = [
    ("src/dispatch/runner.rs", "self.route()"),
    ("src/dispatch/runner/route.rs", "decider"),
    ("src/dispatch/decide.rs", "pub(super) fn"),
    ("lane/src/lane.rs", "Batching"),
    ("lane/src/batch.rs", "Share"),
    ("src/dispatch/runner/deliver.rs", "self.deliveries"),
    ("src/dispatch/deliveries.rs", "renderer"),
    ("src/dispatch/render/mod.rs", "Message"),
    ("core/src/outbound.rs", "fn deliver"),
    ("lane/src/lane/settle.rs", "pub fn acknowledge"),
    ("src/dispatch/runner/keep.rs", ".commit("),
];

#[test]
fn the_walk_of_a_delivery_is_the_one_that_is_told() {
    let page = page();
    let walk = page
        .lines()
        .find(|line| line.starts_with("`src/dispatch/runner.rs` → "));
    let walk = walk.expect("ARCHITECTURE.md has the walk of a delivery, file by file");
    let told: Vec<&str> = quoted(walk).collect();
    let files: Vec<&str> = WALK.iter().map(|(file, _)| *file).collect();
    assert_eq!(told, files);
    assert!(page.contains("eleven files"));
    for (file, leads_on) in WALK {
        let text = std::fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
        assert!(
            text.contains(leads_on),
            "{file} has no {leads_on:?}: is the walk another one now?"
        );
    }
}

#[test]
fn what_holds_a_claim_is_told_from_what_does_not() {
    assert_eq!(
        is_a_test("tests/it/tidy/architecture.rs::what_holds_a_claim_is_told_from_what_does_not"),
        Ok(())
    );
    assert!(is_a_test("tests/it/tidy/architecture.rs::is_a_test").is_err());
    assert!(is_a_test("tests/it/tidy/architecture.rs::no_such_test").is_err());
    assert!(is_a_test("tests/it/no_such_file.rs::a").is_err());
}
