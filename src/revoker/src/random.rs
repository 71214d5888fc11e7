//! Randomness of the system: nonces, ids, jitter.

use ring::rand::{SecureRandom as _, SystemRandom};

/// `N` random bytes. A system without randomness cannot make a nonce, so that is an error and
/// never zeros.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], String> {
    let mut out = [0; N];
    SystemRandom::new()
        .fill(&mut out)
        .map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(out)
}

/// A number below `limit`; 0 when there is no randomness: jitter is a courtesy.
pub(crate) fn below(limit: u64) -> u64 {
    let [byte, other] = bytes::<2>().unwrap_or_default();
    u64::from(u16::from_be_bytes([byte, other])) % limit.max(1)
}

/// A short id, 16 hexadecimal digits.
pub(crate) fn id() -> Result<String, String> {
    Ok(hex::encode(bytes::<8>()?))
}
