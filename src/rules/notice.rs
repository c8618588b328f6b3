//! Notices of the same name that become one, and come apart again.

use serde::{Deserialize, Serialize};

use hal_base::clock::Time;
use hal_protocol::notice::{Notice, NoticePart, Queued};

/// Parts whose sentences are shown; of the rest only the number is.
const SHOWN: usize = 20;

/// What a channel was told. Stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SentNotice {
    /// What the far side calls it.
    pub reference: String,
    /// When it was sent.
    pub at: Time,
}

/// A notice that waits takes another one in.
pub fn join(mut host: Queued, other: &Notice) -> Queued {
    if host.parts.is_empty() {
        host.parts.push(part(&host.notice));
    }
    host.parts.push(part(other));
    host.notice.severity = host.notice.severity.max(other.severity);
    retell(host)
}

/// What is left when one thing is not told any more; `None`: nothing.
pub fn leave(mut host: Queued, subject: &str) -> Option<Queued> {
    host.parts.retain(|part| part.subject != subject);
    let left = host.parts.first()?.clone();
    if host.parts.len() == 1 {
        host.parts.clear();
        host.notice.subject = left.subject;
        host.notice.alert = left.alert;
        host.notice.title = left.title;
        host.notice.text = left.text;
        host.notice.about = left.about;
        host.notice.count = 1;
        return Some(host);
    }
    Some(retell(host))
}

fn part(notice: &Notice) -> NoticePart {
    NoticePart {
        subject: notice.subject.clone(),
        alert: notice.alert,
        about: notice.about.clone(),
        title: notice.title.clone(),
        text: notice.text.clone(),
    }
}

fn retell(mut host: Queued) -> Queued {
    let count = host.parts.len();
    host.notice.title = format!("{} ({count} times)", host.notice.name);
    let lines: Vec<&str> = host.parts.iter().take(SHOWN).map(|part| part.text.as_str()).collect();
    host.notice.text = lines.join("\n");
    if count > SHOWN {
        host.notice.text.push_str(&format!("\nand {} more", count - SHOWN));
    }
    host.notice.count = count as u64;
    host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_joined_can_leave() {
        let notice = |subject: &str| Notice {
            name: "disk.low".to_owned(),
            subject: subject.to_owned(),
            text: format!("{subject} is full"),
            ..Notice::default()
        };
        let host = Queued { notice: notice("a"), ..Queued::default() };
        let both = join(host.clone(), &notice("b"));
        assert_eq!((both.notice.count, both.notice.text.as_str()), (2, "a is full\nb is full"));
        let rest = leave(both, "a").unwrap();
        assert_eq!(
            (rest.notice.subject.as_str(), rest.notice.text.as_str(), rest.parts.len()),
            ("b", "b is full", 0)
        );
        assert_eq!(leave(host, "a"), None);
    }
}
