//! How much memory a template may take for one event. Guards (see `scan`) count what goes into texts, lists and filters;
//! filters that make more of it than goes in are counted before they run.

use std::cell::{Cell, RefCell};
use std::thread::LocalKey;

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

use super::scan::{BYTES, COUNTED, FACTORS};

/// Bytes that may go into texts and lists for one event, beside some copies of the event itself.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// So often may the event itself go into them.
const COPIES_MAX: usize = 8;
/// Bytes of values that may be written for one event: what is captured is written twice.
const WRITTEN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a value takes beside its text.
const VALUE_BYTES: usize = 16;
/// The widest column, and the longest row of `batch` and `slice`.
const WIDTH_MAX: usize = 10_000;
/// How deep lists in lists may be.
const DEPTH_MAX: usize = 64;

thread_local! {
    /// What is left for the event in hand. A template runs on one thread, and never within another.
    static LEFT: Cell<usize> = const { Cell::new(0) };
    /// What of it may be written, captured or not.
    static UNWRITTEN: Cell<usize> = const { Cell::new(0) };
    /// The left factors of the products in hand.
    static FACTORS_LEFT: RefCell<Vec<Factor>> = const { RefCell::new(Vec::new()) };
}

/// A factor, as far as its product's size depends on it.
#[derive(Clone, Copy)]
enum Factor {
    Number(f64),
    Bytes(f64),
}

/// A run for an event of so many bytes begins. It may take so many bytes of memory.
pub(super) fn begin(event_bytes: usize) -> usize {
    let bytes_max = BYTES_MAX + COPIES_MAX * event_bytes;
    LEFT.set(bytes_max);
    UNWRITTEN.set(WRITTEN_BYTES_MAX);
    FACTORS_LEFT.take();
    bytes_max
}

/// Puts the guards, and the filters that make much of little.
pub(super) fn guard(environment: &mut Environment<'_>) {
    environment.add_filter(COUNTED, counted);
    let [first, middle, last] = FACTORS;
    environment.add_filter(first, first_factor);
    environment.add_filter(middle, middle_factor);
    environment.add_filter(last, last_factor);
    environment.add_filter(BYTES, text_of_template);
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("format", format);
    environment.add_filter("indent", indent);
    environment.add_filter("tojson", to_json);
    environment.add_filter("batch", batch);
    environment.add_filter("slice", slice);
}

/// A value is about to be written. It is an error unless there is memory for that.
pub(super) fn written(value: &Value) -> Result<(), Error> {
    charge(&UNWRITTEN, value)
}

fn counted(value: Value) -> Result<Value, Error> {
    count(&value)?;
    Ok(value)
}

fn text_of_template(bytes: usize) -> Result<Value, Error> {
    take(Some(bytes))?;
    Ok(Value::from_safe_string(String::new()))
}

fn first_factor(value: Value) -> Result<Value, Error> {
    let factor = Factor::of(&value)?;
    FACTORS_LEFT.with_borrow_mut(|left| left.push(factor));
    Ok(value)
}

fn middle_factor(value: Value) -> Result<Value, Error> {
    let product = product(&value)?;
    FACTORS_LEFT.with_borrow_mut(|left| left.push(product));
    Ok(value)
}

fn last_factor(value: Value) -> Result<Value, Error> {
    product(&value).map(|_| value)
}

/// What the innermost left factor makes with this one. A text or list is counted as often as it is repeated.
fn product(value: &Value) -> Result<Factor, Error> {
    let left = FACTORS_LEFT.with_borrow_mut(Vec::pop);
    let right = Factor::of(value)?;
    let (bytes, times) = match (left.unwrap_or(Factor::Number(1.0)), right) {
        (Factor::Number(left), Factor::Number(right)) => return Ok(Factor::Number(left * right)),
        (Factor::Bytes(bytes), Factor::Number(times) | Factor::Bytes(times))
        | (Factor::Number(times), Factor::Bytes(bytes)) => (bytes, times),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is below zero is nothing, and what is too large too large"
    )]
    take(Some((bytes * times) as usize))?;
    Ok(Factor::Bytes(bytes * times))
}

impl Factor {
    #[expect(clippy::cast_precision_loss, reason = "it is less than a gigabyte")]
    fn of(value: &Value) -> Result<Self, Error> {
        if let Ok(number) = f64::try_from(value.clone()) {
            return Ok(Self::Number(number));
        }
        let before = LEFT.get();
        count(value)?;
        Ok(Self::Bytes((before - LEFT.get()) as f64))
    }
}

