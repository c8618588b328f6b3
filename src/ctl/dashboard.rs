//! `halctl dashboard`: a link that logs a browser in, once.

use serde::Serialize;

use super::client::Client;
use super::discover::Target;
use super::print::Screen;
use hal_base::clock::Time;
use hal_base::exit::Failure;
use hal_protocol::actor::LoginCode;

/// The link.
#[derive(Debug, Serialize)]
struct Link {
    /// The address of the dashboard with the code in it. Browsers do not send what stands behind the `#`, so no log of a
    /// proxy holds the code.
    url: String,
    /// Until when it is good.
    #[serde(with = "hal_protocol::api::rfc3339")]
    expires_at: Time,
}

/// Prints it. No browser is started: the other users of this machine could read the link in the list of processes.
pub async fn run(target: &Target, screen: &mut Screen) -> Result<(), Failure> {
    let LoginCode { code, expires_at } =
        Client::new(target.clone())?.post::<LoginCode>(&["login", "code"]).await?.data;
    let link = Link { url: format!("{}#code={code}", target.url), expires_at };
    if screen.is_structured() {
        return screen.structured(&link);
    }
    screen.write(&format!("{}\n", link.url))?;
    screen.say("Open it in a browser. It works once, and for five minutes.");
    Ok(())
}
