//! What a kind must be able to say and to hear, for one session.

use std::io;

use super::host::Given;
use super::process::{LineProcess, Spoken};
use super::turn::{Note, OpenAsk, Said, Turn};
use crate::backend::BackendError;
use hal_protocol::session::SessionId;

/// How one session is spoken with, in the language of its kind.
pub trait Tongue: Send + 'static {
    /// A line of it.
    type Line: Spoken;
    /// What a request says.
    type Asked: Clone + Send + Sync + 'static;

    /// Whether what is answered to a request is nobody's business.
    fn is_secret(asked: &Self::Asked) -> bool {
        let _ = asked;
        false
    }

    /// Its turns.
    fn turn(&mut self) -> &mut Turn<Self::Asked>;

    /// Its helpers.
    fn helpers(&self) -> Vec<SessionId>;

    /// Starts a process with the session in it.
    fn start(&mut self) -> impl Future<Output = Result<LineProcess<Self::Line>, BackendError>> + Send;

    /// Says something.
    fn prompt(
        &mut self,
        process: &mut LineProcess<Self::Line>,
        said: &Said,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// True while a message of this name waits here for the end of a turn, and was not said yet.
    fn is_waiting(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Asks to stop the turn, and to drop what was said and has not begun.
    fn interrupt(
        &mut self,
        process: &mut LineProcess<Self::Line>,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Says what has waited for the end of a turn.
    fn go_on(
        &mut self,
        process: &mut LineProcess<Self::Line>,
    ) -> impl Future<Output = io::Result<()>> + Send {
        let _ = process;
        async { Ok(()) }
    }

    /// The process has ended in order, with nothing running.
    fn rested(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Answers a request; gives the word for the answer.
    fn answer(
        &mut self,
        process: &mut LineProcess<Self::Line>,
        ask: &OpenAsk<Self::Asked>,
        given: &Given,
    ) -> impl Future<Output = io::Result<String>> + Send;

    /// Says that a request is not answered, and why.
    fn refuse(
        &mut self,
        process: &mut LineProcess<Self::Line>,
        request: &str,
        why: &str,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Takes a line.
    fn hear(&mut self, line: Self::Line) -> impl Future<Output = Note> + Send;

    /// The process has ended: what ran is cut off, for this reason.
    fn cut(&mut self, reason: &str) -> impl Future<Output = ()> + Send;

    /// Whether the message of this name is in the coding agent's own record; `None`: that cannot be known.
    fn has_taken(&self, name: &str) -> impl Future<Output = Option<bool>> + Send;
}
