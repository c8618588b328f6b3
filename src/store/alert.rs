//! The rows of alerts.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::reader::Reader;
use super::row::{self, Row, damaged};
use super::tables::ALERTS;
use hal_base::clock::Time;
use hal_protocol::alert::{Alert, AlertState, Severity};
use hal_protocol::who::Who;

/// Version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AlertRow {
    name: String,
    about: String,
    severity: String,
    status: String,
    text: String,
    lasting: bool,
    count: u64,
    started_at: i64,
    changed_at: i64,
    acknowledged_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    people: Option<AlertPeople>,
}

/// Who has done what to an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct AlertPeople {
    acknowledged: Option<Who>,
    reported: Option<Who>,
}

impl Row for AlertRow {
    const TABLE: &'static str = "alerts";
    const VERSION: u8 = 1;

    fn open_body(body: &[u8]) -> Result<Self, postcard::Error> {
        row::open_grown(body)
    }
}

impl From<&Alert> for AlertRow {
    fn from(alert: &Alert) -> Self {
        let people =
            AlertPeople { acknowledged: alert.acknowledged.clone(), reported: alert.reported.clone() };
        Self {
            name: alert.name.clone(),
            about: alert.about.clone(),
            severity: alert.severity.as_str().to_owned(),
            status: alert.status.as_str().to_owned(),
            text: alert.text.clone(),
            lasting: alert.lasting,
            count: alert.count,
            started_at: alert.started_at.0,
            changed_at: alert.changed_at.0,
            acknowledged_by: alert.acknowledged_by.clone(),
            people: (people != AlertPeople::default()).then_some(people),
        }
    }
}

impl AlertRow {
    pub(super) fn into_alert(self, id: u64) -> Result<Alert, StoreError> {
        let bad = |what: &str| damaged(Self::TABLE, &id, format!("{what} is not known"));
        let AlertPeople { acknowledged, reported } = self.people.unwrap_or_default();
        Ok(Alert {
            id,
            name: self.name,
            about: self.about,
            severity: Severity::parse(&self.severity).ok_or_else(|| bad("its severity"))?,
            status: AlertState::parse(&self.status).ok_or_else(|| bad("its status"))?,
            text: self.text,
            lasting: self.lasting,
            count: self.count,
            started_at: Time(self.started_at),
            changed_at: Time(self.changed_at),
            acknowledged: acknowledged.and_then(|who| who.if_named(&self.acknowledged_by)),
            reported,
            acknowledged_by: self.acknowledged_by,
        })
    }
}

impl Reader<'_> {
    /// Every alert that is kept, oldest first.
    pub fn alerts(&self) -> Result<Vec<Alert>, StoreError> {
        let table = self.txn().open_table(ALERTS)?;
        let entries = table.iter()?.map(|entry| {
            let (id, bytes) = entry?;
            row::open::<AlertRow>(bytes.value(), id.value())?.into_alert(id.value())
        });
        entries.collect()
    }
}
