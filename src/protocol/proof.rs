//! Proving who one is, before hello: a machine by its own key, or both sides by the token that they share. Nothing secret
//! is said, and what is said is good for one connection: it holds a number of each side, and the supervisor's key as the
//! agent has seen it, so that whoever stands in between with another key can pass nothing on.
//!
//! ```text
//!   GET /ws/agent, X-Hal-Proof: key | token, no Authorization
//!                       <- challenge (a number)
//!   proof (a number, and the signature of both) ->
//!                       <- proved (by the token: that the supervisor has it, too)
//!   hello, as always ->
//! ```

use serde::{Deserialize, Serialize};

use super::node::NodeId;

/// The header by which an agent says that it will prove who it is, and by what: a [`ProofBy`].
pub const PROOF_HEADER: &str = "x-hal-proof";

/// What an agent says in hello that finds TLS by itself, and proves what it has where nobody vouches for the supervisor.
pub const PROVES: &str = "proof";

/// By what an agent proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofBy {
    /// The machine's own key.
    Key,
    /// The token that it shares with the supervisor.
    Token,
}

impl ProofBy {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
        }
    }

    /// The one of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Key, Self::Token].into_iter().find(|by| by.as_str() == word)
    }
}

/// The supervisor's first frame to whoever will prove something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// A number that was never used before, in hexadecimal digits.
    pub nonce: String,
}

/// The agent's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// By what.
    pub by: ProofBy,
    /// The node it says that it is.
    pub node_id: NodeId,
    /// The agent's own number.
    pub nonce: String,
    /// The key that the supervisor has shown it, as `sha256:DIGITS`; empty: the connection is not encrypted.
    pub seen: String,
    /// The public half of the machine's key, in hexadecimal digits; empty: it proves by the token.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The signature of [`said_by_agent`] by the key, or its hash under the token, in hexadecimal digits.
    pub value: String,
}

/// The supervisor's answer to a proof that is good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proved {
    /// The hash of [`said_by_supervisor`] under the token; empty: the agent proved itself by its key, and knows the
    /// supervisor by the one that it has seen.
    #[serde(default)]
    pub value: String,
    /// The supervisor's key, as `sha256:DIGITS`: its own, or that of the authority which it shows with its certificate.
    /// Empty: it speaks no TLS.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pin: String,
    /// True when the supervisor will be known by that key from now on. Else somebody renews its certificate, perhaps with
    /// another key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_lasting: bool,
}

/// What the agent puts its name to.
pub fn said_by_agent(challenge: &Challenge, proof: &Proof) -> String {
    said("agent", challenge, proof, "")
}

/// What the supervisor puts its name to.
pub fn said_by_supervisor(challenge: &Challenge, proof: &Proof, proved: &Proved) -> String {
    let lasting = if proved.is_lasting { "lasting" } else { "" };
    said("supervisor", challenge, proof, &format!("{} {lasting}", proved.pin))
}

fn said(side: &str, challenge: &Challenge, proof: &Proof, known_by: &str) -> String {
    let Proof { by, node_id, nonce, seen, key, .. } = proof;
    let by = by.as_str();
    // A line each, and none of them can hold a line's end: what is signed cannot be read as anything else.
    let lines = [side, by, node_id.as_str(), &challenge.nonce, nonce, seen, key, known_by];
    let lines = lines.map(|line| line.replace(['\n', '\r'], " "));
    format!("hal-o-swarm proof 1\n{}\n", lines.join("\n"))
}

/// What a machine that wants to join puts its name to, beside the token that it shows: that the key is its own.
pub fn said_to_join(node: &NodeId, key: &str) -> String {
    format!("hal-o-swarm join 1\n{}\n{key}\n", node.as_str().replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_changes_what_is_signed_and_the_sides_sign_different_things() {
        let challenge = Challenge { nonce: "11".into() };
        let proof = Proof {
            by: ProofBy::Key,
            node_id: NodeId::new("web-1"),
            nonce: "22".into(),
            seen: "sha256:33".into(),
            key: "44".into(),
            value: String::new(),
        };
        let mut all = vec![said_by_agent(&challenge, &proof)];
        for (pin, is_lasting) in [("", false), ("", true), ("sha256:55", false), ("sha256:55", true)] {
            let proved = Proved { value: String::new(), pin: pin.into(), is_lasting };
            all.push(said_by_supervisor(&challenge, &proof, &proved));
        }
        all.push(said_by_agent(&Challenge { nonce: "1".into() }, &proof));
        for changed in [
            Proof { by: ProofBy::Token, ..proof.clone() },
            Proof { node_id: NodeId::new("web-1\n22"), ..proof.clone() },
            Proof { nonce: "2".into(), ..proof.clone() },
            Proof { seen: String::new(), ..proof.clone() },
            Proof { key: String::new(), ..proof.clone() },
        ] {
            all.push(said_by_agent(&challenge, &changed));
        }
        assert!(all.iter().all(|text| text.lines().count() == 9), "{all:?}");
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
