//! What the files name and is not here.

use std::path::Path;

use faceway::config::GatewayConfig;
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

fn secrets(config: &GatewayConfig, routes: &Routes) -> Vec<(String, String)> {
    let token = config.listen.admin_token.iter();
    let token = token.map(|secret| ("listen.admin_token".to_owned(), secret));
    let absent = |secret: &Secret| match secret {
        Secret::Env(name) => std::env::var_os(name).is_none(),
        Secret::File(path) => !path.exists(),
    };
    token
        .chain(routes.secrets())
        .filter(move |(_, secret)| absent(secret))
        .map(|(key, secret)| (key, secret.to_string()))
        .collect()
}

/// Certificates and keys.
fn files(config: &GatewayConfig, routes: &Routes) -> Vec<(String, String)> {
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
    listen
        .chain(inbounds)
        .chain(outbounds)
        .filter(|(_, path): &(String, &Path)| !path.exists())
        .map(|(key, path)| (key, format!("file {}", path.display())))
        .collect()
}
