//! Which gateways of a site may work a lane, dial a source, look after terminals.

use crate::read::Table;

/// The names of `gateways`; all gateways when empty.
pub(super) fn read(table: &Table<'_>) -> Vec<String> {
    let Some(names) = table.texts("gateways") else {
        return Vec::new();
    };
    let reporter = table.reporter();
    let help = "write names as `spool.jetstream.gateway` of gateway.toml has them, such as [\"gw-1\"], or leave it out: \
                then every gateway may";
    // An empty list could mean none or all, so it means nothing.
    if names.is_empty() {
        let span = table.get("gateways").map_or(table.span(), |node| node.span);
        reporter.error(span, "`gateways` names no gateway", help);
    }
    for (name, span) in &names {
        if name.trim().is_empty() {
            reporter.error(*span, "a gateway without a name", help);
        }
    }
    names.iter().map(|(name, _)| (*name).to_owned()).collect()
}
