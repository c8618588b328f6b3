//! A session that costs more than it may. Each further time the limit is spent is a situation of its own, so that a
//! person can let it go on for once more.

use super::settings::Limits;
use super::{Judged, not};
use hal_protocol::session::Session;

pub(super) fn judge(limits: &Limits, session: &Session, helpers_micros: u64) -> Judged {
    let spent = session.cost_micros.unwrap_or(0).saturating_add(helpers_micros);
    let times = spent.checked_div(limits.cost_micros).unwrap_or(0);
    if times == 0 {
        return not(format!("it has cost {} of {}", dollars(spent), dollars(limits.cost_micros)));
    }
    let limit = dollars(limits.cost_micros.saturating_mul(times));
    Judged::Is(format!("cost>={limit}"), format!("it has cost {}, and may cost {limit}", dollars(spent)))
}

fn dollars(micros: u64) -> String {
    format!("${:.2}", micros as f64 / 1e6)
}
