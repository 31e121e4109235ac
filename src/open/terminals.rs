//! The terminals whose subscription is kept.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use faceway_core::{Adapter, Clock, Private, Subscription};
use faceway_rules::{InboundPlan, Routes, TerminalPlan};
use faceway_tls::{ClientTls, Trust};

use crate::config::gateway::Listen;
use crate::config::{secrets, tls};
use crate::inbound::{Api, Terminal, address};

/// Every terminal, by the name of its inbound. Nothing is dialled yet.
pub(crate) fn terminals(
    routes: &Routes,
    listen: &Listen,
    clock: &dyn Clock,
) -> anyhow::Result<HashMap<String, Vec<Arc<Terminal>>>> {
    let adapters: Vec<Arc<dyn Adapter>> =
        faceway_adapters::all().into_iter().map(Arc::from).collect();
    let mut configs = TlsConfigs::default();
    let mut terminals = HashMap::new();
    for plan in &routes.inbounds {
        if plan.terminals.is_empty() {
            continue;
        }
        let adapter = adapters.iter().find(|known| known.name() == plan.adapter);
        let adapter = adapter.context("an adapter of routes.toml is not registered")?;
        let address = our_address(plan, listen)?;
        let open = |terminal: &TerminalPlan| -> anyhow::Result<Arc<Terminal>> {
            let api = configs.api(terminal);
            let subscription = subscription(terminal, &address);
            let named = || format!("the terminal {} of inbound {}", terminal.url, plan.name);
            Ok(Arc::new(Terminal::new(
                &plan.name,
                terminal,
                (Arc::clone(adapter), subscription.with_context(named)?),
                api.with_context(named)?,
                clock.now(),
            )))
        };
        let opened: anyhow::Result<Vec<_>> = plan.terminals.iter().map(open).collect();
        terminals.insert(plan.name.clone(), opened?);
    }
    Ok(terminals)
}

fn our_address(plan: &InboundPlan, listen: &Listen) -> anyhow::Result<Private<String>> {
    let token = plan.token.as_ref().map(secrets::resolve).transpose();
    let token = token.with_context(|| format!("the token of inbound {}", plan.name))?;
    Ok(address(&listen.public_url, plan.path.as_deref(), token))
}

fn subscription(
    terminal: &TerminalPlan,
    address: &Private<String>,
) -> anyhow::Result<Subscription> {
    Ok(Subscription {
        username: terminal.username.clone(),
        password: secrets::resolve(&terminal.password).context("its password")?,
        address: address.clone(),
    })
}

/// Terminals that trust the same share it: authorities are many, and are loaded once.
#[derive(Default)]
struct TlsConfigs(HashMap<(Trust, bool), rustls::ClientConfig>);

impl TlsConfigs {
    fn api(&mut self, terminal: &TerminalPlan) -> anyhow::Result<Api> {
        let trust = tls::terminal(&terminal.trust)?;
        let encrypted = terminal.url.starts_with("https://");
        let key = (trust.clone(), encrypted);
        let config = match self.0.get(&key) {
            Some(config) => config.clone(),
            None => {
                let identity = None;
                let config = ClientTls { trust, identity }.config(encrypted)?;
                self.0.insert(key, config.clone());
                config
            }
        };
        Api::with(&terminal.url, config)
    }
}
