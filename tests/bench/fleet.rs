//! A fleet of agents that are not there: each speaks frames over a link of its own, as fast as its credit allows
//! or at a given pace.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;

use hal_o_swarm::protocol::frame::ToAgent;

use crate::peer::{Peer, batch};
use crate::world::{TOKEN, World};

/// Events in a frame at full speed.
const FULL_BATCH: u64 = 128;

/// How exact the runtime's clock is.
const CLOCK: Duration = Duration::from_millis(2);

/// The longest time a histogram can hold, in microseconds.
const LONGEST: u64 = 120_000_000;

/// An agent: its link, and how far it is.
struct Member {
    peer: Peer,
    session: String,
    /// Its frames take turns through so many sessions.
    sessions: u64,
    /// What it says instead of the plain events.
    script: Option<Script>,
    credit: usize,
    last: u64,
    /// How long its paced frames waited to be acknowledged, in microseconds.
    delays: Vec<u64>,
}

/// Writes a frame: for this incarnation and node, its events from one number to another.
pub type Script = fn(&str, &str, u64, u64) -> String;

/// Frames that are not acknowledged yet: the last number of each, and when it was due.
type Open = VecDeque<(u64, Instant)>;

/// Agents that are connected.
#[derive(Default)]
pub struct Fleet {
    members: Vec<Member>,
}

impl Fleet {
    /// Connects so many.
    pub fn join(world: &World, name: &str, agents: usize) -> Self {
        let url = world.url("ws");
        let members = world.run(async {
            let mut members = Vec::new();
            for number in 0..agents {
                let node = format!("{name}-{number:03}");
                let (peer, welcome) = Peer::join(&url, TOKEN, &node).await;
                let credit = usize::try_from(welcome.credit_bytes).unwrap_or(usize::MAX);
                let session = format!("ses-{node}");
                members.push(Member {
                    peer,
                    session,
                    sessions: 1,
                    script: None,
                    credit,
                    last: 0,
                    delays: Vec::new(),
                });
            }
            members
        });
        Self { members }
    }

    /// Lets each agent have so many sessions.
    pub fn with_sessions(mut self, sessions: u64) -> Self {
        self.members.iter_mut().for_each(|member| member.sessions = sessions);
        self
    }

    /// Lets each agent say what this script writes.
    pub fn with_script(mut self, script: Script) -> Self {
        self.members.iter_mut().for_each(|member| member.script = Some(script));
        self
    }

    /// How long the paced frames so far waited to be acknowledged, in microseconds from when each was due.
    pub fn take_delays(&mut self) -> Histogram<u64> {
        let mut seen = Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order");
        for delay in self.members.iter_mut().flat_map(|member| member.delays.drain(..)) {
            seen.saturating_record(delay);
        }
        seen
    }

    /// Says so many events altogether, as fast as the credit allows, and waits until all are acknowledged. The
    /// frames are written beforehand. Gives events a second.
    pub fn say(&mut self, world: &World, events: u64) -> f64 {
        let each = events.div_ceil(self.members.len() as u64).max(1);
        let frames: Vec<VecDeque<(u64, String)>> =
            self.members.iter().map(|member| member.frames(each)).collect();
        let members = std::mem::take(&mut self.members);
        let count = members.len() as u64;
        let begun = Instant::now();
        self.members = world.run(async move {
            let mut tasks = JoinSet::new();
            for (member, frames) in members.into_iter().zip(frames) {
                tasks.spawn(member.say_all(frames));
            }
            tasks.join_all().await
        });
        (each * count) as f64 / begun.elapsed().as_secs_f64()
    }

    /// Says this many events a second, all members together, until the time is over; whatever the other side does,
    /// each frame is sent at the time it was meant to be.
    pub async fn keep_saying(self, per_second: u64, time: Duration) -> Self {
        let every = Duration::from_millis(100);
        let each = (per_second / 10 / self.members.len() as u64).max(1);
        let mut tasks = JoinSet::new();
        for member in self.members {
            tasks.spawn(member.pace(each, every, time));
        }
        Self { members: tasks.join_all().await }
    }

