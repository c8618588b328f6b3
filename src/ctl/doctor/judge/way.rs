//! The way to the supervisor: ports, names, firewalls, tokens, clocks.

use crate::doctor::facts::{DaemonKind, DoctorFacts, End, Reach, Whose};
use crate::doctor::finding::{Finding, Incident, Remedy};
use hal_protocol::alert::Severity;

/// A supervisor that runs where nothing listens, or a port that somebody else has.
pub fn port(facts: &DoctorFacts) -> Vec<Finding> {
    let Some(port) = &facts.port else { return Vec::new() };
    let Some(supervisor) = facts.daemons.iter().find(|daemon| daemon.kind == DaemonKind::Supervisor) else {
        return Vec::new();
    };
    let number = port.number;
    let look = format!("sudo ss -tlnp 'sport = :{number}'");
    let finding = match (&port.listener, supervisor.is_running()) {
        (None, true) => Finding::new(
            "port.silent",
            Severity::Critical,
            Incident::Unreachable,
            format!("hal-supervisor runs, and nothing listens on port {number}"),
        )
        .helped([look, "sudo systemctl restart hal-supervisor".to_owned()]),
        (Some((pid, name)), runs) if pid.is_none_or(|pid| !runs || !supervisor.pids.contains(&pid)) => {
            // Without root nobody sees whose it is.
            if runs && pid.is_none() {
                return Vec::new();
            }
            let who =
                pid.map_or_else(|| "another process".to_owned(), |pid| format!("{name} (process {pid})"));
            Finding::new(
                "port.taken",
                Severity::Critical,
                Incident::SupervisorCrashed,
                format!("port {number} is taken by {who}, so that hal-supervisor cannot listen there"),
            )
            .shown([format!("process {}: {name}", pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string()))])
            .helped([look])
        }
        _ => return Vec::new(),
    };
    vec![finding.about(number)]
}

/// How the agent's configuration is edited.
fn edit(facts: &DoctorFacts) -> String {
    let agent = facts.daemons.iter().find(|daemon| daemon.kind == DaemonKind::Agent);
    agent.map_or_else(
        || "halctl config get".to_owned(),
        |agent| format!("sudo nano {}", agent.config.path.display()),
    )
}

/// Two configurations of one machine that do not belong together.
pub fn tokens(facts: &DoctorFacts) -> Vec<Finding> {
    if facts.tokens_match != Some(false) {
        return Vec::new();
    }
    let what = "the agent's token is not the supervisor's: auth_token differs in the two configurations here";
    vec![
        Finding::new("token.differs", Severity::High, Incident::AgentConnect, what)
            .shown(facts.daemons.iter().map(|daemon| daemon.config.path.display()))
            .helped([edit(facts), "sudo systemctl restart hal-agent".to_owned()]),
    ]
}

/// Rules that turn away what goes to the supervisor.
pub fn firewall(facts: &DoctorFacts) -> Vec<Finding> {
    let supervisor = facts.port.as_ref().map(|port| port.number);
    let port = supervisor.or_else(|| facts.reaches.first().map(|reach| reach.port)).unwrap_or_default();
    let incident = if supervisor.is_some() { Incident::Unreachable } else { Incident::AgentConnect };
    let barriers = facts.barriers.iter();
    barriers
        .map(|barrier| {
            let help = match barrier.tool {
                "ufw" => format!("sudo ufw allow {port}/tcp"),
                "nft" => {
                    "sudo nft -a list ruleset   # then: sudo nft delete rule FAMILY TABLE CHAIN handle N"
                        .to_owned()
                }
                _ => format!("sudo iptables -I INPUT -p tcp --dport {port} -j ACCEPT"),
            };
            let what = format!("the firewall ({}) blocks port {port}", barrier.tool);
            Finding::new("firewall", Severity::High, incident, what)
                .about(barrier.tool)
                .shown([&barrier.rule])
                .helped([help])
        })
        .collect()
}

/// Ways that do not lead to the supervisor.
pub fn reach(facts: &DoctorFacts) -> Vec<Finding> {
    let is_down =
        facts.daemons.iter().any(|daemon| daemon.kind == DaemonKind::Supervisor && !daemon.is_running());
    // When it is known to be down, that it cannot be reached is no news.
    let news = |reach: &&Reach| !(is_down && matches!(reach.end, End::Refused));
    facts.reaches.iter().filter(news).filter_map(|reach| blocked(facts, reach)).collect()
}

