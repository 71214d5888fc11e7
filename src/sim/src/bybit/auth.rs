//! Who calls: signature, time window, key, address — in the order in which the exchange is believed to check.
//!
//! `Assumption`: time before key before signature before address before scope before rate. A client with a wrong clock
//! therefore sees 10002 and not 10003, and must not take it for a dead key.

use ring::hmac;

use super::error::ApiError;
use super::keys::{Key, Keys};
use crate::http::{Request, decode};

/// Being this far ahead of the exchange fails whatever the window is, ms.
const FAST_MS: i64 = 1_000;
const DEFAULT_WINDOW_MS: i64 = 5_000;

/// Lower-case hex HMAC-SHA256.
pub(crate) fn sign(secret: &str, payload: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hex::encode(hmac::sign(&key, payload))
}

fn verify(secret: &str, payload: &[u8], signature: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hex::decode(signature).is_ok_and(|given| hmac::verify(&key, payload, &given).is_ok())
}

/// The key that signed a request, if all is well with it.
pub(crate) fn authenticate<'k>(
    keys: &'k Keys,
    request: &Request,
    now_ms: i64,
) -> Result<&'k Key, ApiError> {
    let header = |name| request.header(name).unwrap_or_default();
    let (api_key, stamp, given) = (
        header("x-bapi-api-key"),
        header("x-bapi-timestamp"),
        header("x-bapi-sign"),
    );
    let empty: Vec<&str> = [
        ("apiTimestamp", stamp),
        ("apiKey", api_key),
        ("apiSignature", given),
    ]
    .iter()
    .filter(|(_, value)| value.is_empty())
    .map(|(name, _)| *name)
    .collect();
    if !empty.is_empty() {
        return Err(ApiError::new(
            10001,
            format!("empty value: {}[]", empty.join("[] ")),
        ));
    }
    let window = header("x-bapi-recv-window");
    check_time(stamp, window, now_ms)?;
    let key = keys.find(api_key).ok_or_else(|| ApiError::known(10003))?;
    if key.expired(now_ms) {
        return Err(ApiError::known(33004));
    }
    let signed = |payload: &[u8]| {
        let text = [
            stamp.as_bytes(),
            api_key.as_bytes(),
            window.as_bytes(),
            payload,
        ]
        .concat();
        verify(&key.secret, &text, given)
    };
    let good = match request.method.as_str() {
        // Some clients sign the query as it was before they escaped it.
        "GET" => signed(request.query.as_bytes()) || signed(decode(&request.query).as_bytes()),
        _ => signed(&request.body),
    };
    if !good {
        return Err(ApiError::known(10004));
    }
    if !key.allows(request.peer.ip()) {
        return Err(ApiError::known(10010));
    }
    Ok(key)
}

/// `server_time − recv_window ≤ timestamp < server_time + 1000`.
fn check_time(stamp: &str, window: &str, now_ms: i64) -> Result<(), ApiError> {
    let wrong = || ApiError::params("the timestamp or recv_window is not a number");
    let at: i64 = stamp.parse().map_err(|_| wrong())?;
    let window: i64 = match window {
        "" => DEFAULT_WINDOW_MS,
        text => text.parse().map_err(|_| wrong())?,
    };
    if at >= now_ms.saturating_sub(window) && at < now_ms.saturating_add(FAST_MS) {
        return Ok(());
    }
    let msg = format!(
        "invalid request, please check your server timestamp or recv_window param. \
         req_timestamp[{at}],server_timestamp[{now_ms}],recv_window[{window}]"
    );
    Err(ApiError::new(10002, msg))
}

