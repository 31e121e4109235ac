//! The arguments of each simulator, made from what it says of itself.

use std::net::SocketAddr;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Args as _, Command, FromArgMatches};
use faceway_core::simulator::{About, Choice, ChoiceKind, Chosen, Picture, Simulator};
use faceway_simulators::Pace;
use reqwest::Url;

use super::Common;

/// A simulator, and what was asked of it.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) simulator: &'static dyn Simulator,
    pub(super) to: Option<Url>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) api_listen: Option<SocketAddr>,
    /// Whether `--images` was given.
    pub(super) pictures: bool,
    pub(super) pace: Pace,
    pub(super) chosen: Chosen,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked")
            .field("summary", &self.simulator.about().summary)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl clap::Subcommand for Asked {
    fn augment_subcommands(command: Command) -> Command {
        super::simulators()
            .into_iter()
            .fold(command, |command, (name, simulator)| {
                command.subcommand(subcommand(name, simulator.about()))
            })
            .subcommand_value_name("ADAPTER")
            .subcommand_help_heading("Adapters")
            .subcommand_required(true)
            .arg_required_else_help(true)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        super::simulators().iter().any(|(known, _)| *known == name)
    }
}

impl FromArgMatches for Asked {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        let mut simulators = super::simulators().into_iter();
        let (_, simulator) = simulators
            .find(|(known, _)| *known == name)
            .ok_or_else(missing)?;
        asked(simulator, matches)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn subcommand(name: &'static str, about: &'static About) -> Command {
    let mut command = Command::new(name).arg(
        Arg::new("to")
            .long("to")
            .value_name("URL")
            .value_parser(super::target)
            .required(about.listen.is_none())
            .help(about.to),
    );
    if let Some(listen) = about.listen {
        let way = ArgGroup::new("way").args(["to", "listen"]);
        command = command
            .arg(address("listen", listen.help))
            .group(way.required(true).multiple(true));
    }
    if let Some(help) = about.api_listen {
        command = command.arg(address("api-listen", help));
    }
    let command = (about.connection.iter().map(choice)).fold(command, Command::arg);
    let command = Common::augment_args(command);
    let command = (about.devices.iter().map(choice)).fold(command, Command::arg);
    let first = about.help.split("\n\n").next().unwrap_or_default();
    let examples: Vec<String> = super::examples_of(about).collect();
    command
        .about(first.strip_suffix('.').unwrap_or(first))
        .long_about(about.help)
        .after_help(format!("Example:\n{}", examples.join("\n")))
}

fn address(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("ADDR")
        .value_parser(clap::value_parser!(SocketAddr))
        .help(help)
}

fn choice(choice: &'static Choice) -> Arg {
    let arg = Arg::new(choice.name).long(choice.name).help(choice.help);
    if choice.kind == ChoiceKind::Flag {
        return arg.action(ArgAction::SetTrue);
    }
    let mut arg = arg.value_name(choice.value);
    if let Some(default) = choice.default {
        arg = arg.default_value(default);
    }
    if choice.not_with_listen {
        arg = arg.conflicts_with("listen");
    }
    match choice.kind {
        ChoiceKind::Words(words) => arg.value_parser(PossibleValuesParser::new(words)),
        ChoiceKind::Number(least, u64::MAX) => {
            arg.value_parser(clap::value_parser!(u64).range(least..))
        }
        ChoiceKind::Number(least, most) => {
            arg.value_parser(clap::value_parser!(u64).range(least..=most))
        }
        ChoiceKind::Text | ChoiceKind::Flag => arg,
    }
}

fn asked(simulator: &'static dyn Simulator, matches: &ArgMatches) -> Result<Asked, clap::Error> {
    let about = simulator.about();
    let common = Common::from_arg_matches(matches)?;
    let listen = about.listen.and_then(|_| socket(matches, "listen"));
    let mut chosen = Chosen::defaults(about, common.seed.unwrap_or_else(rand::random));
    chosen.picture = common.picture_bytes().map_or(Picture::None, Picture::Bytes);
    chosen.listens = listen.is_some();
    for choice in about.choices() {
        match choice.kind {
            ChoiceKind::Flag if matches.get_flag(choice.name) => chosen.set(choice.name, ""),
            ChoiceKind::Flag => {}
            ChoiceKind::Number(..) => {
                if let Some(value) = matches.get_one::<u64>(choice.name) {
                    chosen.set(choice.name, value.to_string());
                }
            }
            ChoiceKind::Text | ChoiceKind::Words(_) => {
                if let Some(value) = matches.get_one::<String>(choice.name) {
                    chosen.set(choice.name, value);
                }
            }
        }
    }
    Ok(Asked {
        simulator,
        to: matches.get_one::<Url>("to").cloned(),
        listen,
        api_listen: about.api_listen.and_then(|_| socket(matches, "api-listen")),
        pictures: common.images.is_some(),
        pace: Pace::new(common.rate, common.count),
        chosen,
    })
}

fn socket(matches: &ArgMatches, name: &str) -> Option<SocketAddr> {
    matches.get_one::<SocketAddr>(name).copied()
}
