//! The configuration has changed: what follows from it everywhere is looked at again.

use std::sync::Arc;

use super::Work;
use crate::hub::settings::Settings;
use hal_base::clock::Time;

impl Work {
    /// Takes the configuration over, all of it.
    pub fn settle(&mut self, settings: Arc<Settings>) {
        self.view.take_settings(settings);
        self.tell_covers();
        self.view.live.policies_looked = Time::default();
        self.look_at_all_again();
    }
}