/// The key of a WebSocket `auth` message: `[key, expires_ms, signature of "GET/realtime" and expires_ms]`.
pub(crate) fn authenticate_ws<'k>(
    keys: &'k Keys,
    (api_key, expires, signature): (&str, &str, &str),
    peer: std::net::IpAddr,
    now_ms: i64,
) -> Result<&'k Key, ApiError> {
    if expires.parse::<i64>().map_or(true, |at| at <= now_ms) {
        return Err(ApiError::new(10001, "Params Error"));
    }
    let key = keys
        .find(api_key)
        .ok_or_else(|| ApiError::new(10003, "Invalid apikey"))?;
    if key.expired(now_ms) {
        return Err(ApiError::known(33004));
    }
    if !verify(
        &key.secret,
        format!("GET/realtime{expires}").as_bytes(),
        signature,
    ) {
        return Err(ApiError::known(10004));
    }
    if !key.allows(peer) {
        return Err(ApiError::known(10010));
    }
    Ok(key)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::bybit::keys::{NewKey, Role};
    use hyper::header::{HeaderName, HeaderValue};

    const NOW: i64 = 1_790_000_000_000;

    /// A signed request as a client would send it.
    pub(crate) fn signed(key: &Key, method: &str, path: &str, payload: &str, at: i64) -> Request {
        let text = format!("{at}{}5000{payload}", key.api_key);
        let headers = [
            ("x-bapi-api-key", key.api_key.clone()),
            ("x-bapi-timestamp", at.to_string()),
            ("x-bapi-recv-window", "5000".to_owned()),
            ("x-bapi-sign", sign(&key.secret, text.as_bytes())),
        ];
        let headers = headers.map(|(n, v)| {
            (
                HeaderName::from_static(n),
                HeaderValue::from_str(&v).unwrap(),
            )
        });
        let (query, body) = if method == "GET" {
            (payload, "")
        } else {
            ("", payload)
        };
        Request {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            headers: headers.into_iter().collect(),
            body: body.to_owned().into(),
            peer: ([127, 0, 0, 1], 9).into(),
            lie: false,
        }
    }

    fn keys() -> (Keys, Key) {
        let mut keys = Keys::demo(1, 1, 3, NOW);
        let key = keys.add(NewKey::of(Role::Trade, "bot".into(), 100_001), NOW);
        (keys, key)
    }

    fn code(keys: &Keys, request: &Request, now_ms: i64) -> i64 {
        authenticate(keys, request, now_ms).map_or_else(|e| e.code, |_| 0)
    }

    #[test]
    fn a_vector_of_another_hmac_implementation_verifies() {
        // python3: hmac.new(b"secret", b"1790000000000KEY5000a=1", "sha256").hexdigest()
        let expected = "3dba38dc348b0f958f3fbb70fdbd0194ef2c449ce70258a3ba4d977ce1ae40b0";
        assert_eq!(sign("secret", b"1790000000000KEY5000a=1"), expected);
    }

    #[test]
    fn the_raw_bytes_are_what_is_signed() {
        let (keys, key) = keys();
        let body = "{\"symbol\": \"BTCUSDT\",  \"b\":1}";
        assert_eq!(
            code(
                &keys,
                &signed(&key, "POST", "/v5/order/create", body, NOW),
                NOW
            ),
            0
        );
        let mut tampered = signed(&key, "POST", "/v5/order/create", body, NOW);
        tampered.body = "{\"symbol\":\"BTCUSDT\",\"b\":1}".into();
        assert_eq!(code(&keys, &tampered, NOW), 10004);
        assert_eq!(
            code(
                &keys,
                &signed(&key, "GET", "/x", "cursor=1%3A2%2C1", NOW),
                NOW
            ),
            0
        );
    }

    #[test]
    fn a_second_fast_fails_and_a_window_late_fails() {
        let (keys, key) = keys();
        let at = |offset| code(&keys, &signed(&key, "GET", "/x", "", NOW + offset), NOW);
        assert_eq!(
            [at(999), at(1_000), at(-5_000), at(-5_001)],
            [0, 10002, 0, 10002]
        );
        let error =
            authenticate(&keys, &signed(&key, "GET", "/x", "", NOW + 2_000), NOW).unwrap_err();
        assert!(error.msg.contains(
            "req_timestamp[1790000002000],server_timestamp[1790000000000],recv_window[5000]"
        ));
    }

    #[test]
    fn checks_come_in_order_time_key_expiry_signature_address() {
        let (mut keys, key) = keys();
        let good = |at| signed(&key, "GET", "/x", "", at);
        let mut unsigned = good(NOW);
        unsigned.headers.remove("x-bapi-sign");
        assert_eq!(code(&keys, &unsigned, NOW), 10001);
        let far = NOW + 91 * 86_400_000;
        assert_eq!(code(&keys, &good(far), far), 33004);
        keys.find_mut(&key.api_key).unwrap().ips = vec![[203, 0, 113, 7].into()];
        assert_eq!(code(&keys, &good(NOW), NOW), 10010);
        keys.find_mut(&key.api_key).unwrap().deleted_ms = Some(NOW);
        assert_eq!(code(&keys, &good(NOW), NOW), 10003);
        assert_eq!(code(&keys, &good(NOW + 5_000), NOW), 10002);
    }

    #[test]
    fn a_websocket_auth_must_not_have_expired() {
        let (keys, key) = keys();
        let try_at = |expires: i64| {
            let expires = expires.to_string();
            let signature = sign(&key.secret, format!("GET/realtime{expires}").as_bytes());
            authenticate_ws(
                &keys,
                (&key.api_key, &expires, &signature),
                [127, 0, 0, 1].into(),
                NOW,
            )
            .map_or_else(|e| e.code, |_| 0)
        };
        assert_eq!((try_at(NOW + 1), try_at(NOW)), (0, 10001));
    }
}