    /// The same with one event in each frame, at even distances.
    pub async fn keep_saying_singly(self, per_second: u64, time: Duration) -> Self {
        let apart = Duration::from_secs_f64(1.0 / per_second as f64);
        let every = apart * u32::try_from(self.members.len()).expect("they are few");
        let (mut tasks, begun) = (JoinSet::new(), Instant::now());
        for (nth, member) in (0_u32..).zip(self.members) {
            // One after the other, not all at once.
            tasks.spawn(async move {
                sleep_until(begun + apart * nth).await;
                member.pace(1, every, time).await
            });
        }
        Self { members: tasks.join_all().await }
    }
}

impl Member {
    /// The next events, written as frames: the last number of each, and its text.
    fn frames(&self, events: u64) -> VecDeque<(u64, String)> {
        let (first, end) = (self.last + 1, self.last + events);
        (first..=end)
            .step_by(usize::try_from(FULL_BATCH).expect("it is small"))
            .map(|from| {
                let to = (from + FULL_BATCH - 1).min(end);
                (to, self.frame(from, to))
            })
            .collect()
    }

    fn frame(&self, from: u64, to: u64) -> String {
        if let Some(script) = self.script {
            return script(self.peer.incarnation(), &self.session, from, to);
        }
        let turn = match self.sessions {
            1 => self.session.clone(),
            sessions => format!("{}-{}", self.session, from / FULL_BATCH % sessions),
        };
        batch(self.peer.incarnation(), Some(&turn), from..=to)
    }

    async fn say_all(mut self, mut frames: VecDeque<(u64, String)>) -> Self {
        let mut on_the_way: VecDeque<(u64, usize)> = VecDeque::new();
        loop {
            while let Some((last, frame)) = frames.pop_front() {
                let open: usize = on_the_way.iter().map(|(_, bytes)| bytes).sum();
                if !on_the_way.is_empty() && open + frame.len() > self.credit {
                    frames.push_front((last, frame));
                    break;
                }
                on_the_way.push_back((last, frame.len()));
                self.last = last;
                self.peer.send(Message::text(frame)).await.expect("the link is open");
            }
            let Some((first, _)) = on_the_way.front() else { return self };
            let acknowledged = self.peer.hear_ack(*first).await;
            on_the_way.retain(|(last, _)| *last > acknowledged);
        }
    }

    async fn pace(mut self, each: u64, every: Duration, time: Duration) -> Self {
        let begun = Instant::now();
        let mut due = begun;
        let mut open = Open::new();
        while begun.elapsed() < time {
            let (from, to) = (self.last + 1, self.last + each);
            let frame = self.frame(from, to);
            // The runtime's clock wakes up to a millisecond late, which is not the other side's doing; what is more is.
            let late = due.elapsed();
            let meant = if late <= CLOCK { due + late } else { due };
            self.peer.send(Message::text(frame)).await.expect("the link is open");
            open.push_back((to, meant));
            self.last = to;
            due += every;
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.hear_acks(&mut open) => {}
            }
            sleep_until(due).await;
        }
        self.hear_acks(&mut open).await;
        self
    }

    /// Takes in what the other side says until all is acknowledged. Cutting it loses nothing.
    async fn hear_acks(&mut self, open: &mut Open) {
        while !open.is_empty() {
            match self.peer.hear().await {
                Ok(ToAgent::Ack(ack)) => {
                    while let Some((_, due)) = open.pop_front_if(|(last, _)| *last <= ack.seq) {
                        self.delays.push(u64::try_from(due.elapsed().as_micros()).unwrap_or(LONGEST));
                    }
                }
                Ok(_) => {}
                Err(close) => panic!("closed before all was acknowledged: {close:?}"),
            }
        }
    }
}
