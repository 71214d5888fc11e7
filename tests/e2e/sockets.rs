//! What a confused or hostile program may send to a socket: it is answered or cut off, and
//! nobody else notices.

use crate::support::{Operator, dial, kill, world};
use fusebox_demo::World;
use fusebox_wire::operator::{Reply, Request, Wish};
use fusebox_wire::{Component, Frames, append, feed, stop};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

const SOCKETS: [(&str, Component); 4] = [
    ("feed", Component::Breaker),
    ("operator", Component::Revoker),
    ("breaker", Component::Revoker),
    ("append-operator", Component::Recorder),
];

fn framed(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length, payload].concat()
}

fn hostile() -> [(&'static str, Vec<u8>); 5] {
    let long = vec![b' '; 64 * 1024 + 1];
    [
        ("a frame over 64 KiB", framed(&long)),
        ("a frame of 4 GiB, announced", vec![0xff; 4]),
        ("a frame that is not UTF-8", framed(b"{\"type\":\"\xff\"}")),
        ("JSON nested 10,000 deep", framed(&b"[".repeat(10_000))),
        ("an unknown message", framed(b"{\"type\":\"shutdown\"}")),
    ]
}

/// Sends the bytes, after the greeting or in place of it, and reads until the other side closes
/// or has answered in words.
async fn is_answered_or_cut_off(world: &World, name: &str, bytes: &[u8], greeted: bool) {
    let socket = world.root().join(format!("run/{name}.sock"));
    let mut stream = UnixStream::connect(socket).await.unwrap();
    if greeted {
        let hello = json!({"protocol": 1, "component": "console", "version": "0"});
        let hello = framed(hello.to_string().as_bytes());
        stream.write_all(&hello).await.unwrap();
    }
    // It may be closed while we still write: that is an answer, too.
    let _ = stream.write_all(bytes).await;
    let mut frames = Frames::new(stream);
    let mut answers = async || loop {
        match frames.recv::<Value>().await {
            Ok(reply) if says_no(&reply) => return,
            Ok(_) => {}
            Err(_) => return,
        }
    };
    let answered = timeout(Duration::from_secs(20), answers()).await;
    answered.unwrap_or_else(|_| panic!("{name}: no answer, and not cut off"));
}

/// In the words of each socket.
fn says_no(reply: &Value) -> bool {
    reply["type"] == "refused" || reply["section"] == "reply" && reply["data"]["done"] == false
}

/// An ordinary caller's ordinary question.
async fn serves(world: &World, name: &str, daemon: Component) {
    let socket = world.root().join(format!("run/{name}.sock"));
    let mut frames = dial(&socket, daemon).await;
    let account = "trading-1".into();
    let ordinary = async {
        match name {
            "feed" => drop(frames.recv::<feed::Message>().await.unwrap()),
            "operator" => {
                frames.send(&Request::Status).await.unwrap();
                let reply = frames.recv::<Reply>().await.unwrap();
                assert!(matches!(reply, Reply::Status(_)), "{reply:?}");
            }
            "breaker" => {
                let beat = stop::Request::Heartbeat { account, beat: 1 };
                frames.send(&beat).await.unwrap();
                let reply = frames.recv::<stop::Reply>().await.unwrap();
                assert_eq!(reply, stop::Reply::Beat);
            }
            _ => {
                frames.send(&append::Request::Status).await.unwrap();
                let reply = frames.recv::<append::Reply>().await.unwrap();
                assert!(matches!(reply, append::Reply::Status(_)), "{reply:?}");
            }
        }
    };
    let served = timeout(Duration::from_secs(20), ordinary).await;
    served.unwrap_or_else(|_| panic!("{name}: does not serve others"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_frame_keeps_a_daemon_from_serving_others() {
    let mut world = world(&["--scenario", "calm"]).await;
    let daemons = ["fusebox-breaker", "fusebox-recorder", "fusebox-revoker"];
    let pids = daemons.map(|name| world.pid(name));
    for (name, daemon) in SOCKETS {
        for (what, bytes) in hostile() {
            for greeted in [false, true] {
                println!("{name}: {what}, greeted: {greeted}");
                is_answered_or_cut_off(&world, name, &bytes, greeted).await;
            }
        }
        serves(&world, name, daemon).await;
    }
    assert_eq!(daemons.map(|name| world.pid(name)), pids);
    world.end().await;
}

/// A caller who connects and says nothing holds up nobody.
#[tokio::test(flavor = "multi_thread")]
async fn silent_callers_hold_up_nobody() {
    let mut world = world(&["--scenario", "calm"]).await;
    let mut silent = Vec::new();
    for (name, daemon) in SOCKETS {
        let socket = world.root().join(format!("run/{name}.sock"));
        silent.push((name, UnixStream::connect(&socket).await.unwrap()));
        serves(&world, name, daemon).await;
    }
    // And each is cut off: a greeting has a limit.
    for (name, mut stream) in silent {
        let mut rest = Vec::new();
        let cut = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        assert!(cut.is_ok(), "{name}: a silent caller is never cut off");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_counts_once_and_only_for_its_plan() {
    let mut world = world(&["--scenario", "calm"]).await;
    let mut operator = Operator::of(&world).await;

    // For another plan: its nonce with the touch of the first.
    let first = operator.challenge(kill()).await.unwrap();
    let touch = operator.touch(&first);
    let rotate = Wish::Rotate {
        keys: vec!["skim-1".into()],
        due: false,
        reason: "test".to_owned(),
    };
    let other = operator.challenge(rotate).await.unwrap();
    for nonce in [other.document.nonce, first.document.nonce] {
        let request = Request::Execute {
            nonce,
            assertion: touch.clone(),
        };
        let refused = operator.run(&request).await.unwrap().unwrap_err();
        let codes = ["signature", "no_challenge"];
        assert!(codes.contains(&refused.code.as_str()), "{refused:?}");
    }

    // Twice: the second time it shows the run that it started.
    let challenge = operator.challenge(kill()).await.unwrap();
    let request = Request::Execute {
        nonce: challenge.document.nonce,
        assertion: operator.touch(&challenge),
    };
    let report = operator.run(&request).await.unwrap().unwrap();
    let again = operator.run(&request).await.unwrap().unwrap();
    assert_eq!(again.id, report.id);
    let elsewhere = Operator::of(&world).await.run(&request).await;
    assert_eq!(elsewhere.unwrap().unwrap().id, report.id);
    assert_eq!(operator.runs().await.len(), 1);
    world.end().await;
}
