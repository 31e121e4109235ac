//! Variables that look like ours and are not.

use faceway_rules::read::{Key, Shape};
use faceway_rules::{Routes, Secret, nearest};

use super::GatewayConfig;
use super::gateway::ROOT;
use super::jetstream::JetStreamConfig;

/// What is ours and no key of `gateway.toml`; the last is for the tests of this program.
const OTHERS: [&str; 4] = [
    "FACEWAY_LOG",
    "FACEWAY_ADMIN_URL",
    "FACEWAY_ADMIN_TOKEN",
    "FACEWAY_BLESS",
];

/// Where a service is called `faceway`, Kubernetes sets `FACEWAY_PORT`, `FACEWAY_SERVICE_HOST` and more of their kind.
const KUBERNETES: [&str; 2] = ["FACEWAY_PORT", "FACEWAY_SERVICE_"];

/// What our variables begin with.
const OURS: &str = "FACEWAY_";

/// What is to be said of variables that begin like ours and do nothing. Those with `__` are keys, and told as such.
pub fn strangers<'n>(
    names: impl Iterator<Item = &'n str>,
    config: &GatewayConfig,
    routes: &Routes,
) -> Vec<String> {
    let mut known: Vec<String> = OTHERS.map(str::to_owned).to_vec();
    add_keys(OURS, ROOT, &mut known);
    let token = config.listen.admin_token.iter();
    let cluster = config.spool.jetstream.iter();
    let cluster = cluster.flat_map(JetStreamConfig::secrets);
    let cluster = cluster.map(|(_, secret)| secret);
    let of_routes = routes.secrets().into_iter().map(|(_, secret)| secret);
    for secret in token.chain(cluster).chain(of_routes) {
        if let Secret::Env(name) = secret {
            known.push(name.clone());
        }
    }
    let is_ours = |name: &str| {
        name.contains("__")
            || known.iter().any(|known| known == name)
            || KUBERNETES.iter().any(|begin| name.starts_with(begin))
    };
    // What all begin with makes none nearer to another.
    let rests = || known.iter().filter_map(|known| known.strip_prefix(OURS));
    names
        .filter(|name| !is_ours(name))
        .filter_map(|name| Some((name, name.strip_prefix(OURS)?)))
        .map(|(name, rest)| {
            let near = nearest(rest, rests());
            let near =
                near.map_or_else(String::new, |near| format!("; did you mean {OURS}{near}?"));
            format!(
                "the environment variable {name} is none of Faceway's, so it does nothing{near}"
            )
        })
        .collect()
}

fn add_keys(above: &str, keys: &[Key], names: &mut Vec<String>) {
    for key in keys {
        let name = format!("{above}{}", key.name.to_ascii_uppercase());
        match key.shape {
            Shape::Table(keys) => add_keys(&format!("{name}__"), keys, names),
            _ => names.push(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::strangers;
    use crate::config::{gateway, parse_routes};

    #[test]
    fn a_variable_that_does_nothing_is_told_with_the_one_that_would() {
        let routes = "[inbound.nebula.lobby]\ntoken = { env = \"FACEWAY_LOBBY\" }\n";
        let routes = parse_routes(routes, "routes.toml").unwrap().value;
        let cluster = "[spool.jetstream]\nservers = [\"nats://a\"]\ndurability = \"relaxed\"\n\
                       token = { env = \"FACEWAY_NATS\" }\n";
        let (config, _) = gateway::parse(cluster, "gateway.toml", &[]).unwrap();
        let told = |name: &str| strangers(std::iter::once(name), &config, &routes).join("");
        for (name, near) in [
            ("FACEWAY_LISTEN_DEVICES", "FACEWAY_LISTEN__DEVICES"),
            ("FACEWAY_LOGS", "FACEWAY_LOG"),
            ("FACEWAY_LISTEN_TLS_CERT", "FACEWAY_LISTEN__TLS__CERT"),
        ] {
            let told = told(name);
            assert!(
                told.contains(name) && told.ends_with(&format!("did you mean {near}?")),
                "{told}"
            );
        }
        assert!(told("FACEWAY_BADGE").ends_with("does nothing"));
        for name in [
            "FACEWAY_LOBBY",
            "FACEWAY_LOG",
            "FACEWAY_LISTEN__DEVICES",
            "FACEWAY_SITE",
            "FACEWAY_NATS",
            "FACEWAY_PORT_8080_TCP",
            "PATH",
        ] {
            assert_eq!(told(name), "", "{name}");
        }
    }
}
