//! What a route is for: the name of an event or an alert (`session.error`, `disk.*`), or a comparison in CEL
//! (`session.idle && stuck > 5m`). It is checked when it is read: names, types, and that it says yes or no.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{Expr, SourceInfo};
use cel::{Context, Env, IdedExpr, Program, Value};

use super::facts::{AlertFacts, CostFacts, EventFacts, NodeFacts, RouteFacts, SessionFacts};
use super::types::types;
use super::words::{ALERTS, EVENTS, RAISED_BY, SEVERITIES, STUCK, fits, nouns};
use hal_base::nearest::nearest;

/// Characters of a rule: longer ones are programs.
const MOST_CHARS: usize = 1_000;

/// Units of a duration, in seconds.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// What is wrong with a rule, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The bytes concerned.
    pub range: Range<usize>,
    /// What is wrong, in a sentence without the rule itself.
    pub sentence: String,
    /// What was probably meant.
    pub meant: Option<String>,
}

/// When a rule is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteScope {
    /// When an alert is raised.
    Alert,
    /// When an event happens.
    Event,
    /// Again and again, of each session that has not ended.
    Session,
    /// Again and again, of each node.
    Node,
    /// Again and again, once.
    Fleet,
}

/// What a route is for.
#[derive(Clone, Debug)]
pub struct Matcher {
    text: String,
    scope: RouteScope,
    /// What its rule asks for.
    asks: BTreeSet<&'static str>,
    /// The types of events that it can be for, as far as it names them.
    types: Option<BTreeSet<String>>,
    rule: Option<Arc<Program>>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Matcher {
    /// Reads a name, a name with `.*`, or a CEL rule; `Err` says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let whole =
            |sentence: &str| Mistake { range: 0..text.len(), sentence: sentence.to_owned(), meant: None };
        if text.trim().is_empty() {
            return Err(whole(
                "expected a name such as session.error, or a rule such as session.idle && stuck > 5m",
            ));
        }
        if text.chars().count() > MOST_CHARS {
            return Err(whole("is too long for a rule: at most 1000 characters"));
        }
        if is_word(text) {
            match word(text) {
                // What is no name may still be yes or no, such as session.running.
                Err(_) if is_field(text) => {}
                named => return named,
            }
        }
        let (source, origin) = with_seconds(text);
        let at = |range: Range<usize>| {
            let from = origin.get(range.start).copied().unwrap_or(text.len());
            let to = origin.get(range.end).copied().unwrap_or(text.len());
            from.min(text.len())..to.clamp(from, text.len())
        };
        let program = Program::compile(&source).map_err(|errors| {
            let first = errors.errors.first();
            let column = first.map_or(0, |error| usize::try_from(error.pos.1 - 1).unwrap_or(0));
            let said = first.map_or_else(String::new, |error| error.msg.clone());
            Mistake {
                range: at(column..column + 1),
                sentence: format!("is not a rule: {}", plain(&said)),
                meant: None,
            }
        })?;
        let mut reader = NameChecker { info: program.source_info(), source: &source, roots: Vec::new() };
        reader
            .read(program.expression())
            .map_err(|mistake| Mistake { range: at(mistake.range.clone()), ..mistake })?;
        let scope = scope_of(&reader.roots).map_err(whole)?;
        let asks = reader.roots.into_iter().collect();
        let types = types(program.expression());
        let matcher = Self { text: text.to_owned(), scope, asks, types, rule: Some(Arc::new(program)) };
        for sample in [sample(true), sample(false)] {
            match matcher.ask(&sample) {
                Ok(Value::Bool(_)) => {}
                Ok(_) => {
                    return Err(whole(
                        "is neither true nor false; compare it with something, such as cost.daily > 20",
                    ));
                }
                // Within what a backend says, anything can be missing.
                Err(_) if text.contains("event.data") => {}
                Err(why) => return Err(whole(&format!("compares what cannot be compared: {why}"))),
            }
        }
        Ok(matcher)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// When it is asked.
    pub fn scope(&self) -> RouteScope {
        self.scope
    }

    /// True when its rule asks for this noun; a name asks for none.
    pub fn asks(&self, noun: &str) -> bool {
        self.asks.contains(noun)
    }

    /// The types of events that it can be for; `None`: it does not name them one by one.
    pub fn types(&self) -> Option<&BTreeSet<String>> {
        self.types.as_ref()
    }

    /// False when it cannot be for an event of this type.
    pub fn may_fit(&self, kind: &str) -> bool {
        self.rule.is_some() || fits(&self.text, kind)
    }

    /// Whether it is so; an error says what is not known here.
    pub fn is_so(&self, facts: &RouteFacts) -> Result<bool, String> {
        if self.rule.is_none() {
            let name = match self.scope {
                RouteScope::Alert => facts.alert.as_ref().map(|alert| &alert.name),
                _ => facts.event.as_ref().map(|event| &event.kind),
            };
            return Ok(name.is_some_and(|name| fits(&self.text, name)));
        }
        self.ask(facts).map(|answer| answer == Value::Bool(true))
    }

    fn ask(&self, facts: &RouteFacts) -> Result<Value, String> {
        let Some(rule) = &self.rule else { return Ok(Value::Bool(false)) };
        let context = context(facts)?;
        rule.execute(&context).map_err(|error| error.to_string())
    }
}

/// What a rule is asked with. The library of functions is made once: it costs more than any rule.
fn context(facts: &RouteFacts) -> Result<Context<'static, 'static>, String> {
    static LIBRARY: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
    let mut context = Context::with_env(LIBRARY.clone());
    for (word, number) in SEVERITIES {
        context.add_variable_from_value(word, number);
    }
    let RouteFacts { event, alert, session, node, cost } = facts;
    let fault = |error: cel::SerializationError| error.to_string();
    if let Some(session) = session {
        context.add_variable_from_value(STUCK, session.quiet);
        context.add_variable_from_value("session", cel::to_value(session).map_err(fault)?);
    }
    if let Some(event) = event {
        context.add_variable_from_value("event", cel::to_value(event).map_err(fault)?);
    }
    if let Some(alert) = alert {
        context.add_variable_from_value("alert", cel::to_value(alert).map_err(fault)?);
    }
    if let Some(node) = node {
        context.add_variable_from_value("node", cel::to_value(node).map_err(fault)?);
    }
    if let Some(cost) = cost {
        context.add_variable_from_value("cost", cel::to_value(cost).map_err(fault)?);
    }
    Ok(context)
}

/// Letters, digits, points, dashes, and perhaps `.*` at the end: a name. `agent-md.updated` is one, not a subtraction.
fn is_word(text: &str) -> bool {
    let body = text.strip_suffix(".*").unwrap_or(text);
    let starts_well = body.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    starts_well && body.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn is_field(text: &str) -> bool {
    let parts = text.split_once('.');
    parts.is_some_and(|(noun, field)| {
        nouns().get(noun).is_some_and(|known| known.iter().any(|name| name == field))
    })
}

fn word(text: &str) -> Result<Matcher, Mistake> {
    let scope = if text.starts_with(RAISED_BY) || ALERTS.iter().any(|name| fits(text, name)) {
        RouteScope::Alert
    } else if EVENTS.iter().any(|name| fits(text, name)) {
        RouteScope::Event
    } else {
        let meant = nearest(text, ALERTS.into_iter().chain(EVENTS)).map(str::to_owned);
        let sentence = "no event or alert has this name".to_owned();
        return Err(Mistake { range: 0..text.len(), sentence, meant });
    };
    let types = (!text.ends_with(".*")).then(|| BTreeSet::from([text.to_owned()]));
    Ok(Matcher { text: text.to_owned(), scope, asks: BTreeSet::new(), types, rule: None })
}

/// Writes durations such as `5m` as seconds. Also tells for each byte, and the end, where it was before.
fn with_seconds(text: &str) -> (String, Vec<usize>) {
    let (mut out, mut origin) = (String::new(), Vec::new());
    let (mut quote, mut before) = (None, ' ');
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
        let unit = text[at + digits..].chars().next().and_then(|c| UNITS.iter().find(|(unit, _)| *unit == c));
        let ends =
            text[at + digits..].chars().nth(1).is_none_or(|next| !next.is_alphanumeric() && next != '_');
        let stands_alone = !before.is_alphanumeric() && before != '_' && before != '.';
        let length = match (quote, unit, text[at..at + digits].parse::<u64>()) {
            (None, Some((_, seconds)), Ok(number)) if ends && stands_alone => {
                out.push_str(&number.saturating_mul(*seconds).to_string());
                digits + 1
            }
            _ => {
                match quote {
                    Some(open) if open == c => quote = None,
                    None if c == '"' || c == '\'' => quote = Some(c),
                    _ => {}
                }
                out.push(c);
                c.len_utf8()
            }
        };
        origin.resize(out.len(), at);
        before = text[at..at + length].chars().next_back().unwrap_or(' ');
        at += length;
    }
    origin.push(at);
    (out, origin)
}

/// The parser's sentence without what it lists.
fn plain(said: &str) -> String {
    let said = said.trim_start_matches("Syntax error: ");
    let end = said.find(" expecting").unwrap_or(said.len());
    said[..end].to_owned()
}

/// Goes through a rule and looks at each name.
struct NameChecker<'a> {
    info: &'a SourceInfo,
    source: &'a str,
    roots: Vec<&'static str>,
}

