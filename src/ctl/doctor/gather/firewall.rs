//! Rules of a firewall that turn away what goes to the supervisor's port.

use crate::doctor::facts::{Barrier, DoctorFacts, Reach};
use crate::tool::{QUICK, Tools};

/// Looks at all firewalls that can be asked.
pub async fn barriers(tools: &Tools, facts: &DoctorFacts, notes: &mut Vec<String>) -> Vec<Barrier> {
    let incoming = facts.port.as_ref().map(|port| port.number);
    let Some(port) = incoming.or_else(|| facts.reaches.first().map(|reach: &Reach| reach.port)) else {
        return Vec::new();
    };
    let is_server = incoming.is_some();
    let (mut found, mut asked) = (Vec::new(), 0);
    for (tool, line) in [
        ("ufw", &["ufw", "status"][..]),
        ("iptables", &["iptables", "-S"]),
        ("nft", &["nft", "list", "ruleset"]),
    ] {
        match tools.run(line, QUICK).await {
            Ok(said) if said.is_well() => {
                asked += 1;
                found.extend(read(tool, &said.out, port, is_server));
            }
            // Most machines have one of them.
            Ok(_) | Err(_) => {}
        }
    }
    if asked == 0 {
        notes.push(
            "no firewall was checked: ufw, iptables and nft are not installed, or need root".to_owned(),
        );
    }
    // iptables on nftables shows the same rule twice.
    if found.iter().any(|barrier| barrier.tool == "iptables") {
        found.retain(|barrier| barrier.tool != "nft");
    }
    found
}

fn read(tool: &'static str, text: &str, port: u16, is_server: bool) -> Option<Barrier> {
    let rule = match tool {
        "ufw" => ufw(text, port, is_server),
        "iptables" => iptables(text, port, if is_server { "INPUT" } else { "OUTPUT" }),
        _ => nft(text, port),
    };
    rule.map(|rule| Barrier { tool, rule })
}

/// `8420/tcp   ALLOW IN   Anywhere`. An active ufw lets nothing in that no rule lets in.
fn ufw(text: &str, port: u16, is_server: bool) -> Option<String> {
    if !text.lines().any(|line| line.trim() == "Status: active") {
        return None;
    }
    let number = port.to_string();
    let to = |line: &&str| {
        let first = line.split_whitespace().next().unwrap_or_default();
        first == "Anywhere" || first.split('/').next() == Some(number.as_str())
    };
    let rules: Vec<&str> = text.lines().filter(to).collect();
    let denied = rules.iter().find(|rule| rule.contains("DENY") || rule.contains("REJECT"));
    let allowed = rules.iter().any(|rule| rule.contains("ALLOW") || rule.contains("LIMIT"));
    match (denied, allowed) {
        (Some(rule), false) => Some(rule.split_whitespace().collect::<Vec<_>>().join(" ")),
        (_, false) if is_server => Some(format!("ufw is active, and no rule allows {port}/tcp")),
        _ => None,
    }
}

/// `-A INPUT -p tcp -m tcp --dport 8420 -j DROP`: the first rule about the port decides, then the policy.
fn iptables(text: &str, port: u16, chain: &str) -> Option<String> {
    let mut policy = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |flag: &str| {
            words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1)).copied()
        };
        match words.as_slice() {
            ["-P", name, "DROP", ..] if *name == chain => policy = Some(line.to_owned()),
            ["-A", name, ..] if *name == chain => {
                let all = ["-p", "-s", "-d", "-i", "-o", "-m"].iter().all(|flag| after(flag).is_none());
                let is_it = after("--dport") == Some(port.to_string().as_str()) || all;
                // A rule for some addresses says nothing of the others.
                let is_it = is_it && ["-s", "-d", "-i", "-o"].iter().all(|flag| after(flag).is_none());
                match after("-j") {
                    Some("DROP" | "REJECT") if is_it => return Some(line.to_owned()),
                    Some("ACCEPT") if is_it => return None,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    policy
}

/// `tcp dport 8420 drop`, with counters and more in between.
fn nft(text: &str, port: u16) -> Option<String> {
    let dport = format!("dport {port} ");
    let rule = text.lines().map(str::trim).find(|line| {
        line.contains(&dport)
            && (line.ends_with("drop") || line.contains(" drop ") || line.contains("reject"))
    });
    rule.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ufw_that_is_active_must_let_the_port_in() {
        let text = "Status: active\n\nTo         Action      From\n--         ------      ----\n22/tcp     ALLOW       Anywhere\n";
        assert!(ufw(text, 8420, true).unwrap().contains("no rule allows 8420/tcp"));
        assert_eq!(ufw(text, 8420, false), None, "an agent's machine lets everything out");
        let allowed = format!("{text}8420/tcp   ALLOW       Anywhere\n");
        assert_eq!(ufw(&allowed, 8420, true), None);
        let denied = format!("{text}8420       DENY        Anywhere\n");
        assert_eq!(ufw(&denied, 8420, true).unwrap(), "8420 DENY Anywhere");
        assert_eq!(ufw("Status: inactive\n", 8420, true), None);
    }

    #[test]
    fn the_first_rule_of_iptables_decides() {
        let drop = "-P INPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport 8420 -j DROP\n";
        assert!(iptables(drop, 8420, "INPUT").unwrap().ends_with("-j DROP"));
        assert_eq!(iptables(drop, 8421, "INPUT"), None);
        let allow = "-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 8420 -j ACCEPT\n";
        assert_eq!(iptables(allow, 8420, "INPUT"), None);
        assert_eq!(iptables(allow, 8421, "INPUT").unwrap(), "-P INPUT DROP");
        let one = "-P INPUT DROP\n-A INPUT -s 10.0.0.9/32 -p tcp -m tcp --dport 8420 -j ACCEPT\n";
        assert_eq!(iptables(one, 8420, "INPUT").unwrap(), "-P INPUT DROP", "one address is not all");
        let all = "-P INPUT ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-port-unreachable\n";
        assert!(iptables(all, 8420, "INPUT").is_some());
        assert_eq!(iptables(drop, 8420, "OUTPUT"), None);
    }

    #[test]
    fn a_rule_of_nft_is_found() {
        assert!(nft("  tcp dport 8420 counter packets 3 bytes 180 drop\n", 8420).is_some());
        assert_eq!(nft("  tcp dport 8420 accept\n", 8420), None);
    }
}
