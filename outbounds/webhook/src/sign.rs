//! Standard Webhooks, symmetric signatures: <https://www.standardwebhooks.com>, section "Signature scheme" of
//! `spec/standard-webhooks.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faceway_core::{EventId, Private, SettingsError, Timestamp};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderValue;
use sha2::Sha256;

/// The headers of Standard Webhooks.
pub(crate) const NAMES: [&str; 3] = [ID, TIMESTAMP, SIGNATURE];
const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// One key for each secret.
pub(crate) struct Signer(Vec<Private<Hmac<Sha256>>>);

impl Signer {
    pub(crate) fn new(secrets: &[Private<String>]) -> Result<Self, SettingsError> {
        let keys = secrets.iter().enumerate().map(|(at, secret)| {
            key(secret).map(Private::new).map_err(|problem| {
                SettingsError::new("sign", format!("secret {}: {problem}", at + 1))
            })
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Id and time go with every request, as a receiver drops by the id what it has seen; a signature only with secrets.
    pub(crate) fn headers(
        &self,
        id: EventId,
        at: Timestamp,
        body: &[u8],
    ) -> impl Iterator<Item = (&'static str, HeaderValue)> {
        let id = id.to_string();
        let seconds = at.as_millis().div_euclid(1000).to_string();
        let signature = (!self.0.is_empty()).then(|| self.signature(&id, &seconds, body));
        [
            (ID, Some(id)),
            (TIMESTAMP, Some(seconds)),
            (SIGNATURE, signature),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((name, HeaderValue::try_from(text?).ok()?)))
    }

    fn signature(&self, id: &str, seconds: &str, body: &[u8]) -> String {
        let signatures = self.0.iter().map(|key| {
            let mut mac = key.reveal().clone();
            for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
                mac.update(part);
            }
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

/// Reveals the secret to make a key of it, which cannot be printed either.
fn key(secret: &Private<String>) -> Result<Hmac<Sha256>, &'static str> {
    let text = secret.reveal().trim();
    let bytes = match text.strip_prefix("whsec_") {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| "what follows `whsec_` must be base64 with padding")?,
        None => text.as_bytes().to_vec(),
    };
    if bytes.is_empty() {
        return Err("it is empty; a key of 24 to 64 random bytes is right");
    }
    Hmac::new_from_slice(&bytes).map_err(|_| "it cannot be a key")
}

#[cfg(test)]
mod tests {
    use faceway_core::Private;

    use super::Signer;

    fn signature(secrets: &[&str], id: &str, seconds: &str, body: &str) -> String {
        let secrets: Vec<_> = secrets
            .iter()
            .map(|s| Private::new((*s).to_owned()))
            .collect();
        Signer::new(&secrets)
            .unwrap()
            .signature(id, seconds, body.as_bytes())
    }

    /// The vector that the reference libraries of Standard Webhooks test themselves with.
    #[test]
    fn the_published_vector_comes_out() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&[secret], id, "1614265330", body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn several_secrets_give_several_signatures() {
        let both = signature(&["one", "two"], "id", "1", "{}");
        let one = signature(&["one"], "id", "1", "{}");
        let two = signature(&["two"], "id", "1", "{}");
        assert_ne!(one, two);
        assert_eq!(both, format!("{one} {two}"));
    }

    #[test]
    fn a_text_means_its_bytes() {
        // base64 of "plain text"
        assert_eq!(
            signature(&["plain text"], "id", "1", "{}"),
            signature(&["whsec_cGxhaW4gdGV4dA=="], "id", "1", "{}")
        );
    }

    #[test]
    fn a_bad_secret_is_named_by_its_place() {
        for bad in ["whsec_no*base64", "whsec_", "", "  "] {
            let secrets = [
                Private::new("good".to_owned()),
                Private::new(bad.to_owned()),
            ];
            let error = Signer::new(&secrets).err().unwrap().to_string();
            assert!(error.starts_with("sign: secret 2: "), "{error}");
            assert!(!error.contains("no*base64"), "{error}");
        }
    }
}
