//! Proving who this node is to a supervisor, before hello, and being shown that it is the right one.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use hal_base::proof::{self, MachineKey};
use hal_base::secret::Secret;
use hal_base::{clock, id};
use hal_protocol::frame::{FromAgent, ToAgent};
use hal_protocol::node::NodeId;
use hal_protocol::proof::{Challenge, Proof, ProofBy, Proved, said_by_agent, said_by_supervisor};

/// An open link.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The supervisor lets whoever guesses wait; it answers the others at once.
const LIMIT: Duration = Duration::from_secs(15);

/// By what this node proves who it is.
pub(super) enum Means<'a> {
    /// Its machine's own key.
    Key(&'a MachineKey),
    /// The token that it shares with the supervisor.
    Token(&'a Secret),
}

impl Means<'_> {
    /// As it is announced.
    pub(super) fn by(&self) -> ProofBy {
        match self {
            Self::Key(_) => ProofBy::Key,
            Self::Token(_) => ProofBy::Token,
        }
    }
}

/// Why nothing was proved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unproved {
    /// The supervisor asks for no proof: it is of an earlier release.
    NotAsked,
    /// It does not take this one, for this reason.
    Refused(String),
    /// It has not proved itself.
    Impostor,
    /// The connection ended.
    Broken(String),
}

/// Goes through the exchange, and gives what the supervisor has said of itself. `seen` is the key that the supervisor has shown, empty without TLS.
pub(super) async fn prove(
    socket: &mut Socket,
    means: &Means<'_>,
    node_id: &NodeId,
    seen: String,
) -> Result<Proved, Unproved> {
    let proved = async {
        let challenge = challenge(socket).await?;
        let proof = answer(means, node_id, seen, &challenge);
        let said = Message::text(FromAgent::Proof(proof.clone()).encode(clock::now()));
        socket.send(said).await.map_err(|error| Unproved::Broken(error.to_string()))?;
        match hear(socket).await? {
            ToAgent::Proved(proved) if is_proved(means, &challenge, &proof, &proved) => Ok(proved),
            ToAgent::Proved(_) => Err(Unproved::Impostor),
            _ => Err(Unproved::Broken("another frame came in place of the answer to the proof".into())),
        }
    };
    let late = |_| Unproved::Broken("timeout: the supervisor does not answer the proof".into());
    timeout(LIMIT, proved).await.unwrap_or_else(|over| Err(late(over)))
}

async fn challenge(socket: &mut Socket) -> Result<Challenge, Unproved> {
    match hear(socket).await {
        Ok(ToAgent::Challenge(challenge)) => Ok(challenge),
        // It greets whoever shows no token, and closes.
        Ok(_) | Err(Unproved::Refused(_)) => Err(Unproved::NotAsked),
        Err(other) => Err(other),
    }
}

fn answer(means: &Means<'_>, node_id: &NodeId, seen: String, challenge: &Challenge) -> Proof {
    let key = match means {
        Means::Key(key) => key.public(),
        Means::Token(_) => String::new(),
    };
    let nonce = id::fresh_secret();
    let (by, node_id, value) = (means.by(), node_id.clone(), String::new());
    let mut proof = Proof { by, node_id, nonce, seen, key, value };
    let text = said_by_agent(challenge, &proof);
    proof.value = match means {
        Means::Key(key) => key.sign(&text),
        Means::Token(token) => proof::sealed(token, &text),
    };
    proof
}

/// Whoever is known by its key has proved it in the handshake of TLS.
fn is_proved(means: &Means<'_>, challenge: &Challenge, proof: &Proof, proved: &Proved) -> bool {
    match means {
        Means::Key(_) => true,
        Means::Token(token) => {
            proof::is_sealed(token, &said_by_supervisor(challenge, proof, proved), &proved.value)
        }
    }
}

