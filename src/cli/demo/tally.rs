//! The demo's summary: what the gateway counted, what the receiver saw.

use std::time::Duration;

use super::receiver::Receiver;
use crate::cli::words::{bytes, counted, grouped, span};
use crate::cli::{Ended, Streams};

/// Events that the gateway has kept.
pub(super) fn stored(metrics: &str) -> u64 {
    sum(metrics, "faceway_received_total", &[("result", "stored")])
}

/// Events that the gateway has kept, and the ERP has not confirmed.
pub(super) fn undelivered(metrics: &str) -> u64 {
    let erp = [("outbound", "erp"), ("result", "delivered")];
    stored(metrics).saturating_sub(sum(metrics, "faceway_attempts_total", &erp))
}

/// Prints the summary.
pub(super) fn sum_up(
    receiver: &Receiver,
    metrics: &str,
    took: Duration,
    streams: &mut Streams<'_>,
) -> Ended {
    let attempts = |outbound, result| {
        sum(
            metrics,
            "faceway_attempts_total",
            &[("outbound", outbound), ("result", result)],
        )
    };
    let duplicates = sum(
        metrics,
        "faceway_received_total",
        &[("result", "duplicate")],
    );
    let (pictures, picture_bytes) = receiver.pictures();
    let out = &mut *streams.out;
    writeln!(out, "\nIn {}:", span(took))?;
    writeln!(
        out,
        "  received    {}, each on disk before anything else",
        counted(stored(metrics), "record")
    )?;
    writeln!(
        out,
        "  duplicates  {} of records that came twice, by one way or by two, dropped",
        grouped(duplicates)
    )?;
    let (erp, guard) = (attempts("erp", "delivered"), attempts("guard", "delivered"));
    writeln!(
        out,
        "  delivered   {} to erp, {} to guard; {} twice",
        grouped(erp),
        grouped(guard),
        receiver.again()
    )?;
    let retries = attempts("erp", "retry") + attempts("guard", "retry");
    writeln!(
        out,
        "  retries     {} while the ERP was down",
        grouped(retries)
    )?;
    writeln!(
        out,
        "  pictures    {} fetched by signed links, {}",
        grouped(pictures),
        bytes(picture_bytes)
    )?;
    if undelivered(metrics) > 0 {
        writeln!(out, "  on the way  {}", grouped(undelivered(metrics)))?;
    }
    streams.out.flush()?;
    Ok(())
}

/// The sum of all series of a metric that have these labels, from Prometheus' text format.
fn sum(metrics: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{value}\""))
        .collect();
    let series = metrics.lines().filter_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix('{')?
            .rsplit_once("} ")
    });
    let wanted = series.filter(|(found, _)| {
        labels
            .iter()
            .all(|label| found.split(',').any(|found| found == label))
    });
    wanted
        .filter_map(|(_, value)| value.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{stored, sum};

    const METRICS: &str = "\
# TYPE faceway_received_total counter
faceway_received_total{inbound=\"lobby\",result=\"stored\"} 12
faceway_received_total{inbound=\"gate\",result=\"stored\"} 3
faceway_received_total{inbound=\"lobby\",result=\"duplicate\"} 2
faceway_received_totally{inbound=\"lobby\",result=\"stored\"} 900
faceway_spool_bytes 8192
";

    #[test]
    fn series_are_added_up() {
        assert_eq!(stored(METRICS), 15);
        let of = |labels: &[(&str, &str)]| sum(METRICS, "faceway_received_total", labels);
        assert_eq!(of(&[("inbound", "lobby"), ("result", "duplicate")]), 2);
        assert_eq!(of(&[]), 17);
        assert_eq!(of(&[("result", "busy")]), 0);
    }
}
