//! `feed.sock`: every console gets the whole picture once and then what changes. A console that
//! does not read fast enough is cut off; nothing here can slow the breaker down.

use crate::engine::Input;
use fusebox_wire::feed::{Message, Point, Reply, Request, Section};
use fusebox_wire::{Frames, Listener};
use std::collections::VecDeque;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

/// Sections that may wait for one console before it is cut off.
const QUEUE: usize = 512;

/// Consoles at the same time.
const CONSOLES: usize = 32;

/// Points of the equity chart kept; when full, every second one goes.
const POINTS: usize = 3_600;

/// Points in one message; the frame has a limit.
const POINTS_PER_MESSAGE: usize = 500;

/// A console hears something at least this often.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long writing one message may take.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// A request of a console, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) request: Request,
    /// Uid of the console's user.
    pub(crate) uid: u32,
    pub(crate) answer: oneshot::Sender<Reply>,
}

/// What the owner of the state publishes.
#[derive(Debug)]
pub(crate) enum Publish {
    /// A section that changed.
    Section(Box<Section>),
    /// A point of the chart.
    Point(Point),
}

/// The picture as last published.
#[derive(Default)]
struct Picture {
    sections: Vec<Arc<Section>>,
    points: VecDeque<Point>,
}

impl Picture {
    fn take(&mut self, section: Arc<Section>) {
        let kind = discriminant(&*section);
        match self
            .sections
            .iter_mut()
            .find(|known| discriminant(&***known) == kind)
        {
            Some(known) => *known = section,
            None => self.sections.push(section),
        }
    }

