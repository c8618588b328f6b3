//! Short names: the beginning of a name is as good as the name where no other begins so, and `@last` is the newest.

use super::cli::alert::{AlertVerb, SilenceVerb};
use super::cli::approval::ApprovalVerb;
use super::cli::archive::{ArchiveVerb, BackupVerb};
use super::cli::budget::BudgetVerb;
use super::cli::node::NodeVerb;
use super::cli::policy::PolicyVerb;
use super::cli::project::{BackendVerb, ProjectVerb};
use super::cli::session::{ActVerb, LifeVerb, SessionVerb};
use super::cli::store::StoreVerb;
use super::cli::{CommandVerb, EventVerb, Noun};
use super::client::{Client, Query};
use hal_base::exit::{Exit, Failure};
use hal_protocol::archive::Archive;
use hal_protocol::backup::Backup;
use hal_protocol::name::{NameKind, Named};

/// The newest of its kind.
pub const LAST: &str = "@last";

/// Names in a sentence about too many of them.
const SHOWN: usize = 5;

/// What is asked for to see that a beginning fits several.
const ASKED: usize = 50;

/// A name as long as this is whole: asking whether it is the beginning of another would only take time.
const WHOLE: usize = 30;

/// What a word of the command line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedKind {
    /// Something that the supervisor tells by its kind.
    Of(NameKind),
    /// An archive.
    Archive,
    /// A backup.
    Backup,
}

/// Makes whole names of all short ones in a command line.
pub async fn complete(noun: &mut Noun, client: &Client) -> Result<(), Failure> {
    for (kind, word) in words(noun) {
        *word = whole(kind, word, client).await?;
    }
    Ok(())
}

/// The name that a word means. What is the beginning of none stays as it is: whoever is asked says that better.
async fn whole(kind: NamedKind, word: &str, client: &Client) -> Result<String, Failure> {
    let is_last = word == LAST;
    if !is_last && (word.is_empty() || word.len() >= WHOLE) {
        return Ok(word.to_owned());
    }
    let prefix = if is_last { "" } else { word };
    let names = match names(kind, prefix, client).await {
        Ok(names) => names,
        Err(failure) if is_last => return Err(failure),
        Err(_) => return Ok(word.to_owned()),
    };
    let said = match kind {
        NamedKind::Of(kind) => kind.as_str(),
        NamedKind::Archive => "archive",
        NamedKind::Backup => "backup",
    };
    match (names.as_slice(), is_last) {
        ([], true) => Err(Failure::say(Exit::NotFound, format!("{LAST}: there is no {said} yet"))),
        ([newest, ..], true) => Ok(newest.clone()),
        (names, _) if names.iter().any(|name| name == word) => Ok(word.to_owned()),
        ([only], _) => Ok(only.clone()),
        ([], _) => Ok(word.to_owned()),
        (many, _) => Err(ambiguous(word, said, many)),
    }
}

fn ambiguous(word: &str, said: &str, many: &[String]) -> Failure {
    let more = match many.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown = many[..many.len().min(SHOWN)].join(", ");
    let sentence =
        format!("{word:?} is the beginning of more than one {said}: {shown}{more}. Type more of it");
    Failure::say(Exit::Usage, sentence)
}

/// Names of a kind that begin so, the newest first.
pub async fn names(kind: NamedKind, prefix: &str, client: &Client) -> Result<Vec<String>, Failure> {
    Ok(named(kind, prefix, client).await?.into_iter().map(|named| named.name).collect())
}

/// The same with what each is about.
pub async fn named(kind: NamedKind, prefix: &str, client: &Client) -> Result<Vec<Named>, Failure> {
    let mut all: Vec<Named> = match kind {
        NamedKind::Of(kind) => {
            let query = vec![
                ("kind", kind.as_str().to_owned()),
                ("prefix", prefix.to_owned()),
                ("limit", ASKED.to_string()),
            ];
            client.get::<Vec<Named>>(&["names"], &query).await?.data
        }
        NamedKind::Archive => {
            let all = client.get::<Vec<Archive>>(&["archives"], &Query::new()).await?.data;
            all.iter().map(|one| Named::new(&one.name, &one.table)).collect()
        }
        NamedKind::Backup => {
            let all = client.get::<Vec<Backup>>(&["backups"], &Query::new()).await?.data;
            all.iter().map(|one| Named::new(&one.name, one.made_at)).collect()
        }
    };
    all.retain(|one| one.name.starts_with(prefix));
    Ok(all)
}

