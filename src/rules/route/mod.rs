//! Routes: which channel is told what, and when.
//!
//! - `matcher`: what a route is for. `facts`, `words`: what it can ask about. `types`, `index`: which routes an event may
//!   concern. `hours`: when nobody is told.
//! - `silence`: what nobody is told for a while.

pub mod facts;
pub mod hours;
pub mod index;
pub mod matcher;
pub mod silence;
mod types;
pub mod words;

use std::time::Duration;

use self::facts::{AlertFacts, RouteFacts};
use self::hours::Quiet;
use self::matcher::{Matcher, RouteScope};
use self::words::RAISED_BY;
use hal_base::clock::Time;
use hal_protocol::alert::Severity;
use hal_protocol::notice::{Notice, NoticeKind};

/// The alert of a channel that delivers nothing.
pub const CHANNEL_FAILING: &str = "channel.failing";

/// The alert of a notice that was given up.
pub const NOTICE_UNDELIVERED: &str = "notice.undelivered";

/// What is told everywhere but to a pager when no route is there: what matters much, and who waits for an answer.
pub const DEFAULT: &str = "alert.severity >= high || alert.name == \"session.waiting\"";

/// What pages when no route is there, nor any other channel.
pub const DEFAULT_ALERTS: &str = "alert.severity >= high && alert.name != \"session.waiting\"";

/// What pages when no route is there.
pub const DEFAULT_PAGE: &str = "alert.severity >= critical";

/// What is told only where people talk when no route is there.
pub const DEFAULT_MILD: &str = "alert.severity < high && alert.name != \"session.waiting\"";

/// Everything that decides who is told what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routing {
    /// Every route, in the order of the file.
    pub routes: Vec<Route>,
    /// Every configured channel.
    pub channels: Vec<Way>,
}

/// A channel, as far as routes need to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Its name, as in the configuration.
    pub name: String,
    /// Notices of the same name within this time are one.
    pub group: Duration,
    /// Whether it wakes people up: a question of a session never goes there unless a route names it.
    pub pages: bool,
}

/// What one alert of a route is about: events that say the same are one alert while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dedupe {
    /// One for each session.
    Session,
    /// One for each node.
    Node,
    /// One for each project.
    Project,
    /// One.
    Route,
}

/// A rule that carries what happens to channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name, as in the configuration.
    pub name: String,
    /// What it is for.
    pub matcher: Matcher,
    /// To whom; empty: to every channel.
    pub channels: Vec<String>,
    /// How much it matters, when the route raises an alert itself.
    pub severity: Severity,
    /// It must be so for so long before anybody is told.
    pub dwell: Duration,
    /// What was told is not told again within this.
    pub cooldown: Duration,
    /// What counts as the same.
    pub dedupe: Dedupe,
    /// When nobody is told.
    pub quiet: Option<Quiet>,
}

/// Why a notice waits, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeHold {
    /// Until when; a time that is past: it does not wait.
    pub until: Time,
    /// Why; empty: it does not wait.
    pub why: String,
}

impl NoticeHold {
    /// The later of the two.
    #[must_use]
    pub fn or_until(self, until: Time, why: &str) -> Self {
        if until > self.until { Self { until, why: why.to_owned() } } else { self }
    }
}

/// Whether a route is for something, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMatch {
    /// It is.
    Fits,
    /// It is not, for this reason.
    Not(String),
}

impl Route {
    /// The name of the alert that it raises.
    pub fn alert(&self) -> String {
        format!("{RAISED_BY}{}", self.name)
    }

    /// True when it raises alerts itself, from what happens or from how things stand.
    pub fn raises(&self) -> bool {
        self.matcher.scope() != RouteScope::Alert
    }

    /// Whether an alert of this name is carried by this route.
    pub fn carries(&self, facts: &RouteFacts) -> RouteMatch {
        let Some(alert) = &facts.alert else { return RouteMatch::Not("it is not an alert".to_owned()) };
        if alert.name == self.alert() {
            return RouteMatch::Fits;
        }
        if self.raises() {
            return RouteMatch::Not(format!(
                "it carries only alerts that it raises itself ({})",
                self.alert()
            ));
        }
        self.verdict(facts)
    }

