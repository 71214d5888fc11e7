//! The SSH agent's protocol, as far as a touch needs it: list the keys, have one sign.
//! (draft-miller-ssh-agent; OpenSSH's `PROTOCOL.u2f` for the form of the answer.)

use crate::{Error, Offer};
use fusebox_touch::{Assertion, Challenge};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// OpenSSH's own limit on an agent's message.
const MAX_MESSAGE: usize = 256 * 1024;
/// Listing needs no touch; an agent that takes longer is stuck behind another request.
const LIST_LIMIT: Duration = Duration::from_secs(5);

/// Asks the agent behind `socket` for a touch of one of the offered credentials, and waits at
/// most `limit` (the rest of the challenge's life) for it.
///
/// # Errors
/// [`Error`], each with what to do next. Nothing is approved by an error.
pub async fn sign(
    socket: &Path,
    challenge: &Challenge,
    offers: &[Offer],
    limit: Duration,
) -> Result<Assertion, Error> {
    let unreachable = |source| Error::AgentUnreachable {
        path: socket.into(),
        source,
    };
    let mut agent = UnixStream::connect(socket).await.map_err(unreachable)?;
    let held = tokio::time::timeout(LIST_LIMIT, list(&mut agent))
        .await
        .map_err(|_| Error::TimedOut)??;
    let (offer, blob) = offers
        .iter()
        .map(|offer| (offer, offer.public_key.to_ssh_blob(offer.application)))
        .find(|(_, blob)| held.contains(blob))
        .ok_or(Error::NotInAgent {
            offered: offers.len(),
            held: held.len(),
        })?;
    let mut request = vec![SIGN_REQUEST];
    put(&mut request, &blob);
    put(&mut request, &challenge.blob());
    request.extend_from_slice(&0u32.to_be_bytes());
    let answer = tokio::time::timeout(limit, ask(&mut agent, &request))
        .await
        .map_err(|_| Error::TimedOut)??;
    let signature = match answer.split_first() {
        Some((&SIGN_RESPONSE, rest)) => Cursor(rest).take().ok_or(Error::AgentConfused {
            what: "a broken signature",
        })?,
        Some((&FAILURE, _)) => return Err(Error::AgentRefused),
        _ => {
            return Err(Error::AgentConfused {
                what: "neither a signature nor a refusal",
            });
        }
    };
    Ok(Assertion::from_agent(
        offer.credential_id.clone(),
        offer.application,
        &signature,
    )?)
}

/// The public keys that the agent holds.
async fn list(agent: &mut UnixStream) -> Result<Vec<Vec<u8>>, Error> {
    let confused = || Error::AgentConfused {
        what: "a broken list of keys",
    };
    let answer = ask(agent, &[REQUEST_IDENTITIES]).await?;
    let Some((&IDENTITIES_ANSWER, rest)) = answer.split_first() else {
        return Err(confused());
    };
    let (count, rest) = rest.split_first_chunk::<4>().ok_or_else(confused)?;
    let mut cursor = Cursor(rest);
    let mut keys = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        keys.push(cursor.take().ok_or_else(confused)?);
        cursor.take().ok_or_else(confused)?; // the comment
    }
    Ok(keys)
}

async fn ask(agent: &mut UnixStream, request: &[u8]) -> Result<Vec<u8>, Error> {
    let lost = |_| Error::AgentConfused {
        what: "the connection ended",
    };
    let mut framed = Vec::new();
    put(&mut framed, request);
    agent.write_all(&framed).await.map_err(lost)?;
    let len = agent.read_u32().await.map_err(lost)? as usize;
    if len > MAX_MESSAGE {
        return Err(Error::AgentConfused {
            what: "a message over 256 KiB",
        });
    }
    let mut answer = vec![0; len];
    agent.read_exact(&mut answer).await.map_err(lost)?;
    Ok(answer)
}

/// Appends a length-prefixed string. Everything put here is far below 4 GiB.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// The next length-prefixed string.
    fn take(&mut self) -> Option<Vec<u8>> {
        let (len, rest) = self.0.split_first_chunk::<4>()?;
        let (string, rest) =
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
        self.0 = rest;
        Some(string.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soft::tests::{challenge, soft_key};

    /// An agent that holds one security key: the software key behind the real protocol.
    async fn agent(refuse: bool, dir: &tempfile::TempDir) -> std::path::PathBuf {
        let path = dir.path().join("agent.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let (mut key, offer) = soft_key(dir);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let blob = offer.public_key.to_ssh_blob(offer.application);
            loop {
                let Ok(len) = stream.read_u32().await else {
                    return;
                };
                let mut request = vec![0; len as usize];
                stream.read_exact(&mut request).await.unwrap();
                let mut answer = Vec::new();
                match request[0] {
                    REQUEST_IDENTITIES => {
                        answer.push(IDENTITIES_ANSWER);
                        answer.extend_from_slice(&2u32.to_be_bytes());
                        for key in [&b"another key"[..], &blob] {
                            put(&mut answer, key);
                            put(&mut answer, b"comment");
                        }
                    }
                    _ if refuse => answer.push(FAILURE),
                    _ => {
                        let mut cursor = Cursor(&request[1..]);
                        assert_eq!(cursor.take().unwrap(), blob);
                        let assertion = key
                            .sign(&challenge(), std::slice::from_ref(&offer))
                            .unwrap();
                        assert_eq!(cursor.take().unwrap(), challenge().blob());
                        let mut signature = Vec::new();
                        put(&mut signature, b"sk-ssh-ed25519@openssh.com");
                        put(&mut signature, &assertion.signature);
                        signature.extend_from_slice(&assertion.auth_data[32..]);
                        answer.push(SIGN_RESPONSE);
                        put(&mut answer, &signature);
                    }
                }
                let mut framed = Vec::new();
                put(&mut framed, &answer);
                stream.write_all(&framed).await.unwrap();
            }
        });
        path
    }

    #[tokio::test]
    async fn the_agents_signature_becomes_an_assertion_that_verifies() {
        let dir = tempfile::tempdir().unwrap();
        let socket = agent(false, &dir).await;
        let offer = soft_key(&dir).1;
        let assertion = sign(
            &socket,
            &challenge(),
            std::slice::from_ref(&offer),
            LIST_LIMIT,
        )
        .await
        .unwrap();
        assert_eq!(assertion.credential_id, offer.credential_id);
        let signed = challenge().signed_bytes(&assertion.auth_data);
        ring::signature::UnparsedPublicKey::new(
            &ring::signature::ED25519,
            offer.public_key.as_bytes(),
        )
        .verify(&signed, &assertion.signature)
        .unwrap();
    }

    #[tokio::test]
    async fn a_refusal_a_missing_key_and_a_missing_agent_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let socket = agent(true, &dir).await;
        let offer = soft_key(&dir).1;
        let refused = sign(
            &socket,
            &challenge(),
            std::slice::from_ref(&offer),
            LIST_LIMIT,
        )
        .await;
        assert!(matches!(refused, Err(Error::AgentRefused)));
        let dir = tempfile::tempdir().unwrap();
        let socket = agent(false, &dir).await;
        assert!(matches!(
            sign(&socket, &challenge(), &[], LIST_LIMIT).await,
            Err(Error::NotInAgent {
                offered: 0,
                held: 2
            })
        ));
        let nowhere = dir.path().join("nowhere");
        assert!(matches!(
            sign(&nowhere, &challenge(), &[offer], LIST_LIMIT).await,
            Err(Error::AgentUnreachable { .. })
        ));
    }
}
