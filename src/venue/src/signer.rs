//! Signatures of Bybit V5 over exactly the bytes that are sent.

use fusebox_custody::Secret;
use fusebox_domain::ApiKeyId;
use ring::hmac;

/// Signs with one key. Prints only the key's short id.
#[derive(Clone)]
pub struct Signer {
    api_key: ApiKeyId,
    secret: Secret,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.api_key.short())
    }
}

impl Signer {
    /// Takes a key's two halves.
    pub fn new(api_key: ApiKeyId, secret: Secret) -> Self {
        Self { api_key, secret }
    }

    /// The public half.
    pub fn api_key(&self) -> &ApiKeyId {
        &self.api_key
    }

    /// The headers of one REST request. `payload` is the query string exactly as on the wire,
    /// without `?` (GET), or the raw body (POST); `ts_ms` is exchange time in milliseconds.
    pub fn headers(
        &self,
        ts_ms: i64,
        recv_window_ms: u32,
        payload: &str,
    ) -> [(&'static str, String); 4] {
        let (ts, window) = (ts_ms.to_string(), recv_window_ms.to_string());
        let text = [ts.as_str(), self.api_key.as_str(), &window, payload].concat();
        [
            ("X-BAPI-API-KEY", self.api_key.as_str().to_owned()),
            ("X-BAPI-TIMESTAMP", ts),
            ("X-BAPI-RECV-WINDOW", window),
            ("X-BAPI-SIGN", self.sign(text.as_bytes())),
        ]
    }

    /// The arguments of the private WebSocket's `auth`: key, expiry, signature.
    pub fn ws_auth(&self, expires_ms: i64) -> (String, i64, String) {
        let text = format!("GET/realtime{expires_ms}");
        (
            self.api_key.as_str().to_owned(),
            expires_ms,
            self.sign(text.as_bytes()),
        )
    }

    fn sign(&self, bytes: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose().as_bytes());
        hex::encode(hmac::sign(&key, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new("XXXXXXXXXX".into(), Secret::new("s3cr3t".to_owned()))
    }

    /// Computed with Python's hmac and hashlib over the same text.
    #[test]
    fn signatures_match_an_independent_implementation() {
        let headers = signer().headers(1_658_384_314_791, 5_000, "category=linear&symbol=BTCUSDT");
        assert_eq!(
            headers[3],
            (
                "X-BAPI-SIGN",
                "73c809834f7ad89334f4b95179f69a34f42a8d33d0a9858115ac9addeb03de08".to_owned()
            )
        );
        let headers = signer().headers(1_658_384_314_791, 5_000, "{}");
        assert_eq!(
            headers[3].1,
            "83e7bf8ef6a1e6201c5ad36587f1eb962ae99c27871b55c81f665776fb851fbb"
        );
        assert_eq!(
            signer().ws_auth(1_790_000_010_000).2,
            "ffdcfc65164517e4139976d15057729d7735ca5d746128b5edbdc3cdc6da865a"
        );
    }

    #[test]
    fn the_secret_is_in_no_debug_output() {
        assert_eq!(format!("{:?}", signer()), "Signer(···XXXX)");
    }
}
