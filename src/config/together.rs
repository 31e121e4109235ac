//! What neither file can tell alone.

use faceway_core::{Adapter, Private, Step, Subscription};
use faceway_rules::read::Document;
use faceway_rules::{Diagnostics, Images, InboundPlan, Routes};

use super::{ConfigError, GatewayConfig};
use crate::inbound::address;

/// Checks the two files against each other; gives what looks odd. Everything is told with its place in `routes.toml`,
/// because there is the key that asks for more.
///
/// # Errors
/// Everything in which they do not fit.
pub fn together(config: &GatewayConfig, routes: &Routes) -> Result<Diagnostics, ConfigError> {
    let document = routes.document();
    check_terminals(config, routes, &document);
    warn_of_links(config, routes, &document);
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
        } else if let Some(message) = unfit(config, plan, &**adapter) {
            let help = "it is made from `public_url` below [listen] in gateway.toml, and the inbound's `path`";
            reporter.error(span, message, help);
        }
    }
}

/// The default is good for this machine only: a receiver somewhere else gets links that lead to itself.
fn warn_of_links(config: &GatewayConfig, routes: &Routes, document: &Document) {
    let linking = |images| images == Images::Url && config.listen.public_url_is_default;
    let outbounds = routes.outbounds.iter();
    for plan in outbounds.filter(|plan| linking(plan.common.images)) {
        let key = ["outbound", plan.protocol.name(), &plan.name, "images"];
        let message = format!(
            "links to pictures begin with {}, which leads to this gateway on this machine only",
            config.listen.public_url
        );
        let reporter = document.reporter();
        reporter.warning(document.place(&key), message, public_url(config));
    }
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

/// What the adapter says of the address before it is told to anybody. The token is not at hand where files are checked.
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
