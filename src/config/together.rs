//! What neither file can tell alone.

use std::net::IpAddr;

use faceway_core::{Adapter, Private, Step, Subscription};
use faceway_rules::read::Document;
use faceway_rules::{Diagnostics, Images, InboundPlan, OutboundPlan, Routes};

use super::jetstream::JETSTREAM;
use super::{ConfigError, GatewayConfig, address};

/// Checks the two files against each other; gives what looks odd. Everything is told with its place in `routes.toml`,
/// because there is the key that asks for more.
///
/// # Errors
/// Everything in which they do not fit.
pub fn together(config: &GatewayConfig, routes: &Routes) -> Result<Diagnostics, ConfigError> {
    let document = routes.document();
    check_terminals(config, routes, &document);
    warn_of_links(config, routes, &document);
    warn_of_loops(config, routes, &document);
    warn_of_gateways(config, routes, &document);
    let (errors, warnings) = document.finish();
    if errors.is_empty() {
        Ok(warnings)
    } else {
        Err(ConfigError::Wrong(errors))
    }
}

fn check_terminals(config: &GatewayConfig, routes: &Routes, document: &Document) {
    let adapters = faceway_adapters::all();
    for plan in &routes.inbounds {
        let adapter = adapters.iter().find(|known| known.name() == plan.adapter);
        let Some(adapter) = adapter.filter(|_| !plan.terminals.is_empty()) else {
            continue;
        };
        let span = document.place(&["inbound", plan.adapter, &plan.name, "terminals"]);
        let reporter = document.reporter();
        if config.listen.public_url_is_default {
            let message = format!(
                "`terminals` of [inbound.{}.{}] are told where to post to, and gateway.toml does not say how they reach this gateway",
                plan.adapter, plan.name
            );
            reporter.error(span, message, public_url(config));
        } else if is_local(&config.listen.public_url)
            && plan
                .terminals
                .iter()
                .any(|terminal| !is_local(&terminal.url))
        {
            let message = format!(
                "`terminals` of [inbound.{}.{}] are told to post to {}, which for each of them is itself",
                plan.adapter, plan.name, config.listen.public_url
            );
            reporter.error(span, message, public_url(config));
        } else if let Some(message) = unfit(config, plan, &**adapter) {
            let help = "it is made from `public_url` below [listen] in gateway.toml, and the inbound's `path`";
            reporter.error(span, message, help);
        }
    }
}

/// An address of this machine is good on it only: a receiver somewhere else gets links that lead to itself.
fn warn_of_links(config: &GatewayConfig, routes: &Routes, document: &Document) {
    let listen = &config.listen;
    let linking = |plan: &&OutboundPlan| {
        // An operator who names such an address himself may mean a receiver beside it.
        let leads_away = plan.address().is_some_and(|url| !is_local(url));
        let is_odd = listen.public_url_is_default || is_local(&listen.public_url) && leads_away;
        plan.common.images == Images::Url && is_odd
    };
    for plan in routes.outbounds.iter().filter(linking) {
        let key = ["outbound", plan.protocol.name(), &plan.name, "images"];
        let message = format!(
            "links to pictures begin with {}, which leads to this gateway on this machine only",
            config.listen.public_url
        );
        let reporter = document.reporter();
        reporter.warning(document.place(&key), message, public_url(config));
    }
}

/// An outbound that posts to an inbound of the same gateway: each event would come back as something that cannot be read, or
/// as another event, which is posted again.
fn warn_of_loops(config: &GatewayConfig, routes: &Routes, document: &Document) {
    let paths: Vec<_> = routes
        .inbounds
        .iter()
        .filter_map(|plan| plan.path.as_deref())
        .collect();
    for plan in &routes.outbounds {
        // Only what is posted can come in again.
        let Some(url) = plan.address().filter(|url| url.starts_with("http")) else {
            continue;
        };
        if leads_here(config, url).is_some_and(|path| paths.contains(&&*path)) {
            let key = ["outbound", plan.protocol.name(), &plan.name, "url"];
            let message =
                "events that are posted there come in again: it is an inbound of this gateway";
            let help = "write the address of the program that is to get them";
            let reporter = document.reporter();
            reporter.warning(document.place(&key), message, help);
        }
    }
}

