//! `format = "template"`: a Jinja file.

mod check;
mod context;
mod memory;
mod scan;

use std::io::{self, Write};
use std::sync::Arc;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use serde::de::IgnoredAny;

use super::json;

/// Steps that one event may take; a template of a hundred lines takes some thousands.
const STEPS_MAX: u64 = 1_000_000;
/// The engine counts a byte of a list or a map that it writes as the quarter of a step, any other byte as less.
const BYTES_PER_STEP: usize = 4;
/// How deep a template may call itself.
const DEPTH_MAX: usize = 32;
/// Bytes that a template may make of one event.
const OUTPUT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A template that has been tried. Two of the same name and text are equal.
#[derive(Clone)]
pub struct TemplateFile {
    name: String,
    text: String,
    makes: Makes,
    environment: Arc<Environment<'static>>,
}

/// What a template makes, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Makes {
    Json,
    Xml,
    Html,
    Text,
}

impl TemplateFile {
    /// The media type of what it makes.
    pub fn content_type(&self) -> &'static str {
        match self.makes {
            Makes::Json => super::JSON,
            Makes::Xml => "application/xml",
            Makes::Html => "text/html; charset=utf-8",
            Makes::Text => "text/plain; charset=utf-8",
        }
    }

    /// The file's name, as `routes.toml` has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fields that it names, each as far as its path can be told: `person` where all of it is gone through.
    /// `event` means everything.
    pub fn fields(&self) -> Vec<String> {
        let template = self.environment.get_template(&self.name);
        let names = template.map(|template| template.undeclared_variables(true));
        let mut names: Vec<_> = names.unwrap_or_default().into_iter().collect();
        names.sort();
        names
    }

    /// What it makes of an event. The error's text may repeat values of the event.
    pub(super) fn render(&self, event: &[u8]) -> Result<String, Error> {
        let (text, _) = self.run(event)?;
        if self.makes == Makes::Json
            && let Err(error) = serde_json::from_str::<IgnoredAny>(&text)
        {
            return Err(Error::new(ErrorKind::BadSerialization, error.to_string()));
        }
        Ok(text)
    }

    /// The same, with the lines that are marked, and whether or not it is JSON.
    fn run(&self, event: &[u8]) -> Result<(String, Vec<(usize, usize)>), Error> {
        let bytes_max = memory::begin(event.len());
        let context = context::of(event)?;
        // Bytes have a limit of their own: counted as steps as well, a large picture would leave none for the template.
        let mut environment = Environment::clone(&self.environment);
        environment.set_fuel(Some(STEPS_MAX + (bytes_max / BYTES_PER_STEP) as u64));
        let template = environment.get_template(&self.name)?;
        let mut out = Limited(Vec::new());
        template
            .render_captured_to(context, &mut out)
            .map_err(|error| match error.kind() {
                // Nothing else can go wrong with writing into memory.
                ErrorKind::WriteFailure => {
                    Error::new(ErrorKind::WriteFailure, "it makes more than 32 MiB of it")
                }
                _ => error,
            })?;
        let text = String::from_utf8(out.0)
            .map_err(|_| Error::new(ErrorKind::BadSerialization, "not UTF-8"))?;
        Ok(match self.makes {
            Makes::Json => json::weave(&text),
            Makes::Xml | Makes::Html => (text.replace(is_no_xml, "\u{FFFD}"), Vec::new()),
            Makes::Text => (text, Vec::new()),
        })
    }

    /// Compiles it.
    fn compile(name: &str, text: &str, makes: Makes) -> Result<Self, Error> {
        let guarded = scan::Guarded::of(text)
            .map_err(|_| Error::new(ErrorKind::SyntaxError, "a loop calls itself"))?;
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_recursion_limit(DEPTH_MAX);
        // Only for errors of the check: those of a run are never shown.
        environment.set_debug(true);
        environment.set_auto_escape_callback(move |_| match makes {
            Makes::Json => AutoEscape::Json,
            Makes::Xml | Makes::Html => AutoEscape::Html,
            Makes::Text => AutoEscape::None,
        });
        environment.set_formatter(match makes {
            Makes::Json => mark,
            _ => shown,
        });
        memory::guard(&mut environment);
        environment.add_template_owned(name.to_owned(), guarded.text)?;
        Ok(Self {
            name: name.to_owned(),
            text: text.to_owned(),
            makes,
            environment: Arc::new(environment),
        })
    }
}

/// XML 1.0 has no place for most control characters, however they are written.
fn is_no_xml(char: char) -> bool {
    char < ' ' && !matches!(char, '\t' | '\n' | '\r')
}

impl Makes {
    /// By the ending before `.j2` or `.jinja`, or the only one.
    fn by_name(name: &str) -> Option<Self> {
        let name = name
            .strip_suffix(".j2")
            .or_else(|| name.strip_suffix(".jinja"))
            .unwrap_or(name);
        match name.rsplit_once('.')?.1 {
            "json" => Some(Self::Json),
            "xml" => Some(Self::Xml),
            "html" => Some(Self::Html),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Marks a value for [`json::weave`]. What the template itself calls safe, or takes out of escaping, goes as it is.
fn mark(
    out: &mut minijinja::Output<'_>,
    state: &mut minijinja::State<'_, '_>,
    value: &minijinja::Value,
) -> Result<(), Error> {
    memory::written(value)?;
    let written = if value.is_safe() || matches!(state.auto_escape(), AutoEscape::None) {
        out.write_str(&value.to_string())
    } else {
        let text = serde_json::to_string(value)
            .map_err(|_| Error::new(ErrorKind::BadSerialization, "cannot be written as JSON"))?;
        write!(out, "{}{text}{}", json::BEGIN, json::END)
    };
    written.map_err(Error::from)
}

/// Writes a value as the engine does, when it is not too large for that.
fn shown(
    out: &mut minijinja::Output<'_>,
    state: &mut minijinja::State<'_, '_>,
    value: &minijinja::Value,
) -> Result<(), Error> {
    memory::written(value)?;
    minijinja::escape_formatter(out, state, value)
}

/// Takes no more than [`OUTPUT_BYTES_MAX`].
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::other("makes more than 32 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PartialEq for TemplateFile {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.text) == (&other.name, &other.text)
    }
}

impl Eq for TemplateFile {}

impl std::fmt::Debug for TemplateFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TemplateFile").field(&self.name).finish()
    }
}
