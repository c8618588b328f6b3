//! Rights: the least role of each path of the API and of each command. What is not in the table nobody may.

use hal_protocol::actor::Role::{self, Admin, Agent, Approver, Metrics, Operator, Viewer};
use hal_protocol::command::{CommandRequest, Verb};

/// Paths for whoever has nothing to show yet: what they show is in the body.
pub const OPEN: &[(&str, &str)] = &[("POST", "/api/v1/login")];

/// The least role of each method and path, as the API's document writes them.
pub const PATHS: &[(&str, &str, Role)] = &[
    ("GET", "/metrics", Metrics),
    ("GET", "/api/v1/health", Metrics),
    ("GET", "/api/v1/whoami", Metrics),
    ("GET", "/api/v1/openapi.json", Metrics),
    // Everybody may revoke what they show; another's token takes an administrator.
    ("DELETE", "/api/v1/tokens/{id}", Metrics),
    // A machine, by a token for joining.
    ("POST", "/api/v1/join", Agent),
    // What goes on.
    ("GET", "/api/v1/alerts", Viewer),
    ("GET", "/api/v1/alerts/{id}", Viewer),
    ("GET", "/api/v1/approvals", Viewer),
    ("GET", "/api/v1/approvals/{id}", Viewer),
    ("GET", "/api/v1/archives", Viewer),
    ("GET", "/api/v1/archives/search", Viewer),
    ("GET", "/api/v1/backends", Viewer),
    ("GET", "/api/v1/backups", Viewer),
    ("GET", "/api/v1/budgets", Viewer),
    ("GET", "/api/v1/budgets/{name}", Viewer),
    ("GET", "/api/v1/channels", Viewer),
    ("GET", "/api/v1/channels/{name}/queue", Viewer),
    ("GET", "/api/v1/commands", Viewer),
    ("GET", "/api/v1/commands/{id}", Viewer),
    ("GET", "/api/v1/cost", Viewer),
    ("GET", "/api/v1/cost/bills", Viewer),
    ("GET", "/api/v1/cost/exposure", Viewer),
    ("GET", "/api/v1/cost/prices", Viewer),
    ("GET", "/api/v1/cost/reconcile", Viewer),
    ("GET", "/api/v1/cost/status", Viewer),
    ("GET", "/api/v1/cost/{period}", Viewer),
    ("GET", "/api/v1/events", Viewer),
    ("GET", "/api/v1/halts", Viewer),
    ("GET", "/api/v1/live", Viewer),
    ("GET", "/api/v1/names", Viewer),
    ("GET", "/api/v1/nodes", Viewer),
    ("GET", "/api/v1/nodes/{id}", Viewer),
    ("GET", "/api/v1/policies", Viewer),
    ("GET", "/api/v1/progress", Viewer),
    ("GET", "/api/v1/routes", Viewer),
    ("GET", "/api/v1/sessions", Viewer),
    ("GET", "/api/v1/sessions/{id}", Viewer),
    ("GET", "/api/v1/sessions/{id}/conversation", Viewer),
    ("GET", "/api/v1/sessions/{id}/policies", Viewer),
    ("GET", "/api/v1/silences", Viewer),
    ("GET", "/api/v1/store", Viewer),
    ("GET", "/api/v1/stream", Viewer),
    ("GET", "/api/v1/whoami/tokens", Viewer),
    // For oneself.
    ("POST", "/api/v1/login/code", Viewer),
    ("POST", "/api/v1/logout", Viewer),
    // Tests a route against what was: nobody is told of it.
    ("POST", "/api/v1/routes/test/{id}", Viewer),
    // Answering and stopping. Each command has a role of its own beside: see [`of_command`].
    ("POST", "/api/v1/alerts/{id}/ack", Approver),
    ("POST", "/api/v1/approvals/{id}/answer", Approver),
    ("POST", "/api/v1/approvals/{id}/snooze", Approver),
    // Whoever cannot answer has not seen it: a page on a wall would tell that somebody has.
    ("POST", "/api/v1/approvals/seen", Approver),
    ("POST", "/api/v1/commands", Approver),
    // Working.
    ("POST", "/api/v1/alerts", Operator),
    ("POST", "/api/v1/channels/{name}/retry", Operator),
    ("POST", "/api/v1/channels/{name}/test", Operator),
    ("POST", "/api/v1/commands/{id}/cancel", Operator),
    ("POST", "/api/v1/cost/update", Operator),
    ("POST", "/api/v1/silences", Operator),
    ("POST", "/api/v1/silences/{id}/expire", Operator),
    // People, machines, money and the store.
    ("GET", "/api/v1/actors", Admin),
    ("GET", "/api/v1/audit", Admin),
    ("GET", "/api/v1/audit/export", Admin),
    ("GET", "/api/v1/audit/{id}", Admin),
    ("GET", "/api/v1/recovery-key", Admin),
    ("GET", "/api/v1/tokens", Admin),
    ("POST", "/api/v1/actors/{name}/tokens", Admin),
    ("POST", "/api/v1/archives/{name}/restore", Admin),
    ("POST", "/api/v1/audit/verify", Admin),
    ("POST", "/api/v1/backups", Admin),
    ("POST", "/api/v1/backups/rehearse", Admin),
    ("POST", "/api/v1/backups/{name}/verify", Admin),
    ("POST", "/api/v1/budgets/{name}/raise", Admin),
    ("POST", "/api/v1/join-tokens", Admin),
    ("POST", "/api/v1/nodes/{id}/forget-epoch", Admin),
    ("POST", "/api/v1/nodes/{id}/revoke", Admin),
    ("POST", "/api/v1/recovery-key", Admin),
    ("POST", "/api/v1/store/diff", Admin),
    ("POST", "/api/v1/store/merge", Admin),
    ("POST", "/api/v1/tokens/{id}/rotate", Admin),
    ("PUT", "/api/v1/actors/{name}", Admin),
    ("PUT", "/api/v1/budgets/{name}", Admin),
    ("DELETE", "/api/v1/actors/{name}", Admin),
    ("DELETE", "/api/v1/budgets/{name}", Admin),
    ("DELETE", "/api/v1/nodes/{id}", Admin),
];