/// One gateway alone does everything, whatever it is called.
fn warn_of_gateways(config: &GatewayConfig, routes: &Routes, document: &Document) {
    if config.spool.engine == JETSTREAM {
        return;
    }
    let inbounds = routes.inbounds.iter();
    let inbounds = inbounds.filter(|plan| !plan.gateways.is_empty());
    let inbounds = inbounds.map(|plan| ["inbound", plan.adapter, &plan.name, "gateways"]);
    let outbounds = routes.outbounds.iter();
    let outbounds = outbounds.filter(|plan| !plan.common.gateways.is_empty());
    let outbounds =
        outbounds.map(|plan| ["outbound", plan.protocol.name(), &plan.name, "gateways"]);
    for key in inbounds.chain(outbounds) {
        let message = "`gateways` says nothing here: this gateway shares no site with others";
        let help = "leave it out, or share a site: `spool.engine = \"jetstream\"` in gateway.toml";
        let reporter = document.reporter();
        reporter.warning(document.place(&key), message, help);
    }
}

/// The path of a URL that leads to this gateway, as far as the files can tell.
fn leads_here(config: &GatewayConfig, url: &str) -> Option<String> {
    let of = |url: &str| {
        let uri = url.parse::<http::Uri>().ok()?;
        let port = uri.port_u16();
        let port = port.unwrap_or(if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        });
        Some((
            uri.host()?.to_ascii_lowercase(),
            port,
            uri.path().to_owned(),
        ))
    };
    let (host, port, path) = of(url)?;
    let here = of(&config.listen.public_url).map(|(host, port, _)| (host, port));
    let is_here = is_local(url) && port == config.listen.devices.port()
        || here.is_some_and(|here| here == (host, port));
    is_here.then_some(path)
}

/// Whether a URL leads to the machine on which it is followed.
fn is_local(url: &str) -> bool {
    let host = url.parse::<http::Uri>().ok();
    let host = host.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let name = || host.eq_ignore_ascii_case("localhost");
    ip.map_or_else(|_| name(), |ip| ip.is_loopback() || ip.is_unspecified())
}

/// What to write.
fn public_url(config: &GatewayConfig) -> String {
    let listen = &config.listen;
    let scheme = match listen.tls {
        Some(_) => "https",
        None => "http",
    };
    format!(
        "write `public_url = \"{scheme}://<address of this machine>:{}\"` below [listen] in gateway.toml, or set \
         FACEWAY_LISTEN__PUBLIC_URL",
        listen.devices.port()
    )
}

