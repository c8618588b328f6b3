//! `halctl join-token`: the line by which a new machine joins.

use reqwest::Url;

use super::actor::revoke;
use super::cli::actor::JoinTokenVerb;
use super::client::{Client, Query};
use super::discover::is_loopback;
use super::print::Screen;
use super::print::record::{Field, Record};
use hal_base::exit::Failure;
use hal_protocol::actor::TokenView;
use hal_protocol::join::{JoinTokenRequest, NewJoinToken};

/// Carries out one of the verbs.
pub async fn run(verb: JoinTokenVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        JoinTokenVerb::List => {
            let mut all = client.list::<TokenView>(&["tokens"], &Query::new()).await?;
            all.retain(|token| token.kind.starts_with("join"));
            screen.list(&all, "No tokens for joining. Make one: halctl join-token create --once")
        }
        JoinTokenVerb::Create { once, expires, label, url } => {
            let body = JoinTokenRequest { label, seconds: expires.as_secs(), is_once: once };
            let new = client.post_with::<NewJoinToken>(&["join-tokens"], &body).await?.data;
            if screen.is_structured() {
                return screen.one(&new);
            }
            let there = url.unwrap_or_else(|| outside(client.url(), new.is_encrypted));
            screen.write(&format!("{}\n", line(&there, &new)))?;
            screen.say(&format!(
                "Give this line to the new machine, as root, within {}{}. It is not shown again; whoever has it can join.",
                super::print::text::span(expires),
                if once { ", once" } else { "" }
            ));
            if !new.is_encrypted {
                screen.say("Warning: this supervisor speaks no TLS; the token goes there as it is.");
            }
            if new.is_encrypted && new.pin.is_empty() {
                screen.say("The new machine must trust the authority of this supervisor's certificate (ca-certificates).");
            }
            Ok(())
        }
        JoinTokenVerb::Revoke { ids } => revoke(&ids, client, screen).await,
    }
}

fn line(there: &str, new: &NewJoinToken) -> String {
    let pin = if new.pin.is_empty() { String::new() } else { format!(" --pin {}", new.pin) };
    format!("hal-agent join {there} --token {}{pin}", new.token)
}

/// How other machines reach the supervisor that was asked: by this machine's name, where it is on this machine.
fn outside(url: &Url, is_encrypted: bool) -> String {
    let host = if is_loopback(url) {
        let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        own.trim().to_owned()
    } else {
        url.host_str().unwrap_or_default().to_owned()
    };
    let scheme = if is_encrypted { "https" } else { "http" };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{host}{port}")
}

impl Record for NewJoinToken {
    fn fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::new("token", &self.token), Field::new("pin", &self.pin)];
        fields.extend(self.about.fields());
        fields
    }
}
