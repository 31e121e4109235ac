//! What the tests share: the adapters that the files of the tests may name, and the protocols that there are.

use std::sync::LazyLock;

use faceway_core::{Reach, Setting, SettingKind};
use faceway_rules::{AdapterGrammar, Diagnostics, Grammar, Routes, parse_with};

/// Reads a file of the tests, whose templates are in `tests/templates`.
#[allow(dead_code, reason = "not every binary of the tests has files")]
pub(crate) fn parse(text: &str) -> Result<Routes, Diagnostics> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates");
    parse_with(text, "routes.toml", &GRAMMAR, &|path| {
        std::fs::read_to_string(folder.join(path)).map_err(|_| "is not there".to_owned())
    })
}

pub(crate) static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| Grammar {
    adapters: ADAPTERS.to_vec(),
    outbounds: faceway_outbounds::ALL.to_vec(),
});

const PUSHED: &[Reach] = &[Reach::Pushed];

const ADAPTERS: &[AdapterGrammar] = &[
    AdapterGrammar {
        name: "nebula",
        reach: &[Reach::Pushed, Reach::Subscribed],
        settings: &[
            Setting {
                name: "device",
                kind: SettingKind::Text,
                about: "Serial number for terminals that do not tell theirs.",
            },
            Setting {
                name: "images",
                kind: SettingKind::Texts,
                about: "Pictures to keep.",
            },
            Setting {
                name: "score_scale",
                kind: SettingKind::Number(&[1, 100]),
                about: "Scale of scores.",
            },
            Setting {
                name: "protocol",
                kind: SettingKind::Word(&["v1", "v2"]),
                about: "By firmware.",
            },
        ],
    },
    AdapterGrammar {
        name: "se5",
        reach: &[
            Reach::Pushed,
            Reach::Dialled {
                api_for: &["devices", "protocol"],
            },
        ],
        settings: &[
            Setting {
                name: "devices",
                kind: SettingKind::Texts,
                about: "Ids of cameras.",
            },
            Setting {
                name: "protocol",
                kind: SettingKind::Word(&["v1", "v2"]),
                about: "By firmware.",
            },
        ],
    },
    AdapterGrammar {
        name: "omni",
        reach: &[Reach::Pushed, Reach::Dialled { api_for: &[] }],
        settings: &[],
    },
    AdapterGrammar {
        name: "example",
        reach: PUSHED,
        settings: &[],
    },
];
