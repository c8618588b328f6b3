//! A session whose conversation has grown too long to be any good: it begins anew, and hands over what it knows.

use super::settings::Limits;
use super::{Judged, not};
use hal_protocol::session::Session;

pub(super) fn judge(limits: &Limits, session: &Session) -> Judged {
    let (count, used) = (session.compactions, session.context.map_or(0, |context| context.used));
    if limits.compactions > 0 && count >= limits.compactions {
        let why = format!("it was compacted {count} times, and may be {}", limits.compactions);
        return Judged::Is(format!("compacted@{count}"), why);
    }
    if limits.context_tokens > 0 && used >= limits.context_tokens {
        let why = format!("its context holds {used} tokens, and may hold {}", limits.context_tokens);
        return Judged::Is(format!("context@{count}"), why);
    }
    not(format!("compacted {count} times, {used} tokens in its context"))
}
