//! The proof that an agent gives of itself before hello, where it says no token: by its machine's own key, or by the token
//! that all share, which then proves the supervisor, too.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use axum::http::HeaderMap;
use tokio::time::timeout;

use super::caller::{Pass, WrongToken};
use super::shared::Shared;
use hal_base::{clock, id, proof};
use hal_protocol::actor::key_id;
use hal_protocol::frame::{FromAgent, ToAgent};
use hal_protocol::proof::{
    Challenge, PROOF_HEADER, Proof, ProofBy, Proved, said_by_agent, said_by_supervisor,
};
use hal_rules::actor::why_not;

/// The whole exchange is over within this time.
const LIMIT: Duration = Duration::from_secs(10);

/// What is said of a proof that is none.
const NOT_THE_TOKEN: &str =
    "its token is not this supervisor's: compare auth_token in both files, then restart it";
const NOT_THE_KEY: &str = "the key of its machine is not known here: let it join again (hal-agent join)";
const NO_KEY_ANY_MORE: &str = "the key of its machine was revoked: remove the file that key_file names and let it join again \
                               (hal-agent join)";
const NOT_OUR_KEY: &str = "it has seen another key than this supervisor's: somebody stands in between, or a proxy ends TLS \
                           and speaks TLS here again; let it speak plainly to this supervisor from a loopback address";

/// Why nothing was proved.
#[derive(Debug)]
pub enum Unproved {
    /// The connection ended, or nothing came in time: there is nobody to tell.
    Gone,
    /// What came is no proof.
    Broken(String),
    /// It is one of something else.
    Wrong(WrongToken),
}

/// By what whoever opens this connection will prove who it is, when it says so.
pub fn asked_for(headers: &HeaderMap) -> Option<ProofBy> {
    ProofBy::parse(headers.get(PROOF_HEADER)?.to_str().ok()?)
}

/// Asks for a proof, and answers it.
pub async fn take(
    shared: &Shared,
    socket: &mut WebSocket,
    source: SocketAddr,
    by: ProofBy,
) -> Result<Pass, Unproved> {
    let taken = async {
        let challenge = Challenge { nonce: id::fresh_secret() };
        say(socket, ToAgent::Challenge(challenge.clone())).await?;
        let proof = hear(socket).await?;
        if proof.by != by {
            return Err(Unproved::Broken("the proof is of another kind than was announced".into()));
        }
        let pass = judge(shared, source, &challenge, &proof)?;
        let pin = shared.certificate.as_ref().map(|own| own.anchor().to_string()).unwrap_or_default();
        let value = match by {
            ProofBy::Key => String::new(),
            ProofBy::Token => {
                let text = said_by_supervisor(&challenge, &proof, &pin);
                proof::sealed(&shared.doors.load().secret, &text)
            }
        };
        say(socket, ToAgent::Proved(Proved { value, pin })).await?;
        Ok(pass)
    };
    timeout(LIMIT, taken).await.unwrap_or(Err(Unproved::Gone))
}

/// Whose proof it is.
fn judge(
    shared: &Shared,
    source: SocketAddr,
    challenge: &Challenge,
    proof: &Proof,
) -> Result<Pass, Unproved> {
    let wrong = |why, id: Option<String>| Unproved::Wrong(WrongToken { why, id, was_of: None });
    // Without TLS here a proxy may have ended it: what it has shown is not known, and the connection from there is its own.
    let is_encrypted = shared.entrance.is_encrypted(source);
    let is_seen = |seen: &str| shared.certificate.as_ref().is_some_and(|own| own.is_own(seen));
    if is_encrypted && !is_seen(&proof.seen) {
        return Err(wrong(NOT_OUR_KEY, None));
    }
    let text = said_by_agent(challenge, proof);
    match proof.by {
        ProofBy::Token => {
            let doors = shared.doors.load();
            if proof::is_sealed(&doors.secret, &text, &proof.value) {
                return Ok(Pass::Shared(doors.token, doors.token_role));
            }
            Err(wrong(NOT_THE_TOKEN, None))
        }
        ProofBy::Key => {
            let view = shared.hub.view();
            let id = key_id(&proof.key);
            let Some((credential, actor)) = view.credential(&id) else {
                return Err(wrong(NOT_THE_KEY, None));
            };
            let is_its = credential.key() == Some(proof.key.as_str());
            if !is_its || !proof::is_signed(&proof.key, &text, &proof.value) {
                return Err(wrong(NOT_THE_KEY, Some(id)));
            }
            match (why_not(credential, actor.map(|actor| &**actor), clock::now()), actor) {
                (None, Some(actor)) => Ok(Pass::Token(credential.clone(), actor.clone())),
                (_, _) => {
                    let was_of = Some(credential.clone());
                    Err(Unproved::Wrong(WrongToken { why: NO_KEY_ANY_MORE, id: Some(id), was_of }))
                }
            }
        }
    }
}

async fn say(socket: &mut WebSocket, frame: ToAgent) -> Result<(), Unproved> {
    let said = socket.send(Message::text(frame.encode(clock::now()))).await;
    said.map_err(|_| Unproved::Gone)
}

async fn hear(socket: &mut WebSocket) -> Result<Proof, Unproved> {
    loop {
        match socket.recv().await {
            None | Some(Ok(Message::Close(_)) | Err(_)) => return Err(Unproved::Gone),
            Some(Ok(Message::Text(text))) => {
                return match FromAgent::decode(&text) {
                    Ok((_, FromAgent::Proof(proof))) => Ok(proof),
                    Ok(_) => Err(Unproved::Broken("another frame came before the proof".into())),
                    Err(broken) => Err(Unproved::Broken(broken.to_string())),
                };
            }
            Some(Ok(Message::Binary(_))) => {
                return Err(Unproved::Broken("binary frames are not part of the protocol".into()));
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
        }
    }
}