/// Whose a path is by a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Whoever has this role, or a greater one.
    Of(Role),
    /// The path has other methods.
    OtherMethods,
    /// The table has no row for it: nobody may.
    Nobodys,
}

/// Whose a path is.
pub fn of_path(method: &str, path: &str) -> Right {
    // A HEAD is a GET without the body.
    let method = if method == "HEAD" { "GET" } else { method };
    let mut found = Right::Nobodys;
    for (its, _, role) in PATHS.iter().filter(|(_, place, _)| *place == path) {
        if *its == method {
            return Right::Of(*role);
        }
        found = Right::OtherMethods;
    }
    found
}

/// The least role for cancelling a command of somebody else: what stops is called off by nobody who could not start it again.
pub fn of_cancelling(verb: Verb) -> Role {
    match verb {
        Verb::HaltWork | Verb::AbortSession | Verb::KillSession | Verb::PauseSession => Admin,
        _ => Operator,
    }
}

/// The least role of a command. Stopping is for whoever may answer; releasing a halt is not.
pub fn of_command(request: &CommandRequest) -> Role {
    let releases = request.args.get("release").is_some_and(|release| !release.is_null() && *release != false);
    match Verb::parse(&request.verb) {
        Some(Verb::HaltWork) if releases => Admin,
        Some(
            Verb::HaltWork
            | Verb::AbortSession
            | Verb::KillSession
            | Verb::PauseSession
            | Verb::AnswerPermission
            | Verb::AnswerQuestion
            | Verb::SessionStatus,
        ) => Approver,
        Some(
            Verb::CreateSession
            | Verb::PromptSession
            | Verb::RestartSession
            | Verb::ReleaseSession
            | Verb::ArchiveSession
            | Verb::LabelSession,
        ) => Operator,
        // It is refused further on, with what there is.
        None => Approver,
    }
}

/// The sentence for somebody whose role does not do.
pub fn lacks(name: &str, role: Role, least: Role) -> String {
    if least == Agent {
        return format!(
            "machines join by a token made for that (halctl join-token create), and {name} is no machine"
        );
    }
    format!("this takes the role {least}, and {name} has the role {role}; an administrator can change that")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn command(verb: &str, args: &serde_json::Value) -> CommandRequest {
        let args = args.as_object().cloned().unwrap_or_default();
        CommandRequest { verb: verb.into(), args, ..CommandRequest::default() }
    }

    #[test]
    fn no_path_has_two_rows() {
        for (index, (method, path, _)) in PATHS.iter().enumerate() {
            let first = PATHS.iter().position(|(its, place, _)| its == method && place == path);
            assert_eq!(first, Some(index), "{method} {path}");
        }
        assert_eq!(of_path("HEAD", "/api/v1/nodes"), Right::Of(Viewer));
        assert_eq!(of_path("PATCH", "/api/v1/nodes"), Right::OtherMethods);
        assert_eq!(of_path("GET", "/api/v1/nowhere"), Right::Nobodys);
    }

    #[test]
    fn an_approver_stops_and_only_an_administrator_lets_go() {
        assert_eq!(of_command(&command("halt_work", &json!({}))), Approver);
        assert_eq!(of_command(&command("halt_work", &json!({"release": false}))), Approver);
        assert_eq!(of_command(&command("halt_work", &json!({"release": null}))), Approver, "it says nothing");
        for release in [json!(true), json!("yes"), json!(1)] {
            assert_eq!(of_command(&command("halt_work", &json!({ "release": release }))), Admin);
        }
        assert_eq!(of_command(&command("kill_session", &json!({}))), Approver);
        assert_eq!(of_command(&command("create_session", &json!({}))), Operator);
        for verb in Verb::ALL {
            assert!(of_command(&command(verb.as_str(), &json!({}))) >= Approver, "{verb:?}");
        }
    }
}