async fn hear(socket: &mut Socket) -> Result<ToAgent, Unproved> {
    loop {
        return match socket.next().await {
            None => Err(Unproved::Broken("the connection ended".into())),
            Some(Err(error)) => Err(Unproved::Broken(error.to_string())),
            Some(Ok(Message::Close(frame))) => {
                Err(Unproved::Refused(frame.map(|frame| frame.reason.to_string()).unwrap_or_default()))
            }
            Some(Ok(Message::Text(text))) => match ToAgent::decode(&text) {
                Ok(frame) => Ok(frame),
                // A greeting has no envelope.
                Err(_) => Err(Unproved::NotAsked),
            },
            Some(Ok(_)) => continue,
        };
    }
}

#[cfg(test)]
mod tests {
    use hal_base::tls::Pin;
    use tokio::net::TcpListener;
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;

    use super::*;

    const TOKEN: &str = "a token of all that nobody can guess";

    /// What comes of a proof by the token to a supervisor that says this first, and this to the proof.
    async fn meets(first: Message, then: fn(&Proof) -> Option<Proved>) -> (Result<Proved, Unproved>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let supervisor = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            socket.send(first).await.unwrap();
            let mut heard = String::new();
            while let Some(Ok(Message::Text(text))) = socket.next().await {
                heard.push_str(&text);
                if let Ok((_, FromAgent::Proof(proof))) = FromAgent::decode(&text)
                    && let Some(proved) = then(&proof)
                {
                    let said = ToAgent::Proved(proved).encode(clock::now());
                    socket.send(Message::text(said)).await.unwrap();
                }
            }
            heard
        });
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let token = Secret::new(TOKEN);
        let came = prove(&mut socket, &Means::Token(&token), &NodeId::new("web-1"), String::new()).await;
        drop(socket);
        (came, supervisor.await.unwrap())
    }

    fn challenge() -> Challenge {
        Challenge { nonce: "11".into() }
    }

    fn asks() -> Message {
        Message::text(ToAgent::Challenge(challenge()).encode(clock::now()))
    }

    fn has_it(proof: &Proof) -> Option<Proved> {
        let pin = format!("sha256:{}", "a".repeat(64)).parse::<Pin>().unwrap().to_string();
        let mut proved = Proved { pin, is_lasting: true, ..Proved::default() };
        proved.value = proof::sealed(&Secret::new(TOKEN), &said_by_supervisor(&challenge(), proof, &proved));
        Some(proved)
    }

    #[tokio::test]
    async fn only_a_supervisor_that_has_the_token_is_believed_and_none_is_told_it() {
        let (came, heard) = meets(asks(), has_it).await;
        assert!(came.is_ok() && !heard.contains(TOKEN), "{came:?} {heard}");
        for impostor in [
            |_: &Proof| Some(Proved::default()),
            |proof: &Proof| Some(Proved { value: proof.value.clone(), ..Proved::default() }),
            |proof: &Proof| has_it(proof).map(|proved| Proved { pin: String::new(), ..proved }),
            |proof: &Proof| has_it(proof).map(|proved| Proved { is_lasting: false, ..proved }),
            |proof: &Proof| {
                let text = said_by_supervisor(&challenge(), proof, &Proved::default());
                Some(Proved { value: proof::sealed(&Secret::new("another"), &text), ..Proved::default() })
            },
        ] {
            let (came, heard) = meets(asks(), impostor).await;
            assert_eq!(came, Err(Unproved::Impostor));
            assert!(!heard.contains(TOKEN), "{heard}");
        }
    }

    #[tokio::test]
    async fn one_that_asks_for_no_proof_is_of_an_earlier_release() {
        let greeting = r#"{"service":"hal-o-swarm","version":"0.1.0","auth":"required"}"#;
        let (came, heard) = meets(Message::text(greeting), |_| None).await;
        assert_eq!((came, heard.as_str()), (Err(Unproved::NotAsked), ""));
        let close = CloseFrame { code: 1000.into(), reason: "a token is required".into() };
        let (came, _) = meets(Message::Close(Some(close)), |_| None).await;
        assert_eq!(came, Err(Unproved::NotAsked));
    }
}
