//! A fleet of agents that are not there: each speaks frames over a link of its own, as fast as its credit allows
//! or at a given pace.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;

use hal_o_swarm::protocol::frame::ToAgent;

use crate::peer::{Peer, batch};
use crate::world::{TOKEN, World};

/// Events in a frame at full speed.
const FULL_BATCH: u64 = 128;

/// An agent: its link, and how far it is.
struct Member {
    peer: Peer,
    session: String,
    credit: usize,
    last: u64,
}

/// Agents that are connected.
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
                members.push(Member { peer, session: format!("ses-{node}"), credit, last: 0 });
            }
            members
        });
        Self { members }
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
}

impl Member {
    /// The next events, written as frames: the last number of each, and its text.
    fn frames(&self, events: u64) -> VecDeque<(u64, String)> {
        let (first, end) = (self.last + 1, self.last + events);
        (first..=end)
            .step_by(usize::try_from(FULL_BATCH).expect("it is small"))
            .map(|from| {
                let to = (from + FULL_BATCH - 1).min(end);
                (to, batch(self.peer.incarnation(), Some(&self.session), from..=to))
            })
            .collect()
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
        while begun.elapsed() < time {
            let (from, to) = (self.last + 1, self.last + each);
            let frame = batch(self.peer.incarnation(), Some(&self.session), from..=to);
            self.peer.send(Message::text(frame)).await.expect("the link is open");
            self.last = to;
            due += every;
            tokio::select! {
                () = sleep_until(due) => {}
                () = listen(&mut self.peer) => {}
            }
            sleep_until(due).await;
        }
        self.peer.hear_ack(self.last).await;
        self
    }
}

/// Takes in what the other side says, so that its acknowledgements do not pile up.
async fn listen(peer: &mut Peer) {
    while let Ok(ToAgent::Ack(_) | ToAgent::Watch(_)) = peer.hear().await {}
}
