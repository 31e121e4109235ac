//! Which functions cost most, from what callgrind writes (*Callgrind Format Specification*, version 1). Its own
//! `callgrind_annotate` sums up nothing of a part that was taken while the process runs.

use std::collections::HashMap;

/// What each function cost.
#[derive(Default)]
pub(crate) struct Functions<'a> {
    names: HashMap<&'a str, &'a str>,
    /// In itself.
    own: HashMap<&'a str, u64>,
    /// With all that it called, and how often it was called itself.
    whole: HashMap<&'a str, (u64, u64)>,
}

impl<'a> Functions<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let mut functions = Self::default();
        let (mut current, mut called, mut calls) = ("", "", None::<u64>);
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn=") {
                current = functions.name(name);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                called = functions.name(name);
            } else if let Some(rest) = line.strip_prefix("calls=") {
                calls = rest.split(' ').next().and_then(|count| count.parse().ok());
            } else if let Some(cost) = cost(line) {
                match calls.take() {
                    Some(count) => {
                        let whole = functions.whole.entry(called).or_default();
                        *whole = (whole.0 + cost, whole.1 + count);
                    }
                    None => *functions.own.entry(current).or_default() += cost,
                }
            }
        }
        functions
    }

    /// A name is written once, behind its number.
    fn name(&mut self, written: &'a str) -> &'a str {
        match written.split_once(' ') {
            Some((number, name)) => {
                self.names.insert(number, name);
                name
            }
            None => self.names.get(written).copied().unwrap_or(written),
        }
    }

    /// Prints the first so many by what they cost with all that they called, and in themselves.
    pub(crate) fn print(&self, events: usize, count: usize) {
        let mut whole: Vec<_> = self.whole.iter().collect();
        whole.sort_by_key(|(name, (cost, _))| (std::cmp::Reverse(*cost), *name));
        println!("\nwith all that they call, an event (instructions, calls):");
        for (name, (cost, calls)) in whole.into_iter().take(count) {
            let (cost, calls) = (*cost as f64, *calls as f64);
            let events = events as f64;
            println!("{:10.0} {:8.2}  {name}", cost / events, calls / events);
        }
        let mut own: Vec<_> = self.own.iter().collect();
        own.sort_by_key(|(name, cost)| (std::cmp::Reverse(**cost), **name));
        println!("\nin themselves:");
        for (name, cost) in own.into_iter().take(count) {
            println!("{:10.0}  {name}", *cost as f64 / events as f64);
        }
        println!();
    }
}

/// Of a line with a place (a number, or how far it is from the last one) and a cost.
fn cost(line: &str) -> Option<u64> {
    let begins = |first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '*');
    if !line.starts_with(begins) {
        return None;
    }
    line.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Functions;

    #[test]
    fn what_a_function_calls_is_not_its_own() {
        let text = "fn=(1) main\n10 5\n+2 7\ncfn=(2) work\ncalls=3 40\n* 90\n-1 1\n\nfn=(2)\n40 60\n41 30\n";
        let functions = Functions::of(text);
        assert_eq!((functions.own["main"], functions.own["work"]), (13, 90));
        assert_eq!(functions.whole["work"], (90, 3));
    }
}
