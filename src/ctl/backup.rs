//! `halctl backup`.

use super::cli::archive::BackupVerb;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::print::text::bytes;
use hal_base::exit::{Exit, Failure};
use hal_protocol::backup::{Backup, Rehearsal};

/// Carries out one of the verbs.
pub async fn run(verb: BackupVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        BackupVerb::Now => screen.one(&client.post_patiently::<Backup>(&["backups"], "backup").await?.data),
        BackupVerb::Rehearse => {
            let made = client.post_patiently::<Rehearsal>(&["backups", "rehearse"], "rehearse").await?.data;
            screen.one(&made)?;
            match made.problem {
                Some(problem) => Err(Failure::say(Exit::Failed, problem)),
                None => Ok(()),
            }
        }
        BackupVerb::List => {
            let all = client.list::<Backup>(&["backups"], &Query::new()).await?;
            screen.list(&all, "No backups. Make one with: halctl backup now")
        }
        BackupVerb::Verify { name } => {
            let name = name.as_deref().unwrap_or("newest");
            let backup = client.post_patiently::<Backup>(&["backups", name, "verify"], "verify").await?.data;
            screen.one(&backup)?;
            match backup.problem {
                Some(problem) => Err(Failure::say(Exit::Failed, problem)),
                None => Ok(()),
            }
        }
    }
}

impl Record for Backup {
    fn fields(&self) -> Vec<Field> {
        let problem = self.problem.clone().unwrap_or_default();
        let tone = if problem.is_empty() { Tone::Plain } else { Tone::Bad };
        vec![
            Field::new("name", &self.name),
            Field::moment("made_at", self.made_at).weight(80),
            Field::new("size", bytes(self.bytes)),
            Field::new("newest", if self.newest { "yes" } else { "" }).weight(70),
            Field::new("events", self.events.map(|events| events.to_string()).unwrap_or_default()),
            Field::new("problem", problem).tone(tone).long().weight(90),
        ]
    }
}

impl Record for Rehearsal {
    fn fields(&self) -> Vec<Field> {
        let problem = self.problem.clone().unwrap_or_default();
        let tone = if problem.is_empty() { Tone::Plain } else { Tone::Bad };
        let pair = |restored: u64, running: u64| format!("{restored} of {running}");
        let (restored, running) = (&self.restored, &self.running);
        vec![
            Field::new("backup", &self.backup),
            Field::moment("made_at", self.made_at),
            Field::new("events", restored.events.to_string()),
            Field::new("newest_event", pair(restored.newest_event, running.newest_event)),
            Field::new("sessions", pair(restored.sessions, running.sessions)),
            Field::new("cost_micros", pair(restored.cost_micros, running.cost_micros)),
            Field::new("recovery_point", format!("{:.0} s", self.rpo_seconds)),
            Field::new("recovery_time", format!("{:.1} s", self.rto_seconds)),
            Field::new("also_needed", self.also_needed.join("; ")).long(),
            Field::new("problem", problem).tone(tone).long(),
        ]
    }
}