impl NameChecker<'_> {
    fn read(&mut self, part: &IdedExpr) -> Result<(), Mistake> {
        match &part.expr {
            Expr::Ident(name) => self.root(part, name),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(noun) => {
                    self.root(&select.operand, noun)?;
                    self.field(part, noun, &select.field)
                }
                _ => self.read(&select.operand),
            },
            Expr::Call(call) => {
                let target = call.target.as_deref();
                target.into_iter().chain(&call.args).try_for_each(|part| self.read(part))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|part| self.read(part)),
            Expr::Literal(_) => Ok(()),
            _ => Err(self.mistake(part, "", "rules only compare; they cannot build lists and objects", None)),
        }
    }

    fn root(&mut self, part: &IdedExpr, name: &str) -> Result<(), Mistake> {
        let nouns = nouns();
        if SEVERITIES.iter().any(|(word, _)| *word == name) {
            return Ok(());
        }
        if name == STUCK {
            self.roots.push(STUCK);
            return Ok(());
        }
        match nouns.keys().find(|noun| **noun == name) {
            Some(noun) => {
                self.roots.push(noun);
                Ok(())
            }
            None => {
                let known: Vec<&str> = nouns.keys().copied().chain([STUCK]).collect();
                let meant = nearest(name, known.iter().copied()).map(str::to_owned);
                let sentence = format!("unknown name {name}; known: {}", known.join(", "));
                Err(self.mistake(part, name, &sentence, meant))
            }
        }
    }

    fn field(&self, part: &IdedExpr, noun: &str, field: &str) -> Result<(), Mistake> {
        let nouns = nouns();
        let known = nouns.get(noun).map(Vec::as_slice).unwrap_or_default();
        if known.iter().any(|name| name == field) {
            return Ok(());
        }
        let meant = nearest(field, known.iter().map(String::as_str)).map(str::to_owned);
        let sentence = match known {
            [] => format!("{noun} is a number and has no {field}"),
            _ => format!("{noun} has no {field}; it has {}", known.join(", ")),
        };
        Err(self.mistake(part, field, &sentence, meant))
    }

    /// The first place of the word, at or after where the parser saw the part.
    fn mistake(&self, part: &IdedExpr, word: &str, sentence: &str, meant: Option<String>) -> Mistake {
        let from =
            self.info.offset_for(part.id).map_or(0, |(start, _)| start as usize).min(self.source.len());
        let place = self.source.get(from..).and_then(|rest| rest.find(word)).map(|found| from + found);
        let start = place.or_else(|| self.source.find(word)).unwrap_or(from);
        Mistake { range: start..start + word.len().max(1), sentence: sentence.to_owned(), meant }
    }
}

