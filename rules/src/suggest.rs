//! "Did you mean …?"

/// The candidate that is nearest to `name`, if it is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = strsim::osa_distance(&name, &candidate.to_lowercase());
            let longest = name.chars().count().max(candidate.chars().count());
            (distance <= (longest / 3).max(1) && distance < longest)
                .then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The help of an error about an unknown name: the nearest one, then all that are allowed.
pub(crate) fn help(name: &str, what: &str, candidates: &[&str]) -> String {
    let list = listing(candidates);
    match nearest(name, candidates.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {what}: {list}"),
        None => format!("{what}: {list}"),
    }
}

/// A listing that fits a line or two.
pub(crate) fn listing(words: &[&str]) -> String {
    const SHOWN_MAX: usize = 30;
    let shown = words
        .iter()
        .take(SHOWN_MAX)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match words.len() {
        0 => "none".into(),
        n if n > SHOWN_MAX => format!("{shown} and {} more", n - SHOWN_MAX),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_is_near() {
        let fields = ["person.category", "person.id", "match.score"];
        assert_eq!(nearest("person.categroy", fields), Some("person.category"));
        assert_eq!(nearest("Match.Score", fields), Some("match.score"));
        assert_eq!(nearest("weather", fields), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
