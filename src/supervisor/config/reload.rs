//! What a running supervisor takes over from a changed file, and what waits for a restart.

use super::Config;
use hal_base::config::Reload;

/// Compares the running configuration with a new one.
///
/// The certificate's files may have changed though their paths did not: whoever serves TLS reads them again
/// whenever a reload is asked for.
pub fn reload(old: &Config, new: &Config) -> Reload<Config> {
    let (was, is) = (&old.server, &new.server);
    let both_tls = old.tls.as_ref().zip(new.tls.as_ref());
    let taken = [
        ("server.auth_token", was.auth_token != is.auth_token),
        ("server.auth_token_opens", was.auth_token_opens != is.auth_token_opens),
        ("server.heartbeat_interval_sec", was.heartbeat_interval != is.heartbeat_interval),
        ("server.heartbeat_timeout_count", was.heartbeat_timeout_count != is.heartbeat_timeout_count),
        ("server.allowed_origins", was.allowed_origins != is.allowed_origins),
        ("server.networks", was.networks != is.networks),
        ("backup.enabled", old.backup.is_on != new.backup.is_on),
        ("backup.interval", old.backup.every != new.backup.every),
        ("backup.keep", old.backup.keep != new.backup.keep),
        ("backup.keep_for", old.backup.keep_for != new.backup.keep_for),
        ("backup.rehearse", old.rehearse_every != new.rehearse_every),
        ("retention.events", old.retention.events != new.retention.events),
        ("retention.audit", old.retention.audit != new.retention.audit),
        ("retention.types", old.retention.types != new.retention.types),
        ("retention.max_size", old.retention.max_size != new.retention.max_size),
        ("retention.archive", old.retention.archive != new.retention.archive),
        ("dependencies", old.dependencies != new.dependencies),
        ("projects.shared", old.shared_projects != new.shared_projects),
        ("policies", old.policies != new.policies),
        ("alerts", old.alerts != new.alerts || old.heartbeat != new.heartbeat),
        ("escalation", old.escalation != new.escalation),
        ("budgets", old.budgets != new.budgets),
        ("routes", old.routes != new.routes),
        ("channels", old.channels != new.channels),
        ("approvals", old.approvals != new.approvals),
        ("cost.model_rates", old.cost.prices.own != new.cost.prices.own),
        ("cost.providers", old.cost.bills != new.cost.bills),
        ("cost.subscriptions", old.cost.prices.subscriptions != new.cost.prices.subscriptions),
        ("security.tls.cert_path", both_tls.is_some_and(|(was, is)| was.cert_path != is.cert_path)),
        ("security.tls.key_path", both_tls.is_some_and(|(was, is)| was.key_path != is.key_path)),
    ];
    let left = [
        ("server.bind", was.bind != is.bind),
        ("server.port", was.port != is.port),
        ("server.http_port", was.http_port != is.http_port),
        ("database.path", old.database != new.database),
        ("security.tls.enabled", old.tls.is_some() != new.tls.is_some()),
    ];
    let mut config = new.clone();
    config.server.bind = was.bind;
    config.server.port = was.port;
    config.server.http_port = was.http_port;
    config.database = old.database.clone();
    if both_tls.is_none() {
        config.tls = old.tls.clone();
    }
    Reload::of(config, &taken, &left)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use hal_base::config::{Purpose, Source};

    fn config(text: &str) -> Config {
        let file = Source { path: Path::new("/tmp/x.json"), bytes: text.as_bytes(), is_open_to_all: false };
        super::super::parse(&file, Purpose::Run).unwrap().0
    }

    #[test]
    fn takes_over_what_it_can_and_names_the_rest() {
        let old = config(r#"{"server": {"auth_token": "a", "port": 1}, "database": {"path": "x.db"}}"#);
        let new = config(
            r#"{"server": {"auth_token": "b", "port": 2, "heartbeat_interval_sec": 5},
                "database": {"path": "y.db"}}"#,
        );
        let reload = reload(&old, &new);
        assert_eq!(reload.applied, ["server.auth_token", "server.heartbeat_interval_sec"]);
        assert_eq!(reload.needs_restart, ["server.port", "database.path"]);
        assert_eq!((reload.config.server.port, &reload.config.database), (1, &old.database));
        assert_eq!(reload.config.server.auth_token, new.server.auth_token);
    }

    #[test]
    fn nothing_changes_when_the_file_did_not() {
        let old = config(r#"{"server": {"auth_token": "a"}, "database": {"path": "x.db"}}"#);
        let reload = reload(&old, &old);
        assert!(reload.applied.is_empty() && reload.needs_restart.is_empty());
    }
}
