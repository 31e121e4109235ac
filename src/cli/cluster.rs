//! `faceway cluster`.

use clap::Args;
use faceway::api;
use faceway_core::{Clock as _, SystemClock, Timestamp};

use super::admin::AdminArgs;
use super::table::Table;
use super::words::{ago, bytes, grouped};
use super::{Ended, Streams, block_on};

/// A site that several gateways share: gateways, servers, who does what, streams.
///
/// Any gateway of the site answers for all. Each lane, each dialled source and each inbound's terminals are the duty of one
/// gateway at a time; when it goes, another one takes them within seconds.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  faceway cluster\n  faceway cluster --json | jq '.duties[] | select(.gateway == \"gw-2\").name'"
)]
pub(crate) struct Cluster {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Cluster {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let admin = self.admin.find()?;
        let cluster: api::Cluster = block_on(admin.get("cluster", &[]))?;
        if self.json {
            serde_json::to_writer_pretty(&mut *streams.out, &cluster)?;
            writeln!(streams.out)?;
            return Ok(());
        }
        writeln!(streams.out, "{}\n", headline(&cluster))?;
        let now = SystemClock.now();
        for (n, table) in tables(&cluster, now).into_iter().enumerate() {
            if n > 0 {
                writeln!(streams.out)?;
            }
            table.write(streams.out)?;
        }
        Ok(())
    }
}

fn headline(cluster: &api::Cluster) -> String {
    let site = &cluster.site;
    match cluster.proved {
        Some(true) => {
            format!("Site {site}: every server proves that it syncs what it acknowledges.")
        }
        Some(false) => format!(
            "Site {site}: not every server proves that it syncs what it acknowledges. A power cut of all servers may lose \
             events; the gateway's log says which server, and what it needs."
        ),
        None => format!(
            "Site {site}: durability is {:?}, so a power cut of all servers at once may lose events that were acknowledged.",
            cluster.durability
        ),
    }
}

fn tables(cluster: &api::Cluster, now: Timestamp) -> [Table; 4] {
    let mut members = Table::new(
        &["GATEWAY", "VERSION", "STARTED", "RULES", "PUBLIC URL"],
        &[3],
    );
    for member in &cluster.members {
        let here = if member.here { " (this one)" } else { "" };
        members.row([
            format!("{}{here}", member.gateway),
            member.version.clone(),
            ago(member.since, now),
            member.rules.to_string(),
            member.public_url.clone(),
        ]);
    }
    let mut servers = Table::new(&["SERVER", "VERSION", "SYNCS"], &[]);
    for server in &cluster.servers {
        let syncs = match server.synced {
            Some(true) => "proved",
            Some(false) => "no",
            None => "not known",
        };
        servers.row([server.name.clone(), server.version.clone(), syncs.into()]);
    }
    let mut duties = Table::new(&["DUTY", "NAME", "GATEWAY", "SINCE"], &[]);
    for duty in &cluster.duties {
        let name = if duty.name.is_empty() {
            "-"
        } else {
            &duty.name
        };
        duties.row([
            duty.duty.clone(),
            name.to_owned(),
            duty.gateway.clone(),
            ago(duty.since, now),
        ]);
    }
    let mut streams = Table::new(&["STREAM", "BYTES", "MESSAGES", "LEADER"], &[1, 2]);
    for stream in &cluster.streams {
        streams.row([
            stream.name.clone(),
            bytes(stream.bytes),
            grouped(stream.messages),
            stream.leader.clone().unwrap_or_else(|| "none".into()),
        ]);
    }
    [members, servers, duties, streams]
}

#[cfg(test)]
mod tests {
    use faceway::api;
    use faceway_core::Timestamp;

    use super::{headline, tables};

    #[test]
    fn a_site_stands_in_four_tables() {
        let now = Timestamp::from_seconds(1_800_000_000).unwrap();
        let since = now.plus_millis(-90_000);
        let cluster = api::Cluster {
            site: "north".into(),
            durability: "synced".into(),
            proved: Some(true),
            members: vec![api::Member {
                gateway: "gw-1".into(),
                here: true,
                version: "1.2.3".into(),
                since,
                public_url: "https://faces.example".into(),
                rules: 7,
            }],
            servers: vec![api::Server {
                name: "nats-1".into(),
                version: "2.15.1".into(),
                synced: Some(true),
            }],
            duties: vec![api::Duty {
                duty: "janitor".into(),
                name: String::new(),
                gateway: "gw-1".into(),
                since,
            }],
            streams: vec![api::Stream {
                name: "FW_north_EVENTS".into(),
                bytes: 1 << 20,
                messages: 1_000,
                leader: None,
            }],
        };
        let mut out = Vec::new();
        for table in tables(&cluster, now) {
            table.write(&mut out).unwrap();
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
GATEWAY          VERSION  STARTED  RULES  PUBLIC URL
gw-1 (this one)  1.2.3    1m ago       7  https://faces.example
SERVER  VERSION  SYNCS
nats-1  2.15.1   proved
DUTY     NAME  GATEWAY  SINCE
janitor  -     gw-1     1m ago
STREAM             BYTES  MESSAGES  LEADER
FW_north_EVENTS  1.0 MiB     1,000  none
"
        );
        assert!(headline(&cluster).ends_with("syncs what it acknowledges."));
        let unproved = api::Cluster {
            proved: Some(false),
            ..cluster.clone()
        };
        assert!(headline(&unproved).contains("not every server"));
        let relaxed = api::Cluster {
            proved: None,
            durability: "relaxed".into(),
            ..cluster
        };
        assert!(headline(&relaxed).contains("durability is \"relaxed\""));
    }
}
