//! The proof that an agent gives of itself before hello, where it says no token: by its machine's own key, or by the token
//! that all share, which then proves the supervisor, too.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use axum::http::HeaderMap;
use tokio::time::timeout;

use super::caller::{Pass, WrongToken};
use super::shared::{Doors, Shared};
use hal_base::{clock, id, proof};
use hal_protocol::actor::key_id;
use hal_protocol::frame::{FromAgent, ToAgent};
use hal_protocol::node::NodeId;
use hal_protocol::proof::{
    Challenge, PROOF_HEADER, Proof, ProofBy, Proved, said_by_agent, said_by_supervisor,
};
use hal_rules::actor::why_not;
use hal_rules::network::MayFrom;

/// The whole exchange is over within this time.
const LIMIT: Duration = Duration::from_secs(10);

/// Bytes of a proof at most; ours have 700.
const MOST_PROOF: usize = 8 * 1024;

/// Why an agent with another token is refused, and what to do.
pub const NOT_THE_TOKEN: &str =
    "its token is not this supervisor's: compare auth_token in both files, then restart it";
/// The same of a key.
const NOT_THE_KEY: &str = "the key of its machine is not known here: let it join again (hal-agent join)";
const NO_KEY_ANY_MORE: &str = "the key of its machine was revoked: remove the file that key_file names and let it join again \
                               (hal-agent join)";
const NOT_OUR_KEY: &str = "it has seen another key than this supervisor's: somebody stands in between, or a proxy ends TLS \
                           and is not listed in server.networks: list it there (may: proxy, plain), and let it speak plainly to this supervisor";

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
) -> Result<(Pass, NodeId), Unproved> {
    // As it is now, for all of it: a reload in between changes the token.
    let doors = shared.doors.load_full();
    let taken = async {
        let challenge = Challenge { nonce: id::fresh_secret() };
        say(socket, ToAgent::Challenge(challenge.clone())).await?;
        let proof = hear(socket).await?;
        if proof.by != by {
            return Err(Unproved::Broken("the proof is of another kind than was announced".into()));
        }
        let pass = judge(shared, &doors, source, &challenge, &proof)?;
        let mut proved = known_by(shared);
        if by == ProofBy::Token {
            proved.value = proof::sealed(&doors.secret, &said_by_supervisor(&challenge, &proof, &proved));
        }
        say(socket, ToAgent::Proved(proved)).await?;
        Ok((pass, proof.node_id))
    };
    timeout(LIMIT, taken).await.unwrap_or(Err(Unproved::Gone))
}

/// The key by which this supervisor is known. What others sign they may sign anew for another key.
fn known_by(shared: &Shared) -> Proved {
    let Some(own) = &shared.certificate else { return Proved::default() };
    Proved { value: String::new(), pin: own.anchor().to_string(), is_lasting: own.is_lasting() }
}

/// Whose proof it is.
fn judge(
    shared: &Shared,
    doors: &Doors,
    source: SocketAddr,
    challenge: &Challenge,
    proof: &Proof,
) -> Result<Pass, Unproved> {
    let wrong = |why, id: Option<String>| Unproved::Wrong(WrongToken { why, id, was_of: None });
    // Without TLS here a proxy of this machine may have ended it: what that has shown is not known. Whoever is not to be
    // deceived by one knows the key that is shown with the answer.
    let (ip, networks) = (source.ip().to_canonical(), &doors.networks);
    let may_be_proxy = ip.is_loopback() || networks.may(ip, MayFrom::Proxy);
    // Whoever may speak plainly has seen no key.
    let may_have_seen_none = proof.seen.is_empty() && networks.may(ip, MayFrom::Plain);
    let is_excused = (may_be_proxy || may_have_seen_none) && !shared.entrance.is_encrypted(source);
    if let Some(own) = shared.certificate.as_ref().filter(|_| !is_excused)
        && !own.is_own(&proof.seen)
    {
        return Err(wrong(NOT_OUR_KEY, None));
    }
    let text = said_by_agent(challenge, proof);
    match proof.by {
        ProofBy::Token => {
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
            Some(Ok(Message::Text(text))) if text.len() > MOST_PROOF => {
                return Err(Unproved::Broken(format!("a proof has at most {MOST_PROOF} bytes")));
            }
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