    /// Whether what happens is what the route is for.
    pub fn verdict(&self, facts: &RouteFacts) -> RouteMatch {
        match self.matcher.is_so(facts) {
            Ok(true) => RouteMatch::Fits,
            Ok(false) => RouteMatch::Not(format!("does not match {}", self.matcher.text())),
            Err(why) => RouteMatch::Not(format!("{} cannot be evaluated here: {why}", self.matcher.text())),
        }
    }

    /// What the alert of this route is about.
    pub fn about<'a>(&self, node: &'a str, session: &'a str, project: &'a str) -> &'a str {
        match self.dedupe {
            Dedupe::Session if session.is_empty() => node,
            Dedupe::Session => session,
            Dedupe::Node => node,
            Dedupe::Project => project,
            Dedupe::Route => "",
        }
    }

    fn hold(&self, severity: Severity, last: Option<Time>, at: Time) -> NoticeHold {
        let mut hold = NoticeHold::default();
        if !self.dwell.is_zero() {
            hold = hold.or_until(at.plus(self.dwell), "it must last for a while first (dwell)");
        }
        if let Some(last) = last {
            hold = hold.or_until(last.plus(self.cooldown), "the same was sent a short while ago (cooldown)");
        }
        hold = self.calm(hold, severity, at);
        // A wait that is over is none.
        if hold.until <= at { NoticeHold::default() } else { hold }
    }

    /// A wait that ends in the quiet hours lasts as long as they do.
    fn calm(&self, hold: NoticeHold, severity: Severity, at: Time) -> NoticeHold {
        let quiet = self.quiet.as_ref().filter(|quiet| severity < quiet.except);
        match quiet.and_then(|quiet| quiet.until(at.max(hold.until))) {
            Some(until) => hold.or_until(until, "held back (quiet hours)"),
            None => hold,
        }
    }
}

impl Routing {
    /// Which channels are told this, and when. `last` tells when a channel was last told the same.
    pub fn places(
        &self,
        notice: &Notice,
        facts: &RouteFacts,
        last: impl Fn(&str) -> Option<Time>,
        at: Time,
    ) -> Vec<(String, NoticeHold)> {
        let fitting: Vec<&Route> =
            self.routes.iter().filter(|it| it.carries(facts) == RouteMatch::Fits).collect();
        let mut places = Vec::new();
        for way in &self.channels {
            // A channel that fails cannot say so itself.
            if [CHANNEL_FAILING, NOTICE_UNDELIVERED].contains(&notice.name.as_str())
                && notice.about == way.name
            {
                continue;
            }
            let asks_to_page = way.pages && notice.kind == NoticeKind::Asked;
            let routes = fitting
                .iter()
                .filter(|route| route.reaches(&way.name) && !(asks_to_page && route.channels.is_empty()));
            let hold = routes
                .map(|route| route.hold(notice.severity, last(&way.name), at))
                .min_by_key(|it| it.until);
            places.extend(hold.map(|hold| (way.name.clone(), hold)));
        }
        places
    }

    /// How long a step of an escalation waits for the quiet hours of a channel: those of the route that would tell it first.
    pub fn step_hold(&self, channel: &str, severity: Severity, facts: &RouteFacts, at: Time) -> NoticeHold {
        let fitting =
            self.routes.iter().filter(|it| it.reaches(channel) && it.carries(facts) == RouteMatch::Fits);
        let holds = fitting.map(|route| route.calm(NoticeHold::default(), severity, at));
        holds.min_by_key(|hold| hold.until).unwrap_or_default()
    }
}

impl Route {
    /// True when it carries to this channel.
    pub fn reaches(&self, channel: &str) -> bool {
        self.channels.is_empty() || self.channels.iter().any(|name| name == channel)
    }
}

/// What a rule can ask about an alert.
pub fn of_alert(name: &str, about: &str, severity: Severity, text: &str) -> AlertFacts {
    let number = Severity::ALL.iter().position(|one| *one == severity).map_or(1, |at| at as i64 + 1);
    AlertFacts { name: name.to_owned(), about: about.to_owned(), severity: number, text: text.to_owned() }
}

#[cfg(test)]
mod tests;
