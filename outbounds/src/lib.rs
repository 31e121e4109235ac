//! The list of outbounds, one line each. `docs/adding-an-outbound.md` walks through a new one.

use faceway_core::OutboundKind;

/// Every protocol that an outbound can name, in the order in which they are shown.
pub static ALL: &[&OutboundKind] = &[
    &faceway_outbound_webhook::KIND,
    &faceway_outbound_mqtt::KIND,
    &faceway_outbound_amqp::KIND,
    &faceway_outbound_stdout::KIND,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use faceway_core::outbound_kind::Reading;
    use faceway_core::{Shape, Values};

    use super::ALL;

    #[test]
    fn every_folder_is_registered() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let registered: BTreeSet<&str> = ALL.iter().map(|kind| kind.name).collect();
        assert_eq!(registered.len(), ALL.len(), "two have the same name");
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            assert!(
                !entry.path().join("Cargo.toml").exists() || registered.contains(name.as_str()),
                "outbounds/{name} is not in the list: add its line to `ALL` in outbounds/src/lib.rs, and its crate to \
                 outbounds/Cargo.toml",
            );
        }
    }

    /// The gateway reads them by these keys.
    #[test]
    fn address_and_headers_are_keys_of_their_shapes() {
        for kind in ALL {
            let named = |name: &str| kind.keys.iter().find(|key| key.name == name);
            let template = |key: &&faceway_core::Key| matches!(key.shape, Shape::Template);
            let templates: Vec<_> = kind
                .keys
                .iter()
                .filter(template)
                .map(|key| key.name)
                .collect();
            let address: Vec<_> = kind.address.iter().map(|address| address.key).collect();
            assert_eq!(templates, address, "{}", kind.name);
            let headers =
                named("headers").is_some_and(|key| matches!(key.shape, Shape::Headers { .. }));
            assert_eq!(headers, kind.headers.is_some(), "{}", kind.name);
        }
    }

    #[test]
    fn an_alias_is_that_of_one_protocol_and_no_name() {
        let mut seen: BTreeSet<&str> = ALL.iter().map(|kind| kind.name).collect();
        for alias in ALL.iter().flat_map(|kind| kind.aliases) {
            assert!(seen.insert(alias), "{alias} is there twice");
        }
    }

    /// A debug build fails where `read` leaves out a key that is declared, which it may do only in some tables.
    #[test]
    fn every_declared_key_is_read_whatever_is_written() {
        for kind in ALL {
            let mut wrong = Values::default();
            for key in kind.keys {
                wrong.add(key.name, None);
            }
            for values in [Values::default(), wrong] {
                for format in ["canonical", "cloudevents-binary", "template"] {
                    for shown in [true, false] {
                        let shows = move |_: &str| shown;
                        Reading::of((kind.keys, &values), format, &shows, |table| {
                            (kind.read)(table)
                        });
                    }
                }
            }
        }
    }

    #[test]
    fn every_key_has_a_word_about_it_and_a_place_of_its_own() {
        for kind in ALL {
            let names: BTreeSet<_> = kind.keys.iter().map(|key| key.name).collect();
            assert_eq!(
                names.len(),
                kind.keys.len(),
                "{}: a key is there twice",
                kind.name
            );
            for key in kind.keys {
                assert!(!key.about.is_empty(), "{}: {}", kind.name, key.name);
            }
        }
    }
}
