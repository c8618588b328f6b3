//! `routes`: who is told what, and when.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use super::channels::ChannelConfig;
use hal_base::config::{Section, Value};
use hal_base::nearest::nearest;
use hal_protocol::alert::Severity;
use hal_rules::route::hours::Quiet;
use hal_rules::route::matcher::Matcher;
use hal_rules::route::{DEFAULT, DEFAULT_ALERTS, DEFAULT_MILD, DEFAULT_PAGE, Dedupe, Route};

/// Of a dwell or a cooldown: what was told lately is remembered for a day.
const SPAN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);

/// What was told is not told again within this, unless the file says otherwise.
const COOLDOWN: Duration = Duration::from_secs(600);

/// Routes in a file: each is asked of every event or alert.
const MOST_ROUTES: usize = 100;

pub(super) const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];

/// Reads the list. Without one, what matters much goes to every channel.
pub(super) fn read(root: &Section<'_>, channels: &[ChannelConfig]) -> Vec<Route> {
    let items = root.items("routes");
    if let Some(beyond) = items.get(MOST_ROUTES) {
        beyond.problem(format!("there are more than {MOST_ROUTES} routes; join some of them"));
    }
    let mut routes: Vec<Route> = Vec::new();
    for (nth, item) in items.iter().enumerate() {
        let names: Vec<String> = routes.iter().map(|route| route.name.clone()).collect();
        routes.extend(item.section(|section| route(section, nth, &names, channels)));
    }
    if items.is_empty() {
        routes.extend(defaults(channels));
    }
    routes
}

/// What holds without a list: what is critical goes everywhere and pages, what is high and who waits for an answer go
/// everywhere else, and what is milder goes where people talk.
fn defaults(channels: &[ChannelConfig]) -> Vec<Route> {
    let names = |wanted: &dyn Fn(&ChannelConfig) -> bool| -> Vec<String> {
        channels.iter().filter(|one| wanted(one)).map(|one| one.name.clone()).collect()
    };
    // Who has only a pager hears all of it there.
    let is_all_pagers = channels.iter().all(ChannelConfig::pages);
    let rules = [
        ("default", DEFAULT, names(&|one| !one.pages())),
        ("default", DEFAULT_ALERTS, if is_all_pagers { names(&ChannelConfig::pages) } else { Vec::new() }),
        ("default-page", DEFAULT_PAGE, names(&ChannelConfig::pages)),
        ("default-mild", DEFAULT_MILD, names(&ChannelConfig::is_chat)),
    ];
    // A route without channels would go to all of them.
    let rules = rules.into_iter().filter(|(_, _, channels)| !channels.is_empty());
    rules
        .filter_map(|(name, rule, channels)| {
            let matcher = Matcher::parse(rule).ok()?;
            Some(Route { channels, ..plain(name.to_owned(), matcher) })
        })
        .collect()
}

fn plain(name: String, matcher: Matcher) -> Route {
    Route {
        name,
        matcher,
        channels: Vec::new(),
        severity: Severity::High,
        dwell: Duration::ZERO,
        cooldown: COOLDOWN,
        dedupe: Dedupe::Session,
        quiet: None,
    }
}

fn route(section: &Section<'_>, nth: usize, names: &[String], channels: &[ChannelConfig]) -> Option<Route> {
    let span = |key| section.value(key).and_then(|value: Value<'_>| value.duration(SPAN));
    section.require(
        "match",
        "what the route is for, such as \"session.error\" or \"session.idle && stuck > 5m\"",
    );
    let matcher = section.value("match").and_then(|value| matcher(&value));
    let name = section.text("name").filter(|name| !name.is_empty()).unwrap_or_else(|| (nth + 1).to_string());
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        section.problem("name", "expected a name of letters, digits, '-' and '_'");
    } else if names.contains(&name) {
        section.problem("name", "is the name of another route, too; rename one of them");
    }
    let to: Vec<String> =
        section.items("channels").iter().filter_map(|value| channel(value, channels)).collect();
    let severity = section.value("severity").and_then(|it| it.choice(&SEVERITIES)).and_then(Severity::parse);
    let dedupe =
        match section.value("dedupe").and_then(|it| it.choice(&["session", "node", "project", "route"])) {
            Some("node") => Dedupe::Node,
            Some("project") => Dedupe::Project,
            Some("route") => Dedupe::Route,
            _ => Dedupe::Session,
        };
    let (dwell, cooldown) = (span("dwell").unwrap_or_default(), span("cooldown").unwrap_or(COOLDOWN));
    let quiet = section.section("quiet_hours", quiet);
    let route = plain(name, matcher?);
    Some(Route {
        channels: to,
        severity: severity.unwrap_or(Severity::High),
        dwell,
        cooldown,
        dedupe,
        quiet,
        ..route
    })
}

fn matcher(value: &Value<'_>) -> Option<Matcher> {
    let text = value.text()?;
    match Matcher::parse(&text) {
        Ok(matcher) => Some(matcher),
        Err(mistake) => {
            value.problem_within(mistake.range, mistake.sentence, mistake.meant);
            None
        }
    }
}

pub(super) fn channel(value: &Value<'_>, channels: &[ChannelConfig]) -> Option<String> {
    let name = value.text()?;
    if channels.iter().any(|channel| channel.name == name) {
        return Some(name);
    }
    let names = channels.iter().map(|channel| channel.name.as_str());
    let meant = nearest(&name, names.clone()).map(str::to_owned);
    let known: Vec<&str> = names.collect();
    let sentence = match known.as_slice() {
        [] => "no channel is configured; see channels".to_owned(),
        known => format!("no channel has this name; there are {}", known.join(", ")),
    };
    value.problem_within(0..name.len(), sentence, meant);
    None
}

fn quiet(section: &Section<'_>) -> Option<Quiet> {
    let time = |key: &'static str| {
        let value = section.value(key)?;
        let text = value.text()?;
        let time = civil::Time::strptime("%H:%M", &text).ok();
        if time.is_none() {
            value.problem("expected a time of day such as \"22:00\"");
        }
        time
    };
    let (from, to) = (time("from"), time("to"));
    let zone = section.value("timezone").and_then(|value| {
        let zone = TimeZone::get(&value.text()?).ok();
        if zone.is_none() {
            value.problem("expected the name of a time zone such as \"Europe/Berlin\" or \"UTC\"");
        }
        zone
    });
    let except = section.value("except").and_then(|it| it.choice(&SEVERITIES)).and_then(Severity::parse);
    match (from, to) {
        (Some(from), Some(to)) => Some(Quiet {
            from,
            to,
            zone: zone.unwrap_or_else(TimeZone::system),
            except: except.unwrap_or(Severity::Critical),
        }),
        _ => {
            let is_half = section.value("from").is_some() != section.value("to").is_some();
            if !is_half {
                return None;
            }
            section.problem("from", "expected both from and to, such as \"22:00\" and \"07:00\"");
            None
        }
    }
}
