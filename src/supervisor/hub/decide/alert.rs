//! Alerts, which a person should see: raised once, acknowledged, and resolved when things are well again.

use std::path::Path;

use serde_json::json;
use tokio::sync::oneshot;

use super::Work;
use crate::hub::effect::Effect;
use crate::hub::input::{NotAccepted, Symptom};
use hal_base::clock::Time;
use hal_protocol::alert::{Alert, AlertState, Severity};
use hal_protocol::node::NodeId;
use hal_protocol::notice::{Notice, NoticeKind};
use hal_protocol::who::Who;
use hal_rules::alert::{self, AlertRaised};
use hal_rules::command::Refused;
use hal_rules::escalation::begins_anew;
use hal_rules::route::NOTICE_UNDELIVERED;

/// Alerts that are kept; the oldest that is over goes first.
const KEPT: usize = 2_000;

/// The name of the alert of a full disk.
const DISK_FULL: &str = "disk.full";

impl Work {
    /// Writes down what a person should see.
    pub(super) fn alert(&mut self, node: &NodeId, name: &str, severity: Severity, text: &str, at: Time) {
        self.raise(&AlertRaised { name, about: node.as_str(), severity, text, lasting: false }, at);
    }

    /// Writes down that the disk of the store is full.
    pub fn disk_full(&mut self, store: &Path, at: Time) {
        let text =
            format!("the disk of {} is full: nothing new is stored until there is space", store.display());
        self.raise(
            &AlertRaised {
                name: DISK_FULL,
                about: "",
                severity: Severity::Critical,
                text: &text,
                lasting: true,
            },
            at,
        );
    }

    /// Writes down that there is room again.
    pub fn disk_has_room(&mut self, at: Time) {
        self.resolve(DISK_FULL, "", at);
    }

    /// Something was seen that a person should see.
    pub(super) fn raise(&mut self, seen: &AlertRaised<'_>, at: Time) {
        let open = self.view.stored.open_alert(seen.name, seen.about).cloned();
        let is_new = open.is_none();
        let Some(alert) = alert::raise(open.as_deref(), self.view.stored.next_alert, seen, at) else {
            return;
        };
        if is_new {
            self.view.stored.next_alert += 1;
        }
        self.say_alert(alert, at);
        self.forget_old_alerts();
    }

    /// An event and a line of the log tell of it.
    pub(super) fn say_alert(&mut self, alert: Alert, at: Time) {
        self.tell_alert("alert.raised", &alert, at);
        let about = if alert.about.is_empty() { String::new() } else { format!(" of {}", alert.about) };
        let (name, severity, text) = (&alert.name, alert.severity.as_str(), &alert.text);
        self.effects.push(Effect::Alert(format!("alert {name}{about} ({severity}): {text}")));
        self.put_alert(alert);
    }

    /// Channels have not delivered what they should.
    pub(super) fn raise_undelivered(&mut self, at: Time) {
        for (channel, text) in std::mem::take(&mut self.undelivered) {
            let (name, about, severity) = (NOTICE_UNDELIVERED, channel.as_str(), Severity::High);
            self.raise(&AlertRaised { name, about, severity, text: &text, lasting: false }, at);
        }
    }

    /// It is so no more, if it was.
    pub(super) fn resolve(&mut self, name: &str, about: &str, at: Time) {
        let Some(open) = self.view.stored.open_alert(name, about).cloned() else { return };
        let alert = alert::resolve(&open, at);
        self.tell_alert("alert.resolved", &alert, at);
        self.put_alert(alert);
    }

    /// An edge has looked at something that can be well or not.
    pub(super) fn check_symptom(&mut self, symptom: &Symptom, at: Time) {
        let Symptom { name, about, severity, text } = symptom;
        let name = name.as_str();
        match text {
            Some(text) => {
                let severity = *severity;
                self.raise(&AlertRaised { name, about, severity, text, lasting: true }, at);
            }
            None => self.resolve(name, about, at),
        }
    }