/// What the adapter says of the address before it is used. The token is not at hand where files are checked.
fn unfit(config: &GatewayConfig, plan: &InboundPlan, adapter: &dyn Adapter) -> Option<String> {
    let subscription = Subscription {
        username: String::new(),
        password: Private::default(),
        address: address(&config.listen.public_url, plan.path.as_deref(), None),
    };
    match adapter.subscribe(subscription)?.begin() {
        Step::Failed(text) | Step::Denied(text) => Some(text.into_owned()),
        Step::Ask(_) | Step::Done(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::together;
    use crate::config::{gateway, parse_routes};

    fn told(routes: &str, config: &str) -> (String, String) {
        let routes = parse_routes(routes, "conf/routes.toml").unwrap().value;
        let (config, _) = gateway::parse(config, "gateway.toml", &[]).unwrap();
        match together(&config, &routes) {
            Ok(warnings) => (String::new(), warnings.to_string()),
            Err(errors) => (errors.to_string(), String::new()),
        }
    }

    #[test]
    fn a_webhook_to_an_inbound_of_this_gateway_is_warned_of() {
        let to = |url: &str| {
            let routes = format!(
                "[inbound.nebula.lobby]\n[outbound.webhook.erp]\nurl = \"{url}\"\n[[route]]\nname = \"all\"\nto = [\"erp\"]\n"
            );
            told(
                &routes,
                "[listen]\ndevices = \"0.0.0.0:8088\"\npublic_url = \"http://gateway:8080\"\n",
            )
            .1
        };
        for url in [
            "http://127.0.0.1:8088/in/lobby",
            "http://localhost:8088/in/lobby?token=t",
            "http://Gateway:8080/in/lobby",
        ] {
            assert!(to(url).contains("routes.toml:3:1"), "{url}: {}", to(url));
        }
        for url in [
            "http://127.0.0.1:8089/in/lobby",
            "http://127.0.0.1:8088/in/gate",
            "http://erp:8088/in/lobby",
        ] {
            assert_eq!(to(url), "", "{url}");
        }
    }

    #[test]
    fn gateways_are_for_a_site_of_several() {
        let routes = "[inbound.nebula.lobby]\ngateways = [\"gw-1\"]\n[outbound.stdout.erp]\ngateways = [\"gw-1\"]\n\
                      [[route]]\nname = \"all\"\nto = [\"erp\"]\n";
        let (errors, warnings) = told(routes, "");
        assert_eq!(errors, "");
        for part in ["routes.toml:2:1", "routes.toml:4:1", "shares no site"] {
            assert!(warnings.contains(part), "{part} is missing in:\n{warnings}");
        }
        let cluster = "site = \"north\"\n[spool]\nengine = \"jetstream\"\n[spool.jetstream]\n\
                       servers = [\"nats://n:4222\"]\nmonitor = [\"http://n:8222\"]\n";
        assert_eq!(told(routes, cluster), (String::new(), String::new()));
    }

    const TERMINALS: &str = "\u{FEFF}[inbound.nebula.lobby]\nterminals = [{ url = \"https://10.1.0.20\", username = \"a\", password = { env = \"P\" } }]\n";
    const LINKS: &str = "[outbound.webhook.erp]\nurl = \"https://erp.example\"\nimages = \"url\"\n[[route]]\nname = \"all\"\nto = [\"erp\"]\n";
    const REACHED: &str = "[listen]\npublic_url = \"http://gateway:8080\"\n";

    #[test]
    fn terminals_need_an_address_and_are_told_where_they_stand() {
        let (errors, _) = told(TERMINALS, "[listen]\ndevices = \"0.0.0.0:8088\"\n");
        for part in [
            "conf/routes.toml:2:1",
            "2 | terminals = [",
            "  | ^^^^^^^^^",
            "public_url = \"http://<address of this machine>:8088\"",
        ] {
            assert!(errors.contains(part), "{part} is missing in:\n{errors}");
        }
        assert_eq!(told(TERMINALS, REACHED), (String::new(), String::new()));
        let long = format!("[listen]\npublic_url = \"http://{}\"\n", "x".repeat(2000));
        let (errors, _) = told(TERMINALS, &long);
        assert!(errors.contains("conf/routes.toml:2:1"), "{errors}");
    }

    /// `localhost` is the terminal itself, as soon as a terminal asks for it.
    #[test]
    fn terminals_elsewhere_are_not_sent_to_themselves() {
        for (public_url, beside) in [
            ("http://localhost:8080", false),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]:8080", false),
            ("http://0.0.0.0:8080", false),
            ("http://LOCALHOST", false),
            ("http://10.1.0.2:8080", true),
            ("http://localhost.example", true),
        ] {
            let listen = format!("[listen]\npublic_url = \"{public_url}\"\n");
            let (errors, _) = told(TERMINALS, &listen);
            assert_eq!(errors.is_empty(), beside, "{public_url}: {errors}");
            if !beside {
                let places = ["conf/routes.toml:2:1", "which for each of them is itself"];
                let help = "write `public_url = \"http://<address of this machine>:8080\"`";
                for part in places.into_iter().chain([help]) {
                    assert!(errors.contains(part), "{part} is missing in:\n{errors}");
                }
            }
            // One that is tried out on this machine, or comes through a tunnel.
            let here = TERMINALS.replace("10.1.0.20", "127.0.0.1:8000");
            assert_eq!(told(&here, &listen).0, "", "{public_url}");
            let (_, warnings) = told(LINKS, &listen);
            assert_eq!(warnings.is_empty(), beside, "{public_url}: {warnings}");
            let here = LINKS.replace("erp.example", "localhost:9000");
            assert_eq!(told(&here, &listen).1, "", "{public_url}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_else_are_warned_of() {
        let (errors, warnings) = told(LINKS, "");
        assert_eq!(errors, "");
        for part in [
            "warning: links to pictures begin with http://localhost:8080",
            "conf/routes.toml:3:1",
            "3 | images = \"url\"\n  | ^^^^^^",
            "FACEWAY_LISTEN__PUBLIC_URL",
        ] {
            assert!(warnings.contains(part), "{part} is missing in:\n{warnings}");
        }
        assert_eq!(told(LINKS, REACHED).1, "");
        assert_eq!(told(&LINKS.replace("\"url\"", "\"inline\""), "").1, "");
    }
}
