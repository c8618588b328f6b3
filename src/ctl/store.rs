//! `halctl store`.

use super::cli::store::{StoreVerb, Which};
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::print::text::{bytes, day, exact, number};
use hal_base::clock;
use hal_base::exit::Failure;
use hal_protocol::store::{
    DiffRow, Merged, Rows, StoreDiff, StoreMerge, StoreRequest, StoreStatus, TableDiff,
};

/// Carries out one of the verbs.
pub async fn run(verb: StoreVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        StoreVerb::Status => screen.one(&client.get::<StoreStatus>(&["store"], &Query::new()).await?.data),
        StoreVerb::Diff { which, rows } => {
            let request = StoreRequest { limit: rows, ..request(which) };
            let diff = client.ask_patiently::<StoreDiff>(&["store", "diff"], "store diff", &request).await?;
            show_diff(&diff, rows > 0, screen)
        }
        StoreVerb::Merge { which, dry_run } => {
            let request = StoreRequest { dry_run, ..request(which) };
            let path = ["store", "merge"];
            let merge = client.ask_patiently::<StoreMerge>(&path, "store merge", &request).await?;
            show_merge(&merge, screen)
        }
    }
}

fn request(which: Which) -> StoreRequest {
    let now = clock::now();
    let Which { file, tables, since, until, session } = which;
    let (since, until) = (since.map(|when| when.at(now)), until.map(|when| when.at(now)));
    StoreRequest { file, tables, since, until, session, ..StoreRequest::default() }
}

fn show_diff(diff: &StoreDiff, with_rows: bool, screen: &mut Screen) -> Result<(), Failure> {
    if screen.is_structured() {
        return screen.structured(diff);
    }
    screen.say(&format!("compared with {}", diff.file));
    if diff.unreadable > 0 {
        screen.say(&format!("{} rows of it cannot be read any more", diff.unreadable));
    }
    screen.list(&diff.tables, "No table was compared.")?;
    if with_rows { screen.list(&diff.rows, "No row is different.") } else { Ok(()) }
}

fn show_merge(merge: &StoreMerge, screen: &mut Screen) -> Result<(), Failure> {
    if screen.is_structured() {
        return screen.structured(merge);
    }
    let file = &merge.file;
    let done = if merge.dry_run { "would come back" } else { "came back" };
    screen.say(&match merge.tables.is_empty() {
        true => format!("nothing {done} from {file}: the store already has all of it"),
        false => format!("{done} from {file}:"),
    });
    screen.list(&merge.tables, "Nothing.")
}

impl Record for StoreStatus {
    fn fields(&self) -> Vec<Field> {
        let of = |used: u64, size: u64| match (u128::from(used) * 100).checked_div(u128::from(size)) {
            Some(percent) => format!("{} of {} ({percent} %)", bytes(used), bytes(size)),
            None => bytes(used),
        };
        let rate = |per_day: Option<i64>| match per_day {
            None => "not known yet".to_owned(),
            Some(less) if less < 0 => format!("-{}", bytes(less.unsigned_abs())),
            Some(more) => bytes(more.unsigned_abs()),
        };
        let when = |key, at: clock::Time| match at == clock::Time::default() {
            true => Field::new(key, ""),
            false => {
                Field::new(key, exact(at)).brief(format!("{} at this rate", day(at))).tone(Tone::Attention)
            }
        };
        vec![
            Field::new("folder", &self.folder),
            Field::new("disk", of(self.disk_used, self.disk_size)),
            Field::new("disk_per_day", rate(self.disk_per_day)),
            when("disk_full_at", self.disk_full_at),
            Field::new("kept", of(self.kept, self.max_size)),
            Field::new("kept_per_day", rate(self.kept_per_day)),
            when("max_size_at", self.max_size_at),
            Field::new("events", number(self.events)),
            Field::new("bytes_per_event", number(self.bytes_per_event)),
            Field::new("store", bytes(self.store)),
            Field::new("mirror", bytes(self.mirror)),
            Field::new("backups", bytes(self.backups)),
            Field::new("archive", bytes(self.archive)),
        ]
    }
}

impl Record for TableDiff {
    fn fields(&self) -> Vec<Field> {
        let mut fields = vec![
            Field::new("table", &self.table),
            Field::new("only_there", self.only_there.rows).weight(90),
            Field::new("only_here", self.only_here.rows).weight(80),
            Field::new("different", self.different.rows).weight(85),
        ];
        fields.extend(ends(["there_first", "there_last", "there_from", "there_to"], &self.only_there));
        let here = ends(["here_first", "here_last", "here_from", "here_to"], &self.only_here);
        fields.extend(here.into_iter().map(Field::wide));
        fields
    }
}

fn ends(names: [&'static str; 4], rows: &Rows) -> Vec<Field> {
    let [first, last, from, to] = names;
    let text = |name, end: &Option<String>| Field::new(name, end.as_deref().unwrap_or_default());
    let moment = |name, at: Option<clock::Time>| match at {
        Some(at) => Field::moment(name, at),
        None => Field::new(name, ""),
    };
    vec![text(first, &rows.first), text(last, &rows.last), moment(from, rows.from), moment(to, rows.to)]
}

impl Record for DiffRow {
    fn fields(&self) -> Vec<Field> {
        let row = serde_json::Value::Object(self.row.clone()).to_string();
        vec![
            Field::new("table", &self.table),
            Field::new("key", &self.key).weight(90),
            Field::new("side", &self.side).weight(80),
            Field::new("row", row).long(),
        ]
    }
}

impl Record for Merged {
    fn fields(&self) -> Vec<Field> {
        vec![Field::new("table", &self.table), Field::new("rows", self.rows)]
    }
}
