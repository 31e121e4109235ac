//! The console: one page, put together when the gateway is built, so that nothing is loaded from anywhere.

use axum::response::Html;

const PAGE: &str = concat!(
    include_str!("../console/head.html"),
    "<style>\n",
    include_str!("../console/colours.css"),
    include_str!("../console/style.css"),
    "</style>\n",
    include_str!("../console/body.html"),
    "<script>\n",
    include_str!("../console/script.js"),
    "</script>\n</body>\n</html>\n",
);

/// `GET /`.
pub(super) async fn page() -> Html<&'static str> {
    Html(PAGE)
}

#[cfg(test)]
mod tests {
    use super::PAGE;

    #[test]
    fn the_page_is_whole_and_loads_nothing() {
        for once in ["<style>", "</style>", "<script>", "</script>", "</html>"] {
            assert_eq!(PAGE.matches(once).count(), 1, "{once}");
        }
        // A link loads nothing by itself, and leads to what this listener serves.
        let links = PAGE.split("href=\"").skip(1);
        assert!(
            links.clone().count() > 0 && links.into_iter().all(|link| link.starts_with("/docs"))
        );
        for loads in ["src=", "url(", "@import", "http://", "https://", "<link"] {
            assert!(!PAGE.contains(loads), "{loads}");
        }
    }

    /// What the script looks for is there to be found.
    #[test]
    fn every_id_that_the_script_uses_is_in_the_page() {
        let uses = PAGE.split("at(\"").skip(1);
        let ids: Vec<_> = uses.filter_map(|rest| rest.split('"').next()).collect();
        assert!(ids.len() > 20, "{ids:?}");
        for id in ids {
            assert!(PAGE.contains(&format!("id=\"{id}\"")), "{id}");
        }
    }
}
