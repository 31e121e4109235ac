//! FindFace Multi's verbose mode, which puts an object in the place of an id.

use faceway_core::{Group, Reader, Text};

/// An id, or the object that the verbose mode puts in its place, of which `read` takes what has a canonical word.
/// What is left of the object is given back.
pub(crate) fn verbose<'a, T>(
    fields: &mut Reader<'a>,
    name: &'static str,
    at: &'static str,
    of_id: impl FnOnce(Option<Text<'a>>) -> T,
    read: impl FnOnce(&mut Reader<'a>) -> T,
) -> T {
    let object = fields
        .told(name)
        .is_some_and(|raw| raw.get().starts_with('{'));
    if !object {
        return of_id(fields.identifier(name));
    }
    let Some(mut object) = fields.object(name, at) else {
        return of_id(None);
    };
    let read = read(&mut object);
    fields.give_back(name, object);
    read
}

/// An id, or an object with an id and a name.
pub(crate) fn named<'a>(
    fields: &mut Reader<'a>,
    name: &'static str,
    at: &'static str,
) -> Group<'a> {
    verbose(
        fields,
        name,
        at,
        |id| Group { id, name: None },
        Reader::id_and_name,
    )
}

/// An id, or an object with an id.
pub(crate) fn id_of<'a>(
    fields: &mut Reader<'a>,
    name: &'static str,
    at: &'static str,
) -> Option<Text<'a>> {
    verbose(fields, name, at, |id| id, |object| object.identifier("id"))
}

#[cfg(test)]
mod tests {
    use faceway_core::{Members, Reader};

    use super::named;

    #[test]
    fn an_object_stands_wherever_an_id_may() {
        let json = r#"{"a":7,"b":{"id":8,"name":"Gate","x":1},"c":{},"d":[1]}"#;
        let mut fields = Reader::new(Members::parse(json).unwrap(), "camera.");
        let mut named = |name| {
            let group = named(&mut fields, name, "b.");
            (group.id.map(String::from), group.name.map(String::from))
        };
        assert_eq!(named("a"), (Some("7".into()), None));
        assert_eq!(named("b"), (Some("8".into()), Some("Gate".into())));
        assert_eq!(named("c"), (None, None));
        assert_eq!(named("d"), (None, None));
        assert_eq!(
            serde_json::to_string(&fields.members).unwrap(),
            r#"{"d":[1],"b":{"x":1}}"#
        );
    }
}
