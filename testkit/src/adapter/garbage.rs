//! Bodies that no vendor would send.

/// Stands for a personal value in [`garbage`]; no reason and no warning may repeat it.
pub(super) const MARKER: &str = "Markerella";

/// Bodies that no vendor would send and every attacker might: wrong types, wrong encodings, depth, size.
pub fn garbage() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        "",
        " ",
        "null",
        "true",
        "0",
        "-",
        "\"Markerella\"",
        "{",
        "}",
        "[]",
        "[[]]",
        "{}",
        "{}{}",
        "{\"\":\"\"}",
        "{\"type\":Markerella}",
        "{\"type\":\"Markerella\",\"data\":{}}",
        "{\"type\":0,\"data\":\"Markerella\"}",
        "{\"type\":0,\"data\":{\"user\":\"Markerella\",\"timestamp\":\"Markerella\"}}",
        "{'type':0}",
        "{\"type\":0,\"data\":{}}\0",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":1e999,\"b\":-1e-999,\"c\":123456789012345678901234567890}",
        "{\"type\":0,\"data\":{\"$serde_json::private::Number\":\"Markerella\"}}",
        "{\"type\":0,\"data\":{\"x\":{\"$serde_json::private::RawValue\":\"Markerella\"}}}",
        "{\"$serde_json::private::Number\":\"Markerella\",\"type\":0,\"data\":{}}",
        "\u{feff}{}",
        "<xml>Markerella</xml>",
        "a=b&c=Markerella",
    ]
    .into_iter()
    .map(|body| body.as_bytes().to_vec())
    .collect();
    bodies.push(vec![0xFF, 0xFE, 0, 0x80]);
    bodies.push(vec![b'['; 100_000]);
    bodies.push(b"{\"a\":".repeat(10_000));
    bodies.push([vec![b'['; 60], vec![b']'; 60]].concat());
    bodies.push(format!("{{\"a\":\"{}\"}}", "x".repeat(1_000_000)).into_bytes());
    bodies.push(format!("{{\"a\":{}}}", "9".repeat(100_000)).into_bytes());
    let mut random = Random(1);
    for length in 0..200 {
        bodies.push((0..length).map(|_| random.next() as u8).collect());
    }
    bodies
}

/// `body` cut off at many places, and with single bytes changed.
pub fn damaged(body: &[u8]) -> Vec<Vec<u8>> {
    let mut random = Random(body.len() as u64 + 1);
    let mut bodies = Vec::new();
    let step = (body.len() / 25).max(1);
    for at in (0..body.len()).step_by(step) {
        bodies.push(body[..at].to_vec());
        let mut changed = body.to_vec();
        changed[at] = *random.pick(b"\"\\{}[],:0-9e.tfn \0\xFF");
        bodies.push(changed);
    }
    bodies
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }

    fn pick<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[(self.next() % items.len() as u64) as usize]
    }
}
