//! The types of events that are ours: what people filter and route by, each defined here and nowhere else.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A type of event that means something to us. Others are kept under their own name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name of the type.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// The type of a name; `None` when it is not one of ours.
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($word => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// A session was made.
    SessionCreated = "session.created",
    /// Its title, its sums or its model are others now.
    SessionUpdated = "session.updated",
    /// It was deleted at the coding agent.
    SessionDeleted = "session.deleted",
    /// A turn runs, waits for its provider, or is over.
    SessionStatus = "session.status",
    /// The turn is over.
    SessionIdle = "session.idle",
    /// The turn has failed, or was stopped.
    SessionError = "session.error",
    /// Its conversation was summarised to make room.
    SessionCompacted = "session.compacted",
    /// It was killed, or is gone.
    SessionEnded = "session.ended",
    /// Its turn was cut off from outside.
    SessionInterrupted = "session.interrupted",
    /// A person, or a policy for one, has paused it.
    SessionPaused = "session.paused",
    /// It may go on.
    SessionResumed = "session.resumed",
    /// It hands its work over to another session, or has.
    SessionHandover = "session.handover",
    /// A message, as far as it is written.
    MessageUpdated = "message.updated",
    /// A piece of a message: words, a tool, files that were changed.
    PartUpdated = "message.part.updated",
    /// Words as they are written; live only.
    PartDelta = "message.part.delta",
    /// It asks whether it may.
    PermissionAsked = "permission.asked",
    /// Somebody has answered that.
    PermissionReplied = "permission.replied",
    /// It asks something.
    QuestionAsked = "question.asked",
    /// Somebody has answered that.
    QuestionReplied = "question.replied",
    /// Nobody will answer it.
    QuestionRejected = "question.rejected",
    /// The session's own list of things to do.
    TodoUpdated = "todo.updated",
    /// A file was changed.
    FileEdited = "file.edited",
    /// A policy has decided to act.
    PolicyDecided = "policy.decided",
    /// What it asked for came to nothing.
    PolicyFailed = "policy.failed",
    /// A project, or everything, was halted.
    HaltSet = "halt.set",
    /// It goes on.
    HaltReleased = "halt.released",
    /// The supervisor's clock was set.
    ClockJumped = "clock.jumped",
    /// Events are missing, or may be.
    Gap = "gap",
    /// A node could store nothing for a while.
    JournalBlocked = "journal.blocked",
    /// An agent does not stay up.
    AgentRestarted = "agent.restarted",
    /// A backend works.
    BackendStarted = "backend.started",
    /// A backend does not work.
    BackendStopped = "backend.stopped",
    /// A project cannot be worked in.
    ProjectError = "project.error",
    /// It can again.
    ProjectOk = "project.ok",
    /// A node is connected.
    NodeOnline = "node.online",
    /// A node is not.
    NodeOffline = "node.offline",
    /// A node was forgotten.
    NodeRemoved = "node.removed",
    /// An approval waits for an answer.
    ApprovalAsked = "approval.asked",
    /// Somebody has answered it.
    ApprovalAnswered = "approval.answered",
    /// The session does not wait any more, and no answer from here is the reason.
    ApprovalLapsed = "approval.lapsed",
    /// The session moved on with the answer.
    ApprovalSettled = "approval.settled",
    /// It is not to be told again for a while.
    ApprovalSnoozed = "approval.snoozed",
    /// Nobody has answered in time.
    ApprovalTimeUp = "approval.time_up",
    /// The answer did not arrive.
    ApprovalUndelivered = "approval.undelivered",
    /// A turn was interrupted for want of money.
    BudgetInterrupted = "budget.interrupted",
    /// A budget is spent.
    BudgetReached = "budget.reached",
    /// A budget is nearly spent.
    BudgetWarning = "budget.warning",
    /// A provider bills something else than what is in the ledger.
    CostDiscrepancy = "cost.discrepancy",
    /// A policy may not act any more.
    PolicyExhausted = "policy.exhausted",
}
