//! What the adapters' property tests have in common: JSON of a vendor's rough shape, with anything in it.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;
use serde_json::{Map, Value};

/// Signs of a text that no vendor sends, as in a class of a regular expression.
const SIGNS: &str = "[a\\u{0}\\u{7}林😀 \"\\\\/9j=@:?&_]{0,8}";

/// Any single value: of every type, with the edges of numbers, and with the words and numbers that the vendor's adapter
/// looks at.
pub fn leaf(
    words: &'static [&'static str],
    numbers: &'static [i64],
) -> impl Strategy<Value = Value> {
    let odd = match string_regex(SIGNS) {
        Ok(odd) => odd,
        Err(error) => unreachable!("the signs are no regular expression: {error}"),
    };
    prop_oneof![
        2 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::from),
        3 => (-2_i64..13).prop_map(Value::from),
        1 => (13_i64..200).prop_map(Value::from),
        1 => select(numbers).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        2 => (0.0..=1.0_f64).prop_map(Value::from),
        1 => (1.0..150.0_f64).prop_map(Value::from),
        6 => select(words).prop_map(Value::from),
        1 => odd.prop_map(Value::from),
    ]
}

/// An object with at most `count_max` of these names.
pub fn members(
    names: &'static [&'static str],
    value: impl Strategy<Value = Value>,
    count_max: usize,
) -> impl Strategy<Value = Value> {
    prop::collection::vec((select(names), value), 0..=count_max).prop_map(|members| {
        let members = members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Value::Object(members.collect::<Map<_, _>>())
    })
}