    /// Somebody says that they know. The same again is fine.
    pub(super) fn acknowledge(
        &mut self,
        id: u64,
        who: &Who,
        reply: oneshot::Sender<Result<Alert, NotAccepted>>,
        at: Time,
    ) {
        let Some(known) = self.view.stored.alerts.get(&id).cloned() else {
            let none = Refused::NoSuch(format!("no alert {id}"));
            self.effects.push(Effect::reply(reply, Err(NotAccepted::Refused(none))));
            return;
        };
        let changed = alert::acknowledge(&known, who, at);
        if let Some(alert) = &changed {
            self.tell_alert("alert.acknowledged", alert, at);
            self.put_alert(alert.clone());
            let args = json!({"name": alert.name, "about": alert.about});
            self.write_down(who, "acknowledge alert", id.to_string(), &args, at);
        }
        let answer = changed.unwrap_or_else(|| Alert::clone(&known));
        self.effects.push(Effect::reply(reply, Ok(answer)));
    }

    pub(super) fn tell_alert(&mut self, kind: &str, alert: &Alert, at: Time) {
        let node = self.node_of_alert(alert);
        let data = json!({
            "id": alert.id, "name": alert.name, "about": alert.about, "severity": alert.severity.as_str(),
            "status": alert.status.as_str(), "text": alert.text, "by": alert.acknowledged_by,
        });
        self.note(&node, kind, &data, at);
        self.tell_people(&self.notice_of(alert, node, at), at);
    }

    /// What an alert is about may be a node, whose events are found by its name, or something on it, as `NODE/PROJECT`.
    pub(super) fn node_of_alert(&self, alert: &Alert) -> NodeId {
        let node = alert.about.split_once('/').map_or(alert.about.as_str(), |(node, _)| node);
        match self.view.stored.nodes.contains_key(node) {
            true => NodeId::new(node),
            false => NodeId::new(""),
        }
    }

    /// What people are told of an alert.
    pub(super) fn notice_of(&self, alert: &Alert, node: NodeId, at: Time) -> Notice {
        let kind = match alert.status {
            AlertState::Firing => NoticeKind::Raised,
            AlertState::Acknowledged => NoticeKind::Acknowledged,
            AlertState::Resolved => NoticeKind::Resolved,
        };
        let about = if alert.about.is_empty() { String::new() } else { format!(" ({})", alert.about) };
        let session = self.view.stored.sessions.get(alert.about.as_str()).map(|record| &record.session);
        Notice {
            kind,
            name: alert.name.clone(),
            severity: alert.severity,
            title: format!("{}{about}", alert.name),
            text: alert.text.clone(),
            about: alert.about.clone(),
            node: session.map_or(node.to_string(), |it| it.node_id.to_string()),
            session: session.map(|it| it.id.to_string()).unwrap_or_default(),
            project: session.map(|it| it.project.to_string()).unwrap_or_default(),
            subject: self.view.subject_of_alert(alert.id),
            alert: Some(alert.id),
            by: alert.acknowledged_by.clone(),
            count: alert.count,
            created_at: at,
            ..Notice::default()
        }
    }

    pub(super) fn put_alert(&mut self, alert: Alert) {
        let before = self.view.stored.alerts.get(&alert.id);
        if before.is_some_and(|before| begins_anew(before, &alert)) {
            self.begin_steps_anew(&alert);
        }
        self.batch.alerts.insert(alert.id, Some(alert.clone()));
        self.view.stored.put_alert(alert);
    }

    pub(super) fn drop_alert(&mut self, id: u64) {
        self.forget_told(&self.view.subject_of_alert(id));
        self.batch.alerts.insert(id, None);
        self.view.stored.remove_alert(id);
    }

    fn forget_old_alerts(&mut self) {
        while self.view.stored.alerts.len() > KEPT {
            let over = |alert: &&std::sync::Arc<Alert>| alert.status == AlertState::Resolved;
            let oldest =
                self.view.stored.alerts.values().find(over).or(self.view.stored.alerts.values().next());
            let Some(id) = oldest.map(|alert| alert.id) else { return };
            self.drop_alert(id);
        }
    }
}
