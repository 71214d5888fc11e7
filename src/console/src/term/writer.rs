//! Frames on their way to the terminal, by a thread of their own.
//!
//! A stalled SSH line blocks `write(2)`. If that blocked the loop, a kill in progress would stand
//! still with it; so the loop hands over whole frames and draws the next one only when the former
//! has left ([`FrameWriter::is_idle`]). Each frame is one write in DEC 2026 brackets.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";
const CAPACITY: usize = 64 * 1024;

/// Collects a frame's bytes; cloned into ratatui's backend.
#[derive(Debug, Clone)]
pub(crate) struct FrameWriter {
    buffer: Arc<Mutex<Vec<u8>>>,
    line: SyncSender<Vec<u8>>,
    busy: Arc<AtomicBool>,
    done: Arc<Notify>,
}

impl FrameWriter {
    /// Starts the thread that writes to `out`.
    pub(crate) fn start(out: impl AsFd + Send + 'static) -> io::Result<Self> {
        let (line, frames) = sync_channel::<Vec<u8>>(1);
        let busy = Arc::new(AtomicBool::new(false));
        let done = Arc::new(Notify::new());
        let (flag, notify) = (busy.clone(), done.clone());
        std::thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || {
                for frame in frames {
                    let _ = write_all(out.as_fd(), &frame);
                    flag.store(false, Ordering::Release);
                    notify.notify_one();
                }
            })?;
        Ok(Self {
            buffer: Arc::new(Mutex::new(Vec::with_capacity(CAPACITY))),
            line,
            busy,
            done,
        })
    }

    /// Whether the last frame has left.
    pub(crate) fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::Acquire)
    }

    /// Waits until a frame has left.
    pub(crate) async fn left(&self) {
        self.done.notified().await;
    }

    /// Sends what was collected as one frame.
    pub(crate) fn commit(&self) {
        self.send(|bytes| {
            let mut frame = Vec::with_capacity(bytes.len() + BEGIN.len() + END.len());
            frame.extend_from_slice(BEGIN);
            frame.extend_from_slice(bytes);
            frame.extend_from_slice(END);
            frame
        });
    }

    /// Sends a sequence that is no frame (the clipboard, mouse modes).
    pub(crate) fn raw(&self, sequence: &[u8]) {
        self.lock().extend_from_slice(sequence);
        self.send(<[u8]>::to_vec);
    }

    fn send(&self, wrap: impl FnOnce(&[u8]) -> Vec<u8>) {
        let frame = {
            let mut buffer = self.lock();
            if buffer.is_empty() {
                return;
            }
            let frame = wrap(&buffer);
            buffer.clear();
            frame
        };
        self.busy.store(true, Ordering::Release);
        // Blocks only if a second frame is committed while one is stuck, which callers avoid.
        let _ = self.line.send(frame);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for FrameWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Crossterm flushes several times a frame; a frame leaves by [`FrameWriter::commit`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(fd: std::os::fd::BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            // Somebody sharing the terminal made it non-blocking: wait until it takes more.
            Err(rustix::io::Errno::AGAIN) => {
                let mut poll = [rustix::event::PollFd::from_borrowed_fd(
                    fd,
                    rustix::event::PollFlags::OUT,
                )];
                let _ = rustix::event::poll(&mut poll, None);
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[tokio::test]
    async fn a_frame_is_one_bracketed_piece_and_flushing_sends_nothing() {
        let (mut read, write) = std::io::pipe().unwrap();
        let mut writer = FrameWriter::start(write).unwrap();
        writer.write_all(b"one").unwrap();
        writer.flush().unwrap();
        writer.write_all(b" two").unwrap();
        assert!(writer.is_idle());
        writer.commit();
        writer.left().await;
        writer.commit();
        writer.raw(b"\x1b]52");
        drop(writer);
        let mut got = String::new();
        read.read_to_string(&mut got).unwrap();
        assert_eq!(got, "\x1b[?2026hone two\x1b[?2026l\x1b]52");
    }

    #[tokio::test]
    async fn a_blocked_terminal_is_seen_as_busy() {
        let (read, write) = std::io::pipe().unwrap();
        let mut writer = FrameWriter::start(write).unwrap();
        writer.write_all(&vec![b'x'; 1 << 20]).unwrap();
        writer.commit();
        assert!(!writer.is_idle());
        std::thread::spawn(move || std::io::copy(&mut &read, &mut std::io::sink()));
        writer.left().await;
        assert!(writer.is_idle());
    }
}
