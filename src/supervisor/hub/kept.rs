//! How the view reads and changes rows of kept state: see [`super::kept`].

use std::sync::Arc;

use super::live::Watched;
use super::view::View;
use hal_base::clock::Time;
use hal_protocol::mark::{Attribution, Marks};
use hal_protocol::session::{Session, SessionId};
use hal_store::kept::{FACTS, HALT, HALT_ALL, Kept, LEASE, MARKS, StateKind};
use hal_store::state;

impl View {
    /// The halt that holds for a project, with what was halted, if there is one.
    pub fn halt_of(&self, project: &str) -> Option<(String, Attribution)> {
        [HALT_ALL, project].into_iter().find_map(|key| Some((key.to_owned(), self.halt(key)?)))
    }

    /// The halt of [`HALT_ALL`] or of a project. One that cannot be read holds.
    pub fn halt(&self, key: &str) -> Option<Attribution> {
        self.kept(HALT, key).or_else(|| self.unreadable_said(HALT, key))
    }

    /// Everything that is halted, with who has halted it.
    pub fn halts(&self) -> impl Iterator<Item = (&str, Attribution)> {
        self.keys_of(HALT).filter_map(|key| Some((key, self.halt(key)?)))
    }

    /// What people have said of a session. Marks that cannot be read may have said that it is paused: it is.
    pub fn own_marks(&self, id: &SessionId) -> Marks {
        let known = self.kept(MARKS, id.as_str());
        known
            .unwrap_or_else(|| Marks { paused: self.unreadable_said(MARKS, id.as_str()), ..Marks::default() })
    }

    fn unreadable_said<T>(&self, kind: StateKind<T>, key: &str) -> Option<Attribution> {
        let row = self.stored.state.get(&state::name(kind.name, key))?;
        let by = "a row that cannot be read".to_owned();
        row.value.is_err().then(|| Attribution { by, at: row.changed_at })
    }

    /// The marks of a session, a halt that holds for it among them.
    pub fn marks_of(&self, session: &Session) -> Marks {
        let marks = self.own_marks(&session.id);
        Marks { halted: self.halt_of(session.project.as_str()).map(|(_, said)| said), ..marks }
    }

    /// The row of this name has come in or has changed from outside: what is drawn from it counts as it is now.
    pub fn draw_from(&mut self, name: &str) {
        match name.split_once('/') {
            Some((kind, id)) if kind == LEASE.name => {
                match self.kept(LEASE, id) {
                    Some(loan) => self.stored.loans.insert(id.to_owned(), Arc::new(loan)),
                    None => self.stored.loans.remove(id),
                };
            }
            Some((kind, id)) if kind == FACTS.name => {
                match self.kept(FACTS, id) {
                    Some(facts) => {
                        let watched = Watched { facts, due: Some(Time::default()) };
                        self.live.watched.insert(SessionId::new(id), Arc::new(watched));
                    }
                    None => drop(self.live.watched.remove(id)),
                };
            }
            _ => {}
        }
    }

    /// What is kept of this kind under this key; `None`: nothing, or nothing that can be read: see
    /// [`Self::is_unreadable`].
    pub fn kept<T: Clone>(&self, kind: StateKind<T>, key: &str) -> Option<T> {
        let row = self.stored.state.get(&state::name(kind.name, key))?;
        Some(T::clone(kind.of(row.value.as_ref().ok()?)?))
    }

    /// True when there is a row of this kind under this key, readable or not.
    pub fn is_kept<T>(&self, kind: StateKind<T>, key: &str) -> bool {
        self.stored.state.contains_key(&state::name(kind.name, key))
    }

    /// True when there is a row of this kind under this key that cannot be read.
    pub fn is_unreadable<T>(&self, kind: StateKind<T>, key: &str) -> bool {
        !self.stored.unreadable.is_empty() && self.stored.unreadable.contains(&state::name(kind.name, key))
    }

    /// The keys of the rows of this kind that cannot be read.
    pub fn unreadable_of<T: 'static>(&self, kind: StateKind<T>) -> impl Iterator<Item = &str> {
        let begin = state::name(kind.name, "");
        let names = self.stored.unreadable.range(begin.clone()..);
        names.map_while(move |name| name.strip_prefix(&begin))
    }

    /// All rows of this kind from this key on, readable or not, by their keys, in order.
    pub fn rows_from<'a, T: 'static>(
        &'a self,
        kind: StateKind<T>,
        from: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<Kept>)> + use<'a, T> {
        let begin = state::name(kind.name, "");
        let rows = self.stored.state.range(format!("{begin}{from}")..);
        rows.map_while(move |(name, row)| Some((name.strip_prefix(&begin)?, row)))
    }

    /// The keys of all rows of this kind, readable or not, in order.
    pub fn keys_of<T: 'static>(&self, kind: StateKind<T>) -> impl Iterator<Item = &str> {
        self.rows_from(kind, "").map(|(key, _)| key)
    }

    /// True when there is any row of this kind, readable or not.
    pub fn any_kept<T: 'static>(&self, kind: StateKind<T>) -> bool {
        self.keys_of(kind).next().is_some()
    }

    /// Everything of this kind that can be read, by its key, in order.
    pub fn all_kept<T: 'static>(&self, kind: StateKind<T>) -> impl Iterator<Item = (&str, &Arc<T>)> {
        self.all_kept_from(kind, "")
    }

    /// The same, from this key on.
    pub fn all_kept_from<'a, T: 'static>(
        &'a self,
        kind: StateKind<T>,
        from: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<T>)> + use<'a, T> {
        self.rows_from(kind, from)
            .filter_map(move |(key, row)| Some((key, kind.of(row.value.as_ref().ok()?)?)))
    }
}