/// What in a command line is a name. Names that are given to something new, and projects to begin a session in, are
/// typed whole: a slip there does something else.
fn words(noun: &mut Noun) -> Vec<(NamedKind, &mut String)> {
    use NameKind::{Alert, Approval, Budget, Command, Node, Project, Session, Silence};
    let mut found: Vec<(NameKind, &mut String)> = Vec::new();
    match noun {
        Noun::Nodes(
            NodeVerb::Get { id }
            | NodeVerb::Remove { id }
            | NodeVerb::Revoke { id }
            | NodeVerb::ForgetEpoch { id },
        ) => found.push((Node, id)),
        Noun::Projects(ProjectVerb::List { node_id, .. })
        | Noun::Backends(BackendVerb::List { node_id, .. }) => {
            found.extend(node_id.as_mut().map(|id| (Node, id)));
        }
        Noun::Top(asked) => {
            found.extend(asked.node_id.as_mut().map(|id| (Node, id)));
            found.extend(asked.project.as_mut().map(|name| (Project, name)));
        }
        Noun::Sessions(verb) => found.extend(of_sessions(verb)),
        Noun::Policies(PolicyVerb::Explain { id }) => found.push((Session, id)),
        Noun::Policies(PolicyVerb::Test { session, .. }) => {
            found.extend(session.as_mut().map(|id| (Session, id)));
        }
        Noun::Events(EventVerb::List { filter, .. } | EventVerb::Tail { filter }) => {
            found.extend(filter.session.as_mut().map(|id| (Session, id)));
            found.extend(filter.node_id.as_mut().map(|id| (Node, id)));
            found.extend(filter.project.as_mut().map(|name| (Project, name)));
        }
        Noun::Commands(CommandVerb::List { node_id, session, .. }) => {
            found.extend(session.as_mut().map(|id| (Session, id)));
            found.extend(node_id.as_mut().map(|id| (Node, id)));
        }
        Noun::Commands(CommandVerb::Get { id } | CommandVerb::Cancel { id }) => found.push((Command, id)),
        Noun::Approvals(ApprovalVerb::List { node_id, session, .. }) => {
            found.extend(session.as_mut().map(|id| (Session, id)));
            found.extend(node_id.as_mut().map(|id| (Node, id)));
        }
        Noun::Approvals(
            ApprovalVerb::Get { id }
            | ApprovalVerb::Allow { id, .. }
            | ApprovalVerb::Deny { id, .. }
            | ApprovalVerb::Answer { id, .. }
            | ApprovalVerb::Snooze { id, .. },
        ) => found.push((Approval, id)),
        // Numbers are whole: 1 is not the beginning of 12.
        Noun::Alerts(AlertVerb::Get { id }) if id == LAST => found.push((Alert, id)),
        Noun::Alerts(AlertVerb::Ack { ids }) => {
            found.extend(ids.iter_mut().filter(|id| *id == LAST).map(|id| (Alert, id)));
        }
        Noun::Alerts(AlertVerb::Silence { verb: Some(SilenceVerb::Expire { id }) }) => {
            found.push((Silence, id));
        }
        Noun::Budgets(BudgetVerb::Get { name }) => found.push((Budget, name)),
        Noun::Budgets(BudgetVerb::Raise { session, .. }) => {
            found.extend(session.as_mut().map(|id| (Session, id)));
        }
        Noun::Store(StoreVerb::Diff { which, .. } | StoreVerb::Merge { which, .. }) => {
            found.extend(which.session.as_mut().map(|id| (Session, id)));
        }
        Noun::Archive(ArchiveVerb::Restore { name }) => return vec![(NamedKind::Archive, name)],
        Noun::Backup(BackupVerb::Verify { name: Some(name) }) => return vec![(NamedKind::Backup, name)],
        _ => {}
    }
    found.into_iter().map(|(kind, word)| (NamedKind::Of(kind), word)).collect()
}

fn of_sessions(verb: &mut SessionVerb) -> Vec<(NameKind, &mut String)> {
    use NameKind::{Node, Project, Session};
    match verb {
        SessionVerb::List { node_id, project, .. } => {
            let node = node_id.as_mut().map(|id| (Node, id));
            node.into_iter().chain(project.as_mut().map(|name| (Project, name))).collect()
        }
        SessionVerb::Get { id }
        | SessionVerb::Logs { id, .. }
        | SessionVerb::Watch { id }
        | SessionVerb::Attach { id, .. }
        | SessionVerb::Wait { id, .. } => vec![(Session, id)],
        SessionVerb::Act(ActVerb::Start { node_id, .. }) => node_id.iter_mut().map(|id| (Node, id)).collect(),
        SessionVerb::Act(
            ActVerb::Prompt { id, .. }
            | ActVerb::Resume { id, .. }
            | ActVerb::Abort { id, .. }
            | ActVerb::Kill { id, .. }
            | ActVerb::Allow { id, .. }
            | ActVerb::Deny { id, .. }
            | ActVerb::Answer { id, .. },
        )
        | SessionVerb::Life(
            LifeVerb::Restart { id, .. }
            | LifeVerb::Pause { id, .. }
            | LifeVerb::Unpause { id, .. }
            | LifeVerb::Archive { id, .. }
            | LifeVerb::Label { id, .. },
        ) => vec![(Session, id)],
        SessionVerb::Life(LifeVerb::Halt { .. }) => Vec::new(),
    }
}
