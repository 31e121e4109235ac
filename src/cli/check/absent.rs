//! What the files name and is not here.

use std::path::Path;

use faceway::config::jetstream::JetStreamConfig;
use faceway::config::{GatewayConfig, unusable};
use faceway_rules::{Routes, Secret};

use crate::cli::Streams;

/// Tells of secrets and files that are not here. They are only needed where the gateway runs, so this is no mistake; but
/// often it is the same place.
pub(super) fn tell(config: &GatewayConfig, routes: &Routes, streams: &mut Streams<'_>) {
    for (key, what) in secrets(config, routes)
        .into_iter()
        .chain(files(config, routes))
    {
        let _ = writeln!(
            streams.talk,
            "note: {key}: the {what} is not there here; `run` will need it"
        );
    }
}

/// Tells of secrets and files that are here and can be none, wherever `run` is: folders, devices, what is too large. Gives
/// whether there are any.
pub(super) fn tell_unusable(
    config: &GatewayConfig,
    routes: &Routes,
    streams: &mut Streams<'_>,
) -> bool {
    let secrets = all_secrets(config, routes);
    let secrets = secrets.filter_map(|(key, secret)| match secret {
        Secret::Env(_) => None,
        Secret::File(path) => Some((key, path.as_path())),
    });
    let mut any = false;
    for (key, path) in secrets.chain(all_files(config, routes)) {
        if let Some(why) = unusable(path) {
            any = true;
            let _ = writeln!(streams.talk, "error: {key}: {}: {why}", path.display());
        }
    }
    any
}

fn all_secrets<'a>(
    config: &'a GatewayConfig,
    routes: &'a Routes,
) -> impl Iterator<Item = (String, &'a Secret)> {
    let token = config.listen.admin_token.iter();
    let token = token.map(|secret| ("listen.admin_token".to_owned(), secret));
    let cluster = config.spool.jetstream.iter();
    let cluster = cluster.flat_map(JetStreamConfig::secrets);
    let cluster = cluster.map(|(key, secret)| (key.to_owned(), secret));
    token.chain(cluster).chain(routes.secrets())
}

fn secrets(config: &GatewayConfig, routes: &Routes) -> Vec<(String, String)> {
    let absent = |secret: &Secret| match secret {
        Secret::Env(name) => std::env::var_os(name).is_none(),
        Secret::File(path) => !path.exists(),
    };
    all_secrets(config, routes)
        .filter(move |(_, secret)| absent(secret))
        .map(|(key, secret)| (key, secret.to_string()))
        .collect()
}

fn files(config: &GatewayConfig, routes: &Routes) -> Vec<(String, String)> {
    all_files(config, routes)
        .filter(|(_, path)| !path.exists())
        .map(|(key, path)| (key, format!("file {}", path.display())))
        .collect()
}

/// Certificates and keys.
fn all_files<'a>(
    config: &'a GatewayConfig,
    routes: &'a Routes,
) -> impl Iterator<Item = (String, &'a Path)> {
    let listen = config.listen.tls.iter().flat_map(|tls| {
        let (cert, key) = (tls.cert.as_path(), tls.key.as_path());
        [("listen.tls.cert", cert), ("listen.tls.key", key)]
    });
    let listen = listen.map(|(key, path)| (key.to_owned(), path));
    let inbounds = routes.inbounds.iter().flat_map(|plan| {
        let key = format!("inbound.{}.{}", plan.adapter, plan.name);
        plan.files()
            .into_iter()
            .map(move |path| (key.clone(), path))
    });
    let outbounds = routes.outbounds.iter().flat_map(|plan| {
        let key = format!("outbound.{}.{}", plan.protocol.name(), plan.name);
        plan.files()
            .into_iter()
            .map(move |path| (key.clone(), path))
    });
    listen.chain(inbounds).chain(outbounds)
}
