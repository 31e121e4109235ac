//! routes.toml: as written, as meant, and the rules that run.
