use crate::Error;
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest frame, in bytes, without its length.
pub const MAX_FRAME: usize = 64 * 1024;

/// Reads and writes frames on a byte stream.
#[derive(Debug)]
pub struct Frames<S> {
    stream: S,
    /// Bytes received and not yet returned; makes `recv` safe to cancel in a `select!`.
    pending: Vec<u8>,
}

impl<S> Frames<S> {
    /// Takes over a stream.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            pending: Vec::new(),
        }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> Frames<S> {
    /// Waits for one message. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`Error::Closed`] at a clean end; after [`Error::NotUnderstood`] and [`Error::NotUtf8`] the
    /// next frame can still be read, after every other error the connection is over.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let payload = self.recv_bytes().await?;
        let text = std::str::from_utf8(&payload).map_err(|e| Error::NotUtf8 {
            at: e.valid_up_to(),
        })?;
        serde_json::from_str(text).map_err(Error::NotUnderstood)
    }

    async fn recv_bytes(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            let want = match self.pending.first_chunk::<4>() {
                Some(head) => {
                    let len = u32::from_be_bytes(*head) as usize;
                    if len > MAX_FRAME {
                        return Err(Error::TooLong { len });
                    }
                    4 + len
                }
                None => 4,
            };
            if want > 4 && self.pending.len() >= want || want == 4 && self.pending.len() >= 4 {
                let rest = self.pending.split_off(want);
                let frame = std::mem::replace(&mut self.pending, rest);
                return Ok(frame.get(4..).unwrap_or_default().to_vec());
            }
            let read = self
                .stream
                .read_buf(&mut self.pending)
                .await
                .map_err(Error::io("reading from a socket"))?;
            if read == 0 {
                return Err(match self.pending.len() {
                    0 => Error::Closed,
                    got => Error::Truncated { got, want },
                });
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Frames<S> {
    /// Sends one message.
    ///
    /// # Errors
    /// [`Error::TooLong`] before anything is written; [`Error::Io`] when the peer is gone.
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), Error> {
        let bytes = encode(message)?;
        self.stream
            .write_all(&bytes)
            .await
            .map_err(Error::io("writing to a socket"))?;
        self.stream
            .flush()
            .await
            .map_err(Error::io("writing to a socket"))
    }
}

/// One message as it goes over the wire: length and JSON.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    let json = serde_json::to_vec(message).map_err(Error::NotWritable)?;
    if json.len() > MAX_FRAME {
        return Err(Error::TooLong { len: json.len() });
    }
    let len = u32::try_from(json.len()).map_err(|_| Error::TooLong { len: json.len() })?;
    let mut out = Vec::with_capacity(4 + json.len());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&json);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    async fn read(bytes: &[u8]) -> Result<Value, Error> {
        Frames::new(bytes).recv().await
    }

    fn framed(payload: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(payload);
        out
    }

    #[tokio::test]
    async fn what_is_sent_is_received_one_message_at_a_time() {
        let (a, b) = tokio::io::duplex(7);
        let (mut a, mut b) = (Frames::new(a), Frames::new(b));
        let writer = tokio::spawn(async move {
            a.send(&json!({"n": 1})).await.unwrap();
            a.send(&json!(["two", 2])).await.unwrap();
        });
        assert_eq!(b.recv::<Value>().await.unwrap(), json!({"n": 1}));
        assert_eq!(b.recv::<Value>().await.unwrap(), json!(["two", 2]));
        writer.await.unwrap();
        assert!(matches!(b.recv::<Value>().await, Err(Error::Closed)));
    }

    #[tokio::test]
    async fn hostile_frames_are_named_and_never_panic() {
        assert!(matches!(
            read(&[0xff; 8]).await,
            Err(Error::TooLong { len: 0xffff_ffff })
        ));
        assert!(matches!(
            read(&framed(b"\"\xff\"")).await,
            Err(Error::NotUtf8 { at: 1 })
        ));
        assert!(matches!(
            read(&framed(b"{\"a\":")).await,
            Err(Error::NotUnderstood(_))
        ));
        assert!(matches!(
            read(&framed(b"")).await,
            Err(Error::NotUnderstood(_))
        ));
        assert!(matches!(
            read(&[0, 0, 0, 9, b'1']).await,
            Err(Error::Truncated { got: 5, want: 13 })
        ));
        assert!(matches!(
            read(&[0, 0]).await,
            Err(Error::Truncated { got: 2, want: 4 })
        ));
        let bomb = framed("[".repeat(10_000).as_bytes());
        assert!(matches!(read(&bomb).await, Err(Error::NotUnderstood(_))));
    }

    #[tokio::test]
    async fn a_message_over_the_limit_is_not_sent() {
        let mut frames = Frames::new(tokio::io::sink());
        let long = "x".repeat(MAX_FRAME);
        assert!(matches!(
            frames.send(&long).await,
            Err(Error::TooLong { .. })
        ));
    }
}
