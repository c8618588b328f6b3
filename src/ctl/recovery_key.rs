//! `halctl recovery-key`: by what the fleet's keys are opened on another machine.

use super::cli::recovery_key::{RecoveryKeyArgs, RecoveryKeyVerb};
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record};
use hal_base::exit::Failure;
use hal_protocol::fleet_key::{NewRecoveryKey, RecoveryKeyRequest, RecoveryKeyView};

/// Makes one, or shows whether there is one.
pub async fn run(asked: RecoveryKeyArgs, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    if let Some(RecoveryKeyVerb::Status) = asked.verb {
        return screen.one(&client.get::<RecoveryKeyView>(&["recovery-key"], &Query::new()).await?.data);
    }
    let body = RecoveryKeyRequest { replace: asked.replace };
    let new = client.post_with::<NewRecoveryKey>(&["recovery-key"], &body).await?.data;
    if screen.is_structured() {
        return screen.one(&new);
    }
    screen.write(&format!("{}\n", new.recovery_key))?;
    screen.say(
        "Write it down, and keep it away from this machine: it is not shown again. With it and a backup of supervisor.db \
         another machine is this supervisor to every agent (sudo hal-supervisor tls recover).",
    );
    Ok(())
}

impl Record for RecoveryKeyView {
    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("pin", &self.pin),
            Field::new("made_by", &self.made_by),
            Field::moment("made_at", self.made_at),
        ]
    }
}

impl Record for NewRecoveryKey {
    fn fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::new("recovery_key", &self.recovery_key)];
        fields.extend(self.about.fields());
        fields
    }
}
