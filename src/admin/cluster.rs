//! The site that this gateway shares with others.

use axum::Json;
use axum::extract::State;
use faceway_core::{Member, Owner, Server, StreamUse};

use super::Looking;
use super::problem::Problem;
use crate::api;

/// `GET /api/v1/cluster`.
pub(super) async fn show(State(admin): Looking) -> Result<Json<api::Cluster>, Problem> {
    let duties = &admin.context.duties;
    let site = duties.site().await?;
    let site = site.ok_or_else(|| {
        Problem::not_found(
            "this gateway has its spool to itself: several share a site with spool.engine = \"jetstream\"",
        )
    })?;
    let is_synced = duties.health().is_some_and(|health| health.is_synced);
    Ok(Json(api::Cluster {
        site: site.name,
        proved: (site.durability == "synced").then_some(is_synced),
        durability: site.durability.to_owned(),
        members: site.members.into_iter().map(member).collect(),
        servers: site.servers.into_iter().map(server).collect(),
        duties: duties.owners().await?.into_iter().map(duty).collect(),
        streams: site.streams.into_iter().map(stream).collect(),
    }))
}

fn member(member: Member) -> api::Member {
    api::Member {
        gateway: member.gateway,
        here: member.is_here,
        version: member.version,
        since: member.since,
        public_url: member.public_url,
        rules: member.rules,
    }
}

fn server(server: Server) -> api::Server {
    api::Server {
        name: server.name,
        version: server.version,
        synced: server.is_synced,
    }
}

fn duty(owner: Owner) -> api::Duty {
    api::Duty {
        duty: owner.duty.kind().to_owned(),
        name: owner.duty.name().to_owned(),
        gateway: owner.gateway,
        since: owner.since,
    }
}

fn stream(stream: StreamUse) -> api::Stream {
    api::Stream {
        name: stream.name,
        bytes: stream.bytes,
        messages: stream.messages,
        leader: stream.leader,
    }
}
