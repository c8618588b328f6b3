//! A holder alone: what was said while nobody was there, writes that are not repeated, who may attach, and its bounds.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use hal_o_swarm::agent::backend::hold::client::Heard;
use hal_o_swarm::agent::backend::hold::{Channel, Found, Hold, Interrupt};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::time::Instant;

use super::stage::{HoldStage, end_of, mode_of, next, private_kib, until};
use crate::play::wait_until;
use crate::world::HAL;

const LONG: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_while_nobody_was_there_is_there_once_and_writes_are_not_repeated() {
    let stage = HoldStage::set(LONG);
    let mut held = stage.start("while read line; do echo \"heard $line\"; echo bad >&2; done; exit 7").await;
    let place = stage.place();
    assert_eq!((mode_of(&place), mode_of(&place.join("socket"))), (0o700, 0o600));
    assert_eq!(mode_of(&stage.folder.path().join("hold/key")), 0o600);
    held.hand.write(1, b"first", b"one\n").await.unwrap();
    let (said, upto) = until(&mut held, "heard one").await;
    assert_eq!(said, "heard one\n");
    held.hand.keep("what is to be known".into(), Interrupt::default());
    held.hand.acknowledge(upto);
    held.hand.write(2, b"second", b"two\n").await.unwrap();
    drop(held);

    let mut held = stage.again().await;
    assert_eq!(held.memo.as_deref(), Some("what is to be known"));
    assert_eq!((held.hand.written_before, held.record.0), (2, upto));
    held.hand.write(2, b"second", b"two\n").await.unwrap();
    held.hand.write(3, b"", b"three\n").await.unwrap();
    let (said, _) = until(&mut held, "heard three").await;
    assert_eq!(said, "heard two\nheard three\n");
    held.hand.close_input();
    assert_eq!(end_of(&mut held).await, "exit status: 7");
    drop(held);

    let mut held = stage.again().await;
    assert_eq!(held.outcome.as_deref(), Some("exit status: 7"));
    let mut notes = Vec::new();
    let outcome = loop {
        match next(&mut held).await.unwrap() {
            Heard::Part(_, Channel::Note, bytes) => notes.push(bytes[8..].to_vec()),
            Heard::Part(..) => {}
            Heard::Exit(outcome) => break outcome,
        }
    };
    assert_eq!((notes, outcome.as_str()), (vec![b"second".to_vec(), Vec::new()], "exit status: 7"));
    held.hand.forget();
    wait_until("nothing is left", || !place.exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_agent_and_a_stranger_are_refused_with_a_sentence_and_the_process_goes_on() {
    let stage = HoldStage::set(LONG);
    let mut held = stage.start("while read line; do echo $line; done").await;
    // The folder of another agent in which somebody has put this one's holder.
    let other = tempfile::tempdir().unwrap();
    let lease = watch::channel(None).1;
    let theirs = Hold::open(other.path(), LONG, lease).unwrap().by(HAL.into());
    std::os::unix::fs::symlink(stage.place(), other.path().join("hold/shell.other.1")).unwrap();
    match theirs.find("shell.other.").await.pop() {
        Some(Found::Lost { why, .. }) => assert_eq!(why, "it is held for another hal-agent"),
        other => panic!("{other:?}"),
    }
    let mut stranger = std::os::unix::net::UnixStream::connect(stage.place().join("socket")).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _closed = stranger.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    held.hand.write(1, b"", b"on\n").await.unwrap();
    assert_eq!(until(&mut held, "on").await.0, "on\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_it_is_interrupted_then_ended_with_all_it_has_started_and_says_so() {
    let stage = HoldStage::set(Duration::from_secs(2));
    let script =
        "(setsid sh -c ': WORD; sleep 1000' &); while read line; do echo \"got $line\"; done; sleep 1000";
    let held = stage.start(&script.replace("WORD", &stage.word)).await;
    held.hand.keep(String::new(), Interrupt::input("stop it\n".into()));
    wait_until("both run", || stage.processes().len() >= 2).await;
    drop(held);
    wait_until("all have ended", || stage.processes().is_empty()).await;
    let mut held = stage.again().await;
    let (said, _) = until(&mut held, "got stop it").await;
    assert_eq!(said, "got stop it\n");
    let outcome = end_of(&mut held).await;
    assert!(outcome.starts_with("no hal-agent was there for 2 s; its work was interrupted"), "{outcome}");
    held.hand.forget();
    wait_until("nothing is left", || !stage.place().exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_never_alone_for_longer_than_the_lease() {
    let stage = HoldStage::set(LONG);
    let held = stage.start("sleep 1000").await;
    stage.lease.send_replace(Some(Instant::now() + Duration::from_secs(3)));
    // Said to the holder once what was said after it is done.
    held.hand.write(1, b"", b"x\n").await.unwrap();
    drop(held);
    wait_until("it has ended", || stage.processes().is_empty()).await;
    let mut held = stage.again().await;
    let outcome = end_of(&mut held).await;
    assert!(outcome.contains("no hal-agent was there"), "{outcome}");
    held.hand.forget();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_agent_is_there_it_is_not_alone() {
    let stage = HoldStage::set(Duration::from_secs(1));
    let mut held = stage.start("i=0; while [ $i -lt 30 ]; do i=$((i+1)); sleep 0.1; echo $i; done").await;
    until(&mut held, "30").await;
    assert_eq!(end_of(&mut held).await, "exit status: 0");
    held.hand.forget();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_holder_is_killed_the_agent_knows_and_the_next_one_clears_up() {
    let stage = HoldStage::set(LONG);
    let mut held = stage.start("sleep 1000").await;
    let holder = Pid::from_raw(stage.holder(&held)).unwrap();
    kill_process(holder, Signal::KILL).unwrap();
    assert!(next(&mut held).await.is_none());
    assert!(held.hand.write(1, b"", b"x\n").await.is_err());
    match stage.hold.find(&stage.marks()).await.pop() {
        Some(Found::Lost { mark, .. }) => assert_eq!(mark, held.mark),
        other => panic!("{other:?}"),
    }
    assert!(stage.processes().is_empty() && !stage.place().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_64_mib_is_kept_whole_in_little_memory() {
    let stage = HoldStage::set(LONG);
    let mut held = stage.start("head -c 70000000 /dev/zero | tr '\\0' x; echo; echo over; sleep 1000").await;
    let holder = stage.holder(&held);
    // Nobody listens: it says as much as the record takes, and waits.
    let kept = || {
        let files = std::fs::read_dir(stage.place()).unwrap().filter_map(Result::ok);
        let records = files.filter(|file| file.file_name().to_string_lossy().starts_with("record."));
        records.map(|file| file.metadata().map_or(0, |file| file.len())).sum::<u64>()
    };
    wait_until("the record is full", || kept() > 66_000_000).await;
    let file = std::fs::read_dir(stage.place()).unwrap().filter_map(Result::ok);
    let file = file.map(|file| file.path()).find(|path| path.to_string_lossy().contains("record.")).unwrap();
    assert_eq!(mode_of(&file), 0o600);
    let full = private_kib(holder);
    let mut bytes = 0;
    let is_over = |bytes: &[u8]| bytes.ends_with(b"over\n");
    loop {
        match next(&mut held).await.unwrap() {
            Heard::Part(next, _, part) => {
                bytes += part.len();
                held.hand.acknowledge(next);
                if is_over(&part) {
                    break;
                }
            }
            Heard::Exit(outcome) => panic!("{outcome}"),
        }
    }
    assert_eq!(bytes, 70_000_000 + "\nover\n".len());
    wait_until("the record is empty", || kept() == 0).await;
    eprintln!(
        "private memory of a holder: {full} KiB with a full record, {} KiB after it",
        private_kib(holder)
    );
    kill_process(Pid::from_raw(held.process).unwrap(), Signal::KILL).unwrap();
    end_of(&mut held).await;
    held.hand.forget();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_said_and_leaves_nothing() {
    let stage = HoldStage::set(LONG);
    let command = std::process::Command::new("/nowhere/at-all");
    let error = stage.hold.start(&command, &format!("{}1", stage.marks())).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    wait_until("nothing is left", || !stage.place().exists()).await;
}

/// What a holder of the first release says, as its bytes were recorded.
const FIRST_RELEASE: &str = include_str!("../../fixtures/hold/version-1.txt");

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_of_the_first_release_is_spoken_to() {
    let stage = HoldStage::set(LONG);
    std::fs::create_dir(stage.place()).unwrap();
    let listener = UnixListener::bind(stage.place().join("socket")).unwrap();
    let old = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let hello = frame(&mut stream);
        let fields = ["{\"hello\":{", "\"version\":", "\"oldest\":1", "\"agent\":", "\"key\":"];
        assert!(fields.iter().all(|field| hello.contains(field)), "{hello}");
        for line in FIRST_RELEASE.lines() {
            stream.write_all(&[&(line.len() as u32).to_be_bytes(), line.as_bytes()].concat()).unwrap();
        }
        while !frame(&mut stream).contains(r#"{"read":{"from":4,"upto":"#) {}
    });
    let mut held = stage.again().await;
    assert_eq!((held.process, held.record, held.hand.written_before), (4242, (4, 9), 2));
    assert_eq!(held.memo.as_deref(), Some("kept"));
    assert_eq!(end_of(&mut held).await, "exit status: 0");
    old.join().unwrap();
}

fn frame(stream: &mut impl Read) -> String {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}