fn count(value: &Value) -> Result<(), Error> {
    charge(&LEFT, value)
}

fn charge(account: &'static LocalKey<Cell<usize>>, value: &Value) -> Result<(), Error> {
    let mut left = account.get();
    let weighed = weigh(value, &mut left, 0);
    account.set(left);
    weighed.ok_or_else(too_much)
}

fn take(bytes: Option<usize>) -> Result<(), Error> {
    let left = bytes.and_then(|bytes| LEFT.get().checked_sub(bytes));
    LEFT.set(left.unwrap_or(0));
    left.map(|_| ()).ok_or_else(too_much)
}

/// Subtracts what a value takes, with everything in it; `None` when that is more than is left. It goes through no more than
/// what is left, whatever is in the value.
fn weigh(value: &Value, left: &mut usize, depth: usize) -> Option<()> {
    let own = value.as_str().map_or(0, str::len) + VALUE_BYTES;
    let rest = left.checked_sub(own);
    *left = rest.unwrap_or(0);
    rest?;
    let kind = value.kind();
    if matches!(kind, ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) {
        if depth == DEPTH_MAX {
            return None;
        }
        for item in value.try_iter().ok()? {
            let member = (kind == ValueKind::Map).then(|| value.get_item(&item).ok());
            weigh(&item, left, depth + 1)?;
            if let Some(member) = member.flatten() {
                weigh(&member, left, depth + 1)?;
            }
        }
    }
    Some(())
}

fn too_much() -> Error {
    invalid("it takes too much memory for one event")
}

fn invalid(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

fn text_of(value: &Value) -> Result<String, Error> {
    count(value)?;
    Ok(value.to_string())
}

fn call(state: &mut State<'_, '_>, function: Value, args: &[Value]) -> Result<Value, Error> {
    function.call(state, args)
}

fn replace(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    if let [value, from, to, ..] = args.as_slice() {
        let (value, from, to) = (text_of(value)?, text_of(from)?, text_of(to)?);
        // What is escaped on the way is six times as long at the most.
        take(value.matches(&from).count().checked_mul(to.len() * 6))?;
    }
    call(state, Value::from_function(filters::replace), &args)
}

fn join(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let (before, length) = (LEFT.get(), args.first().and_then(Value::len));
    args.iter().skip(1).try_for_each(count)?;
    let joiner = before - LEFT.get();
    take(length.unwrap_or(WIDTH_MAX).checked_mul(joiner * 6))?;
    call(state, Value::from_function(filters::join), &args)
}

fn format(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    for value in args.iter() {
        count(value)?;
    }
    let text = args.first().and_then(Value::as_str).unwrap_or_default();
    let widths = text.split(|char: char| !char.is_ascii_digit());
    let wide = |width: &str| {
        !width.is_empty() && width.parse().map_or(true, |width: usize| width > WIDTH_MAX)
    };
    if text.contains('*') || widths.into_iter().any(wide) {
        return Err(invalid("a width is a number of at most 10000"));
    }
    take(text.matches('%').count().checked_mul(WIDTH_MAX))?;
    call(state, Value::from_function(filters::format), &args)
}

fn indent(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let lines = args
        .first()
        .map(text_of)
        .transpose()?
        .map_or(0, |text| text.lines().count());
    take(lines.checked_mul(width(&args)?))?;
    call(state, Value::from_function(filters::indent), &args)
}

fn to_json(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    if width(&args)? > 16 {
        return Err(invalid("an indent is a number of at most 16"));
    }
    call(state, Value::from_function(filters::tojson), &args)
}

fn batch(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    width(&args)?;
    call(state, Value::from_function(filters::batch), &args)
}

fn slice(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    width(&args)?;
    call(state, Value::from_function(filters::slice), &args)
}

/// The greatest number among the arguments behind the first.
fn width(args: &[Value]) -> Result<usize, Error> {
    let mut width = 0;
    for value in args.iter().skip(1) {
        let named = value.is_kwargs().then(|| Kwargs::try_from(value.clone()));
        let named = named.transpose()?;
        let values = match &named {
            Some(named) => named
                .args()
                .filter_map(|name| named.peek(name).ok())
                .collect(),
            None => vec![value.clone()],
        };
        for value in values {
            // A text is no width: `indent` and `tojson` take it as it is.
            let size = value
                .as_usize()
                .or(value.as_str().map(str::len))
                .unwrap_or(0);
            width = width.max(size);
        }
    }
    match width > WIDTH_MAX {
        true => Err(invalid("a width is a number of at most 10000")),
        false => Ok(width),
    }
}