fn blocked(facts: &DoctorFacts, reach: &Reach) -> Option<Finding> {
    let Reach { url, host, port, .. } = reach;
    let config = edit(facts);
    let look = "sudo systemctl status hal-supervisor";
    let is_here = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
    let there = if is_here { look.to_owned() } else { format!("ssh {host} '{look}'") };
    let (name, what, help) = match &reach.end {
        End::In => return None,
        End::Unusable(why) => ("unusable", why.clone(), vec!["halctl config get".to_owned()]),
        End::NoName(why) => (
            "dns",
            format!("the name {host} of the supervisor cannot be resolved: {why}"),
            vec![format!("getent hosts {host}"), "cat /etc/resolv.conf".to_owned()],
        ),
        End::Refused => ("refused", format!("nothing listens on {host} port {port}"), vec![there]),
        End::Silence(why) => (
            "silence",
            format!("no answer from {host} port {port}: {why}; a firewall, or no route"),
            vec![format!("traceroute {host}"), format!("ssh {host} 'sudo ufw allow {port}/tcp'")],
        ),
        End::Tls(why) => ("tls", format!("{url} cannot be trusted: {why}"), vec![config]),
        End::WantsTls => {
            let better = url.replacen("http://", "wss://", 1);
            let help = match reach.whose {
                Whose::Agent => config,
                Whose::Operator => format!("halctl config set --url {better}"),
            };
            ("tls", format!("{url} speaks TLS: use {better} (with wss://)"), vec![help])
        }
        End::Stranger(why) => {
            ("stranger", format!("{url} is not a HAL-O-SWARM supervisor: {why}"), vec![there])
        }
        End::WrongToken(from) => (
            "token",
            format!("{url} does not accept the token of {from}"),
            vec![config, "sudo systemctl restart hal-agent".to_owned()],
        ),
        End::NoToken => (
            "no_token",
            format!("{url} answers, and no token for it was found"),
            vec!["halctl config set --url URL --token-file FILE".to_owned(), "sudo halctl doctor".to_owned()],
        ),
    };
    let severity = if reach.end == End::NoToken { Severity::Low } else { Severity::High };
    let whose = if reach.whose == Whose::Agent { "agent" } else { "halctl" };
    let incident = match reach.end {
        End::NoToken | End::Unusable(_) => Incident::Upkeep,
        _ if reach.whose == Whose::Agent => Incident::AgentConnect,
        _ => Incident::Unreachable,
    };
    Some(
        Finding::new(format!("reach.{name}"), severity, incident, what)
            .about(whose)
            .shown([format!("tried as {whose}: {url}")])
            .helped(help),
    )
}

fn is_unit_here(facts: &DoctorFacts) -> bool {
    facts.daemons.iter().any(|daemon| daemon.kind == DaemonKind::Supervisor && daemon.unit.is_some())
}

/// A supervisor that answers, but not well.
pub fn answer(facts: &DoctorFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    let ours = env!("CARGO_PKG_VERSION");
    for reach in &facts.reaches {
        let url = &reach.url;
        for (component, why) in &reach.sick {
            let incident = if component == "listener" { Incident::Unreachable } else { Incident::Corruption };
            let (severity, word) = match component.as_str() {
                "mirror" => (Severity::Medium, "behind"),
                _ => (Severity::Critical, "not ready"),
            };
            found.push(
                Finding::new(
                    "supervisor.sick",
                    severity,
                    incident,
                    format!("its {component} is {word}: {why}"),
                )
                .about(component)
                .shown([format!("{url}readyz")])
                .helped([
                    format!("curl -s {url}readyz"),
                    "sudo journalctl -u hal-supervisor -p err -n 20".to_owned(),
                ]),
            );
        }
        if let Some((severity, what)) = facts.limits.slow(reach.took) {
            found.push(
                Finding::new("supervisor.slow", severity, Incident::Latency, what)
                    .shown([format!("{url}readyz took {} ms", reach.took.as_millis())])
                    // It takes a second and loses nothing.
                    .fixed(is_unit_here(facts).then_some(Remedy::Restart("hal-supervisor")))
                    .helped([
                        "uptime",
                        "top -p \"$(pgrep -d, -f hal-supervisor)\" -b -n 1",
                        "sudo systemctl restart hal-supervisor",
                    ]),
            );
        }
        if let Some((severity, _)) = reach.skew_ms.and_then(|skew| facts.limits.skew("", skew)) {
            let seconds = reach.skew_ms.unwrap_or_default() as f64 / 1e3;
            let what = format!("the supervisor's clock and this machine's differ by {seconds:.1} s");
            found.push(
                Finding::new("clock.skew", severity, Incident::Latency, what)
                    .helped(["timedatectl", "sudo timedatectl set-ntp true"]),
            );
        }
        if !reach.version.is_empty() && reach.version != ours {
            let what = format!("the supervisor is version {}, this is {ours}", reach.version);
            found.push(Finding::new("version.differs", Severity::Low, Incident::Upkeep, what));
        }
    }
    // Two ways to one supervisor see the same.
    found.sort_by_key(Finding::identity);
    found.dedup_by_key(|finding| finding.identity());
    found
}
