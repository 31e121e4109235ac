//! `[[route]]`.

use faceway_core::schema::FieldKind;

use crate::decide::{OnceRule, Route, Rule};
use crate::diagnostic::Span;
use crate::read::{Node, Table};
use crate::when::{Seen, compile};
use crate::{Field, suggest};

use super::keys::ROUTE;
use super::{Context, Names, tables};

pub(super) fn all(context: &Context<'_>, node: Option<&Node>) -> Vec<Route> {
    let reporter = context.reporter;
    let mut names = Names::default();
    let mut seen = Seen::default();
    let mut routes = Vec::new();
    for node in tables(reporter, "route", node) {
        let Some(table) = Table::open(reporter, "[[route]]", node, ROUTE) else {
            continue;
        };
        let name = table.get("name").map_or(table.span(), |node| node.span);
        let route = one(context, &table, &mut seen);
        if !route.name.is_empty() {
            names.add(reporter, "routes", &route.name, name);
        }
        routes.push((route, name));
        table.finish();
    }
    warn_of_names(context, &seen);
    warn_of_order(context, &routes);
    warn_of_unused(context, &routes);
    routes.into_iter().map(|(route, _)| route).collect()
}

fn one(context: &Context<'_>, table: &Table<'_>, seen: &mut Seen) -> Route {
    Route {
        name: table.text("name").unwrap_or_default().to_owned(),
        to: outbounds(context, table, "to", false),
        once: once(table),
        rule: rule(table, seen),
    }
}

fn rule(table: &Table<'_>, seen: &mut Seen) -> Rule {
    let reporter = table.reporter();
    let condition = table.get("when").map(|node| compile(reporter, node, seen));
    let otherwise = table.entry("otherwise");
    match (condition, table.bool("otherwise")) {
        (None, Some(true)) => Rule::Otherwise,
        (condition, wanted) => {
            if let (Some(entry), Some(_)) = (otherwise, wanted) {
                let (message, help) = match condition {
                    Some(_) => (
                        "`when` and `otherwise` exclude each other",
                        "keep one of them",
                    ),
                    None => ("`otherwise` is true or left out", "leave it out"),
                };
                reporter.error(entry.span, message, help);
            }
            Rule::When(condition.unwrap_or(crate::when::Condition::All(Vec::new())))
        }
    }
}

/// A list of names of outbounds, as their indices.
pub(super) fn outbounds(
    context: &Context<'_>,
    table: &Table<'_>,
    key: &'static str,
    may_be_empty: bool,
) -> Vec<usize> {
    let Some(texts) = table.texts(key) else {
        return Vec::new();
    };
    if texts.is_empty() && !may_be_empty {
        let span = table.get(key).map_or(table.span(), |node| node.span);
        let message = format!("`{key}` names no outbound");
        context.reporter.error(span, message, "name at least one");
    }
    let known = |(name, span): (&str, Span)| {
        let index = context.outbounds.position(name);
        if index.is_none() {
            let help = no_outbound(context, name);
            let message = format!("there is no outbound `{name}`");
            context.reporter.absent(span, message, help);
        }
        index
    };
    texts.into_iter().filter_map(known).collect()
}

/// What to write in place of a name that no outbound has.
fn no_outbound(context: &Context<'_>, name: &str) -> String {
    let outbounds = context.outbounds.list();
    // As the header has it: `stdout.screen`, or the whole of it.
    let last = name.rsplit('.').next().filter(|last| *last != name);
    let last = last.and_then(|last| suggest::nearest(last, outbounds.iter().copied()));
    if let Some(last) = last {
        return format!("outbounds are named without their protocol: \"{last}\"");
    }
    let listed = suggest::help(name, "outbounds of this file", &outbounds);
    match context.inbounds.position(name) {
        Some(_) => format!("`{name}` is an inbound; {listed}"),
        None => listed,
    }
}

fn once(table: &Table<'_>) -> Option<OnceRule> {
    let table = table.table("once")?;
    let reporter = table.reporter();
    let texts = table.texts("per").unwrap_or_default();
    if let Some(node) = table.get("per")
        && node.value.is_empty_list()
    {
        let message = "`per` names no field";
        reporter.error(
            node.span,
            message,
            "name what tells one from another, such as \"person.id\"",
        );
    }
    let field = |(path, span)| {
        let Some(field) = Field::find(path) else {
            let message = format!("the event has no field `{path}`");
            reporter.error(span, message, Field::help(path));
            return None;
        };
        if field.kind == FieldKind::Object {
            let message = format!("`{path}` is a group of fields and has no value");
            let help = format!(
                "name one of its fields: {}",
                Field::members(path).join(", ")
            );
            reporter.error(span, message, help);
        }
        Some(field)
    };
    let per = texts.into_iter().filter_map(field).collect();
    let within = table.duration("within");
    table.finish();
    Some(OnceRule {
        per,
        within: within?,
    })
}

/// `inbound = "loby"`: a name that the event could hold, but never will.
fn warn_of_names(context: &Context<'_>, seen: &Seen) {
    let adapters: Vec<_> = context
        .adapters
        .iter()
        .map(|adapter| adapter.name)
        .collect();
    let inbounds = context.inbounds.list();
    for (path, name, span) in &seen.equals {
        let (what, known) = match path.as_str() {
            "inbound" => ("inbounds of this file", &inbounds),
            "adapter" => ("adapters", &adapters),
            _ => continue,
        };
        if !known.contains(&name.as_str()) {
            let message = format!("there is no {path} `{name}`, so this can never hold");
            let help = suggest::help(name, what, known);
            context.reporter.warning(*span, message, help);
        }
    }
}

/// Beside a route that matches every event, `otherwise` never matches.
fn warn_of_order(context: &Context<'_>, routes: &[(Route, Span)]) {
    let always =
        |route: &&(Route, Span)| matches!(&route.0.rule, Rule::When(when) if when.is_always());
    let Some((every, _)) = routes.iter().find(always) else {
        return;
    };
    for (route, span) in routes {
        if route.is_otherwise() {
            let message = format!("route `{}` can never match", route.name);
            let help = format!(
                "route `{}` matches every event, so nothing is left",
                every.name
            );
            context.reporter.warning(*span, message, help);
        }
    }
}

fn warn_of_unused(context: &Context<'_>, routes: &[(Route, Span)]) {
    for (index, (name, span)) in context.outbounds.all.iter().enumerate() {
        if !routes.iter().any(|(route, _)| route.to.contains(&index)) {
            let message = format!("no route names outbound `{name}`, so it gets nothing");
            let help = format!("add it to the `to` of a route: to = [\"{name}\"]");
            context.reporter.warning(*span, message, help);
        }
    }
}