    fn point(&mut self, point: Point) {
        if self.points.len() >= POINTS {
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.points.push_back(point);
    }

    /// Everything, in the order in which a new console wants it.
    fn whole(&self) -> Vec<Arc<Section>> {
        let rank = |section: &Section| match section {
            Section::Account(_) => 0,
            Section::Equity(_) => 2,
            _ => 1,
        };
        let mut all = self.sections.clone();
        all.sort_by_key(|section| rank(section));
        let points: Vec<Point> = self.points.iter().copied().collect();
        let history = points
            .chunks(POINTS_PER_MESSAGE)
            .map(|chunk| Arc::new(Section::History(chunk.to_vec())));
        let after_account = all.len().min(1);
        all.splice(after_account..after_account, history);
        all
    }
}

/// Serves until the publisher is gone.
pub(crate) async fn serve(
    listener: Listener,
    mut published: mpsc::Receiver<Publish>,
    input: mpsc::Sender<Input>,
) {
    let mut picture = Picture::default();
    let mut consoles: Vec<mpsc::Sender<Arc<Section>>> = Vec::new();
    let (joined_tx, mut joined) = mpsc::channel::<(Frames<UnixStream>, u32)>(CONSOLES);
    loop {
        tokio::select! {
            publish = published.recv() => match publish {
                None => return,
                Some(Publish::Point(point)) => picture.point(point),
                Some(Publish::Section(section)) => {
                    let section: Arc<Section> = Arc::from(section);
                    picture.take(Arc::clone(&section));
                    consoles.retain(|console| console.try_send(Arc::clone(&section)).is_ok());
                }
            },
            pending = listener.accept() => match pending {
                Ok(pending) => {
                    let joined = joined_tx.clone();
                    tokio::spawn(async move {
                        match pending.greet().await {
                            Ok((frames, peer)) => drop(joined.send((frames, peer.uid)).await),
                            Err(error) => tracing::warn!(%error, "a console was refused"),
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the feed socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some((frames, uid)) = joined.recv() => {
                consoles.retain(|console| !console.is_closed());
                if consoles.len() >= CONSOLES {
                    tracing::warn!("too many consoles; one is turned away");
                    continue;
                }
                let (tx, rx) = mpsc::channel(QUEUE);
                for section in picture.whole() {
                    let _ = tx.try_send(section);
                }
                consoles.push(tx);
                tokio::spawn(console(frames, uid, rx, input.clone()));
            }
        }
    }
}

/// One console, until it leaves or falls behind.
async fn console(
    mut frames: Frames<UnixStream>,
    uid: u32,
    mut sections: mpsc::Receiver<Arc<Section>>,
    input: mpsc::Sender<Input>,
) {
    let mut seq = 0;
    let (reply_tx, mut replies) = mpsc::channel::<Reply>(4);
    loop {
        let section = tokio::select! {
            section = sections.recv() => match section {
                Some(section) => section,
                None => return,
            },
            request = frames.recv::<Request>() => {
                match request {
                    Ok(request) => forward(request, uid, &input, &reply_tx),
                    Err(fusebox_wire::Error::NotUnderstood(error)) => {
                        let reply = Reply { done: false, detail: format!("not understood: {error}") };
                        let _ = reply_tx.try_send(reply);
                    }
                    Err(_) => return,
                }
                continue;
            }
            Some(reply) = replies.recv() => Arc::new(Section::Reply(reply)),
            () = tokio::time::sleep(HEARTBEAT) => Arc::new(Section::Heartbeat),
        };
        seq += 1;
        let message = Message {
            seq,
            sent_ms: crate::wall_ms(),
            section: Section::clone(&section),
        };
        match tokio::time::timeout(WRITE_LIMIT, frames.send(&message)).await {
            Ok(Ok(())) => {}
            // Too long for a frame: the console keeps what it has, which ages visibly.
            Ok(Err(error @ fusebox_wire::Error::TooLong { .. })) => {
                tracing::error!(%error, "a section is too long for the feed");
            }
            _ => return,
        }
    }
}

/// Hands a request on; its answer comes back by itself.
fn forward(request: Request, uid: u32, input: &mpsc::Sender<Input>, replies: &mpsc::Sender<Reply>) {
    let (answer, answered) = oneshot::channel();
    let ask = Ask {
        request,
        uid,
        answer,
    };
    let (input, replies) = (input.clone(), replies.clone());
    tokio::spawn(async move {
        let reply = match input.send(Input::Console(Box::new(ask))).await {
            Ok(()) => answered.await.ok(),
            Err(_) => None,
        };
        let reply = reply.unwrap_or(Reply {
            done: false,
            detail: "the breaker is stopping".to_owned(),
        });
        let _ = replies.send(reply).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_wire::Component;
    use fusebox_wire::feed::Mark;

    #[test]
    fn a_new_console_gets_the_last_of_each_section_and_the_history_early() {
        let mut picture = Picture::default();
        picture.take(Arc::new(Section::Alerts(vec![])));
        picture.take(Arc::new(Section::Marks(vec![])));
        let mark = Mark {
            symbol: "X".into(),
            price: 5.into(),
        };
        picture.take(Arc::new(Section::Marks(vec![mark.clone()])));
        for t_ms in 0..700 {
            picture.point(Point {
                t_ms,
                equity_usdt: None,
            });
        }
        let whole = picture.whole();
        assert_eq!(whole.len(), 4);
        let marks = whole.iter().find_map(|s| match &**s {
            Section::Marks(marks) => Some(marks.clone()),
            _ => None,
        });
        assert_eq!(marks, Some(vec![mark]));
        let points: usize = whole
            .iter()
            .map(|s| match &**s {
                Section::History(points) => points.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(points, 700);
    }

    #[test]
    fn the_chart_never_grows_beyond_its_limit_and_keeps_its_ends() {
        let mut picture = Picture::default();
        for t_ms in 0..20_000 {
            picture.point(Point {
                t_ms,
                equity_usdt: None,
            });
        }
        assert!(picture.points.len() <= POINTS);
        assert_eq!(picture.points.front().map(|p| p.t_ms), Some(0));
        assert_eq!(picture.points.back().map(|p| p.t_ms), Some(19_999));
    }

    #[tokio::test]
    async fn a_console_gets_the_picture_then_what_changes_and_its_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feed.sock");
        let listener = Listener::bind(&path, Component::Breaker, &[]).unwrap();
        let (publish, published) = mpsc::channel(16);
        let (input, mut inputs) = mpsc::channel(16);
        let server = tokio::spawn(serve(listener, published, input));
        let send = |section| {
            publish
                .try_send(Publish::Section(Box::new(section)))
                .unwrap()
        };
        send(Section::Alerts(vec![]));
        let mut console =
            fusebox_wire::connect(&path, Component::Console, Component::Breaker, None)
                .await
                .unwrap();
        let first: Message = console.recv().await.unwrap();
        assert_eq!((first.seq, first.section), (1, Section::Alerts(vec![])));
        send(Section::Actions(vec![]));
        let second: Message = console.recv().await.unwrap();
        assert_eq!((second.seq, second.section), (2, Section::Actions(vec![])));
        let alert = "a1".to_owned();
        console.send(&Request::Acknowledge { alert }).await.unwrap();
        let Some(Input::Console(ask)) = inputs.recv().await else {
            panic!("the request did not arrive");
        };
        let reply = Reply {
            done: true,
            detail: "ok".into(),
        };
        ask.answer.send(reply.clone()).unwrap();
        let third: Message = console.recv().await.unwrap();
        assert_eq!(third.section, Section::Reply(reply));
        console.send(&"nonsense").await.unwrap();
        let fourth: Message = console.recv().await.unwrap();
        assert!(matches!(
            fourth.section,
            Section::Reply(Reply { done: false, .. })
        ));
        server.abort();
    }
}
