//! Trying a template before it runs.

use std::ops::Range;

use minijinja::Error;
use serde::de::IgnoredAny;

use super::scan::Guarded;
use super::{Makes, TemplateFile};
use crate::format::json;
use crate::format::sample::{Sample, Samples};
use crate::{Field, Images, Projection};

/// Bytes of a template's file.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateMistake {
    /// Where in its text, in bytes; `None` when it is about the file.
    pub(crate) place: Option<Range<usize>>,
    /// What is wrong.
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) help: String,
}

impl TemplateFile {
    /// Compiles a template and tries it with events of every kind, as an outbound would see them.
    pub(crate) fn tried(
        name: &str,
        text: &str,
        projection: &Projection,
        images: Images,
    ) -> Result<Self, TemplateMistake> {
        let about_file = |message: &str, help: &str| TemplateMistake {
            place: None,
            message: message.into(),
            help: help.into(),
        };
        let Some(makes) = Makes::by_name(name) else {
            return Err(about_file(
                "the name of the template does not tell what it makes",
                "end it with `.json.j2`, `.xml.j2`, `.html.j2` or `.txt.j2`: what an event says is escaped for that",
            ));
        };
        if text.len() > TEXT_BYTES_MAX {
            return Err(about_file(
                "the template is longer than 256 KiB",
                "write a shorter one",
            ));
        }
        if json::has_marks(text) {
            return Err(about_file(
                "the template has control characters",
                "take them out",
            ));
        }
        if let Err(forbidden) = Guarded::of(text) {
            return Err(TemplateMistake {
                place: Some(forbidden.at..forbidden.at + 2),
                message: "a template has no `recursive` loops".into(),
                help: "what they make is captured, and could take all memory: write loops within loops".into(),
            });
        }
        let compiled = Self::compile(name, text, makes);
        let template = compiled.map_err(|error| mistake(text, &error, None))?;
        template.try_all(projection, images)?;
        Ok(template)
    }

    fn try_all(&self, projection: &Projection, images: Images) -> Result<(), TemplateMistake> {
        let samples = Samples::new();
        let groups = self.groups();
        for kind in Samples::kinds() {
            self.try_one(samples.full(&kind), projection, images)?;
        }
        for kind in Samples::kinds() {
            self.try_one(samples.least(&kind), projection, images)?;
            for sample in samples.lacking(&kind, &groups) {
                self.try_one(sample, projection, images)?;
            }
        }
        Ok(())
    }

    /// The groups whose fields it may ask for.
    fn groups(&self) -> Vec<String> {
        let fields = self.fields();
        let groups = fields.iter().filter_map(|field| field.split('.').next());
        groups.map(str::to_owned).collect()
    }

    fn try_one(
        &self,
        sample: Sample,
        projection: &Projection,
        images: Images,
    ) -> Result<(), TemplateMistake> {
        let Sample { mut event, about } = sample;
        if images == Images::None
            && let Some(image) = event.pointer_mut("/images/0")
            && let Some(image) = image.as_object_mut()
        {
            image.remove("url");
        }
        let event = serde_json::to_vec(&event).unwrap_or_default();
        let seen = projection.apply(&event).unwrap_or_default();
        let made = self.run(&seen);
        let (made, _) = made.map_err(|error| {
            let mut mistake = mistake(&self.text, &error, Some(&about));
            if let Some(path) = undefined(&error)
                && Field::find(path).is_some_and(|field| projection.hides(&field))
            {
                mistake.help = format!("this outbound may not see `{path}` by `omit` or `only`");
            }
            mistake
        })?;
        if self.makes != Makes::Json {
            return Ok(());
        }
        match serde_json::from_str::<IgnoredAny>(&made) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.not_json(&seen, &about, &error)),
        }
    }

    /// Finds the line of the template that makes no JSON, by a run with every line marked.
    fn not_json(&self, event: &[u8], about: &str, error: &serde_json::Error) -> TemplateMistake {
        let numbered = self.text.split('\n').enumerate().map(|(at, line)| {
            let mark = format!("{}{}{}{{{{", json::LINE, at + 1, json::LINE);
            line.replace("{{", &mark)
        });
        let numbered = numbered.collect::<Vec<_>>().join("\n");
        let run = Self::compile(&self.name, &numbered, self.makes)
            .and_then(|template| template.run(event));
        let line = run.ok().and_then(|(made, lines)| {
            let error = serde_json::from_str::<IgnoredAny>(&made).err()?;
            let at = offset(&made, error.line(), error.column());
            let before = lines.iter().rfind(|(begin, _)| *begin <= at);
            before.map(|(_, line)| *line)
        });
        TemplateMistake {
            place: Some(line_range(&self.text, line.unwrap_or(1))),
            message: format!(
                "what the template makes of {about} is not JSON: {error} of it"
            ),
            help: "a value brings its own quotes where it stands alone: `\"name\": {{ person.name }}`, and none within a string: `\"text\": \"{{ person.name }} came\"`; mind the commas, above all the last one of a loop: `{% if not loop.last %},{% endif %}`".into(),
        }
    }
}

/// The path of what an event did not have.
fn undefined(error: &Error) -> Option<&str> {
    error.detail()?.split('`').nth(1)
}

fn mistake(text: &str, error: &Error, about: Option<&str>) -> TemplateMistake {
    use minijinja::ErrorKind;
    let detail = error.detail().map(str::to_owned);
    let what = detail.unwrap_or_else(|| error.kind().to_string());
    let message = match about {
        Some(about) => format!("the template fails for {about}: {what}"),
        None => format!("the template cannot be read: {what}"),
    };
    let help = match error.kind() {
        ErrorKind::UndefinedError => {
            "an event has no more than its device told: write `{{ person.name | default(none) }}`, or `{% if person.name is defined %}`; `faceway schema event` prints all fields"
        }
        ErrorKind::OutOfFuel => "it does too much for one event: leave out loops within loops",
        ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownTest => {
            "what there is: https://docs.rs/minijinja/latest/minijinja/filters"
        }
        ErrorKind::SyntaxError => {
            "a template is one file, without `include`, `import` and `macro`; a field stands in `{{ }}`, what is done in `{% %}`"
        }
        _ => "",
    };
    let in_text = |range: Range<usize>| match Guarded::of(text) {
        Ok(guarded) => guarded.original(range.start)..guarded.original(range.end),
        Err(_) => range,
    };
    let place = error
        .range()
        .map(in_text)
        .filter(|range| !range.is_empty())
        .or_else(|| error.line().map(|line| line_range(text, line)));
    TemplateMistake {
        place,
        message,
        help: help.into(),
    }
}

/// The bytes of a line, without the blanks around it.
fn line_range(text: &str, line: usize) -> Range<usize> {
    let lines = text.split('\n');
    let before: usize = lines
        .clone()
        .take(line - 1)
        .map(|line| line.len() + 1)
        .sum();
    let line = lines.clone().nth(line - 1).unwrap_or_default();
    let begin = before + line.len() - line.trim_start().len();
    begin..begin + line.trim().len()
}

fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text
        .split('\n')
        .take(line.saturating_sub(1))
        .map(|line| line.len() + 1)
        .sum();
    before + column
}