fn scope_of(roots: &[&str]) -> Result<RouteScope, &'static str> {
    let has = |noun: &str| roots.contains(&noun);
    let (alert, event) = (has("alert"), has("event"));
    match (alert, event) {
        (true, true) => Err("names both alert and event; a route is for one of them"),
        _ if (alert || event) && (has("cost") || has(STUCK)) => {
            Err("uses cost or stuck with an event or alert; use them with session or node only")
        }
        (true, false) => Ok(RouteScope::Alert),
        (false, true) => Ok(RouteScope::Event),
        _ if has("session") || has(STUCK) => Ok(RouteScope::Session),
        _ if has("node") => Ok(RouteScope::Node),
        _ if has("cost") => Ok(RouteScope::Fleet),
        _ => Err("uses nothing; use session, node, event, alert, cost or stuck"),
    }
}

/// Something of everything, so that a rule can be tried when it is read.
fn sample(yes: bool) -> RouteFacts {
    let session = SessionFacts {
        running: yes,
        idle: yes,
        waiting: yes,
        retrying: yes,
        error: yes,
        unreachable: yes,
        ..SessionFacts::default()
    };
    RouteFacts {
        event: Some(EventFacts::default()),
        alert: Some(AlertFacts::default()),
        session: Some(session),
        node: Some(NodeFacts { online: yes, offline: yes, ..NodeFacts::default() }),
        cost: Some(CostFacts::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> (String, String, Option<String>) {
        let mistake = Matcher::parse(text).expect_err(text);
        (text[mistake.range].to_owned(), mistake.sentence, mistake.meant)
    }

    #[test]
    fn names_and_comparisons_are_told_apart() {
        let scope = |text: &str| Matcher::parse(text).unwrap_or_else(|it| panic!("{text}: {it:?}")).scope();
        assert_eq!(scope("session.error"), RouteScope::Event);
        assert_eq!(scope("node.offline"), RouteScope::Alert);
        assert_eq!(scope("incident.open"), RouteScope::Alert, "people raise it");
        assert_eq!(scope("disk.*"), RouteScope::Alert);
        assert_eq!(scope("alert.severity >= high"), RouteScope::Alert);
        assert_eq!(scope("event.type == 'session.error' && session.project == \"shop\""), RouteScope::Event);
        assert_eq!(scope("session.idle && stuck > 5m"), RouteScope::Session);
        assert_eq!(scope("node.offline && node.silent > 1h"), RouteScope::Node);
        assert_eq!(scope("cost.daily > 20"), RouteScope::Fleet);
        assert_eq!(scope("session.project in ['a', 'b'] && session.cost > 2"), RouteScope::Session);
    }

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        assert!(mistake("agent-md.updated").1.contains("no event or alert has this name"), "no subtraction");
        let (word, sentence, meant) = mistake("sesion.idle && stuck > 5m");
        assert_eq!((word.as_str(), meant.as_deref()), ("sesion", Some("session")), "{sentence}");
        let (word, _, meant) = mistake("stuck > 10m && session.idel");
        assert_eq!((word.as_str(), meant.as_deref()), ("idel", Some("idle")));
        assert_eq!(mistake("session.eror").2.as_deref(), Some("session.error"));
        let (word, sentence, _) = mistake("stuck > 5m && ");
        assert!(sentence.starts_with("is not a rule"), "{word}: {sentence}");
        assert!(mistake("session.title > 5").1.contains("cannot be compared"));
        assert!(mistake("cost.daily").1.contains("neither true nor false"));
        assert!(mistake("alert.severity > 1 && event.type == 'x'").1.contains("one of them"));
        assert!(mistake("1 > 0").1.contains("uses nothing"));
    }

    #[test]
    fn durations_are_seconds_and_texts_stay_as_they_are() {
        assert_eq!(with_seconds("stuck > 5m").0, "stuck > 300");
        assert_eq!(with_seconds("a == '5m' && b5m > 2h").0, "a == '5m' && b5m > 7200");
        let (source, origin) = with_seconds("1d < x");
        assert_eq!((source.as_str(), origin[source.find('x').unwrap()]), ("86400 < x", 5));
    }

    #[test]
    fn it_is_so_or_not() {
        let matcher = Matcher::parse("session.idle && stuck > 5m").unwrap();
        let facts = |idle, quiet| RouteFacts {
            session: Some(SessionFacts { idle, quiet, ..SessionFacts::default() }),
            ..RouteFacts::default()
        };
        assert_eq!(matcher.is_so(&facts(true, 301)), Ok(true));
        assert_eq!(matcher.is_so(&facts(true, 300)), Ok(false));
        assert_eq!(matcher.is_so(&facts(false, 400)), Ok(false));
        let cost = Matcher::parse("cost.daily > 20").unwrap();
        let facts = RouteFacts { cost: Some(CostFacts { daily: 20.5 }), ..RouteFacts::default() };
        assert_eq!(cost.is_so(&facts), Ok(true));
        assert!(cost.is_so(&RouteFacts::default()).is_err(), "not known here");
    }
}
