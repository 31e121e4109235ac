//! Links to pictures: signed, so that only who was given one can fetch it, and expiring with the pictures themselves.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Clock, Sha256, Timestamp};
use hmac::{Hmac, KeyInit as _, Mac as _};

/// The path of a picture that stands for none.
pub(crate) const NO_PICTURE: &str = "/images/none";

/// A link to a picture that stands for none. It is not signed, as it shows no person, and does not expire.
pub(crate) fn no_picture(public_url: &str) -> String {
    format!("{}{NO_PICTURE}", public_url.trim_end_matches('/'))
}

/// Signs links and checks them.
pub struct Links {
    public_url: String,
    mac: Hmac<sha2::Sha256>,
    lifetime: Duration,
    clock: Arc<dyn Clock>,
}

/// Why a link is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is not one of ours.
    #[error("the link is not signed by this gateway")]
    Forged,
    /// It was one of ours.
    #[error("the link has expired")]
    Expired,
}

impl Links {
    /// Links below `public_url` that live for `lifetime`, signed with `key`.
    pub fn new(
        public_url: &str,
        key: &[u8; 32],
        lifetime: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        // A shorter key is filled up, so every 32 bytes are a key.
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        let mac = Hmac::<sha2::Sha256>::new(&block.into());
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            mac,
            lifetime,
            clock,
        }
    }

    /// `<public_url>/images/<sha256>?exp=<seconds since 1970>&sig=<hex>`.
    pub fn sign(&self, sha256: Sha256) -> String {
        let expires = self.clock.now().plus(self.lifetime).as_millis() / 1000;
        let signature = Sha256(self.mac(sha256, expires).finalize().into_bytes().into());
        format!(
            "{}/images/{sha256}?exp={expires}&sig={signature}",
            self.public_url
        )
    }

    /// Checks the parts of a link.
    ///
    /// # Errors
    /// When the signature is not ours, or the link's time is over.
    pub fn verify(&self, sha256: Sha256, expires: &str, signature: &str) -> Result<(), LinkError> {
        let seconds: i64 = expires.parse().map_err(|_| LinkError::Forged)?;
        let Sha256(signature) = signature.parse().map_err(|_| LinkError::Forged)?;
        self.mac(sha256, seconds)
            .verify_slice(&signature)
            .map_err(|_| LinkError::Forged)?;
        let expires = Timestamp::from_seconds(seconds).map_err(|_| LinkError::Forged)?;
        if expires < self.clock.now() {
            Err(LinkError::Expired)
        } else {
            Ok(())
        }
    }

    fn mac(&self, sha256: Sha256, expires: i64) -> Hmac<sha2::Sha256> {
        let mut mac = self.mac.clone();
        mac.update(&sha256.0);
        mac.update(&expires.to_be_bytes());
        mac
    }
}
