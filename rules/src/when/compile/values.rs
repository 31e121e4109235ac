//! Values to compare a field with.

use faceway_core::Timestamp;
use faceway_core::schema::FieldKind;

use crate::diagnostic::Reporter;
use crate::read::{Node, Value};
use crate::when::{Literals, kind_name};
use crate::{Field, suggest};

/// Reads a value or a list of values that the field can be equal to.
pub(super) fn literals(reporter: &Reporter, field: &Field, node: &Node) -> Option<Literals> {
    let mut literals = Literals::default();
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if items.is_empty() {
        let message = format!(
            "the list for `{}` is empty, so it could never hold",
            field.path
        );
        reporter.error(node.span, message, "name at least one value");
        return None;
    }
    let mut good = true;
    for item in items {
        good &= literal(reporter, field, item, &mut literals).is_some();
    }
    good.then_some(literals)
}

fn literal(reporter: &Reporter, field: &Field, node: &Node, literals: &mut Literals) -> Option<()> {
    match (&field.kind, &node.value) {
        (FieldKind::Word(words), Value::Text(text)) => {
            word(reporter, field, words, node, text)?;
            literals.add_text(text);
        }
        (FieldKind::Text | FieldKind::Any, Value::Text(text)) => literals.add_text(text),
        (FieldKind::Number | FieldKind::Any, Value::Number { .. }) => {
            literals.add_number(number(reporter, field, node)?);
        }
        (FieldKind::Bool | FieldKind::Any, Value::Bool(bool)) => literals.add_bool(*bool),
        (FieldKind::Time, Value::Text(text) | Value::Time(text)) => {
            literals.add_time(time(reporter, field, node, text)?);
        }
        _ => {
            mistyped(reporter, field, node);
            return None;
        }
    }
    Some(())
}

/// Says that a value is not of the field's type, and how it would be written.
pub(crate) fn mistyped(reporter: &Reporter, field: &Field, node: &Node) {
    let message = format!(
        "`{}` is {}, so it cannot be {}",
        field.path,
        kind_name(&field.kind),
        node.value.kind()
    );
    let help = match (&field.kind, &node.value) {
        (FieldKind::Word(words), _) => {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            format!("one of: {}", suggest::listing(&words))
        }
        (FieldKind::Text, Value::Number { .. } | Value::Bool(_)) => {
            format!("write it as text: \"{}\"", reporter.slice(node.span))
        }
        (FieldKind::Number, Value::Text(text)) if text.parse::<f64>().is_ok() => {
            format!("write it without quotes: {text}")
        }
        (FieldKind::Number, Value::Text(text)) => bound(text).unwrap_or_default(),
        (_, Value::Table(_)) => "to turn other tests round, write `none = [{ … }]`".into(),
        (FieldKind::Any, _) => "write text, a number, true or false".into(),
        (FieldKind::Bool, _) => "write true or false".into(),
        (FieldKind::Time, _) => "write it like \"2026-11-22T08:15:30Z\"".into(),
        _ => String::new(),
    };
    reporter.error(node.span, message, help);
}

/// `">0.8"`, as it is written elsewhere.
fn bound(text: &str) -> Option<String> {
    let text = text.trim();
    let number = text.trim_start_matches(['<', '>', '=']);
    let test = match text.chars().next()? {
        '>' => "min",
        '<' => "max",
        _ => return None,
    };
    let number = number.trim().parse::<f64>().ok()?;
    Some(format!(
        "write `{{ {test} = {number} }}`, which holds of {number} too"
    ))
}

pub(crate) fn word(
    reporter: &Reporter,
    field: &Field,
    words: &[String],
    node: &Node,
    text: &str,
) -> Option<()> {
    if words.iter().any(|word| word == text) {
        return Some(());
    }
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let message = format!("`{}` is never `{text}`", field.path);
    let mut help = suggest::help(text, "one of", &words);
    if text.contains('*') {
        help = format!("for any text in place of the `*`, write `{{ like = \"{text}\" }}`; {help}");
    }
    reporter.error(node.span, message, help);
    None
}

/// A number that the field could hold.
pub(super) fn number(reporter: &Reporter, field: &Field, node: &Node) -> Option<f64> {
    let Value::Number { float, .. } = node.value else {
        mistyped(reporter, field, node);
        return None;
    };
    if !float.is_finite() {
        let message = format!("`{}` is always a finite number", field.path);
        reporter.error(node.span, message, "");
        return None;
    }
    if let Some((min, max)) = field.range
        && !(min..=max).contains(&float)
    {
        let message = format!("`{}` is always between {min} and {max}", field.path);
        reporter.error(
            node.span,
            message,
            "scores and confidences are 0 to 1: write 80 % as 0.8",
        );
        return None;
    }
    Some(float)
}

pub(crate) fn time(
    reporter: &Reporter,
    field: &Field,
    node: &Node,
    text: &str,
) -> Option<Timestamp> {
    let time = text.parse().ok();
    if time.is_none() {
        let message = format!("`{}`: `{text}` is no time", field.path);
        let help = "write it like \"2026-11-22T08:15:30Z\", with its zone";
        reporter.error(node.span, message, help);
    }
    time
}
