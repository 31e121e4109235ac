//! Which personal field reaches which outbound.

use std::io::{Result, Write};

use faceway_rules::{Privacy, Routes};

use crate::cli::table::Table;

/// A row for each personal field, a column for each outbound.
pub(super) fn table(routes: &Routes, out: &mut dyn Write) -> Result<()> {
    let outbounds = all(routes);
    let names = outbounds.iter().map(|outbound| outbound.outbound.as_str());
    let headline: Vec<_> = std::iter::once("PERSONAL FIELD").chain(names).collect();
    let mut table = Table::new(&headline, &[]);
    for field in Privacy::rows() {
        let cell = |outbound: &Privacy| match outbound.by(&field) {
            [] => "-".to_owned(),
            by => by.join(", "),
        };
        let cells = outbounds.iter().map(cell);
        table.row_of(std::iter::once(field.clone()).chain(cells).collect());
    }
    writeln!(out)?;
    table.write(out)
}

/// A list of outbounds, each with the fields that reach it.
pub(super) fn json(routes: &Routes, out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer(&mut *out, &all(routes))?;
    writeln!(out)
}

fn all(routes: &Routes) -> Vec<Privacy> {
    let outbounds = routes.outbounds.iter();
    outbounds
        .map(faceway_rules::OutboundPlan::privacy)
        .collect()
}
