//! Where each value of `gateway.toml` comes from, for the operator who wonders.

use faceway_rules::diagnostic::masked;
use faceway_rules::read::{Key, Node, Shape, Value};

use super::merge::{Origin, Origins};

/// A key of `gateway.toml` and what holds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Setting {
    /// Its path, such as `listen.devices`.
    pub key: String,
    /// Its value as the file would say it; `null` where it is absent. What looks like a secret in it is masked.
    pub value: serde_json::Value,
    /// Where it comes from.
    #[serde(flatten)]
    pub from: SetBy,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum SetBy {
    /// It is not set.
    Default,
    /// The file.
    File {
        /// Which.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column of the key in characters, from 1.
        column: usize,
    },
    /// The environment.
    Environment {
        /// Name of the variable.
        variable: String,
        /// Where the file says another value, which does not count: `gateway.toml:3`.
        #[serde(skip_serializing_if = "Option::is_none")]
        over: Option<String>,
    },
}

impl std::fmt::Display for SetBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, .. } => write!(f, "{file}:{line}"),
            Self::Environment { variable, over } => {
                write!(f, "environment variable {variable}")?;
                match over {
                    Some(place) => write!(f, ", over {place}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Each key of `keys`, in their order, with what `root` holds. `made` are those that are made from other keys where they are
/// absent.
pub(super) fn settings(
    keys: &[Key],
    root: &Node,
    file: &str,
    origins: &Origins,
    made: &[(&str, String)],
) -> Vec<Setting> {
    let mut walk = Walk {
        file,
        origins,
        found: Vec::new(),
    };
    walk.table("", keys, Some(root));
    for setting in &mut walk.found {
        let made = made.iter().find(|(key, _)| *key == setting.key);
        if let Some((_, value)) = made
            && setting.value.is_null()
        {
            setting.value = masked(value).into();
        }
    }
    walk.found
}

struct Walk<'a> {
    file: &'a str,
    origins: &'a Origins,
    found: Vec<Setting>,
}

impl Walk<'_> {
    fn table(&mut self, above: &str, keys: &[Key], node: Option<&Node>) {
        let entries = node.and_then(Node::entries).unwrap_or_default();
        for key in keys {
            let path = format!("{above}{}", key.name);
            let entry = entries.iter().find(|entry| entry.key == key.name);
            let node = entry.map(|entry| &entry.node);
            match (key.shape, node) {
                (Shape::Table(keys), Some(_)) => self.table(&format!("{path}."), keys, node),
                _ => self.found.push(Setting {
                    value: node.map_or(serde_json::Value::Null, |node| json(&node.value)),
                    from: self.from(&path),
                    key: path,
                }),
            }
        }
    }

    /// Of a secret, which is a table, by what is in it.
    fn from(&self, path: &str) -> SetBy {
        let within = format!("{path}.");
        let mut origins = self.origins.iter();
        let origin = origins.find(|(key, _)| *key == path || key.starts_with(&within));
        match origin.map(|(_, origin)| origin) {
            None | Some(Origin::Default) => SetBy::Default,
            Some(Origin::File { line, column }) => SetBy::File {
                file: self.file.to_owned(),
                line: *line,
                column: *column,
            },
            Some(Origin::Variable { name, over }) => SetBy::Environment {
                variable: name.clone(),
                over: over.map(|line| format!("{}:{line}", self.file)),
            },
        }
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => masked(text).into(),
        Value::Number {
            whole: Some(whole), ..
        } => (*whole).into(),
        Value::Number { float, .. } => (*float).into(),
        Value::Bool(bool) => (*bool).into(),
        Value::Time(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(|item| json(&item.value)).collect(),
        Value::Table(entries) => {
            let pairs = entries.iter();
            let pairs = pairs.map(|entry| (entry.key.clone(), json(&entry.node.value)));
            serde_json::Value::Object(pairs.collect())
        }
    }
}
