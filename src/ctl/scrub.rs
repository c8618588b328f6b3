//! Takes secrets out of text that leaves the machine: those it knows word for word, those under telling names, and
//! those that look like one. It rather removes too much.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};
use serde_json::Value;

/// What stands in place of a secret.
pub const REMOVED: &str = "[removed]";

/// Known secrets shorter than this are not looked for word for word: they would be found in every other word.
const LEAST_KNOWN: usize = 6;

/// Shorter runs of letters and digits are not taken for a key by their look alone.
const LEAST_DENSE: usize = 28;

/// Nor those of one case alone that are shorter than this.
const LEAST_WORD: usize = 32;

/// Pieces of names whose values are secret.
const TELLING: &str = "(?:token|secret|passw(?:or)?d|passphrase|pwd|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key|[_-]key|credential|cookie|authorization|webhook)";

/// What is secret by its look, whatever stands around it.
const SHAPES: [&str; 20] = [
    // A private key, whole or cut off.
    r"(?s-u)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.{0,20000}?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
    r"(?i-u)\b(?:bearer|basic|digest)[ \t]+[A-Za-z0-9._~+/=-]{6,}",
    r#"(?i-u)\b(?:set-)?cookie:[^"\r\n]*"#,
    // What curl and .netrc are told.
    r"(?i-u)(?:\s-u\s*|--user[ =])[^\s:]+:\S+",
    r"(?i-u)\blogin\s+\S+\s+password\s+\S+",
    // Keys of those who mark theirs: OpenAI, Anthropic, Stripe, Slack, GitHub, GitLab, AWS, Google, npm, PyPI, ...
    r"(?-u)\bhal_[A-Za-z0-9]+_[A-Za-z0-9]{16,}",
    r"(?-u)\b[srp]k[-_][A-Za-z0-9_-]{8,}",
    r"(?-u)\bxox[a-z]-[A-Za-z0-9-]{8,}",
    r"(?-u)\bxapp-[A-Za-z0-9-]{8,}",
    r"(?-u)\bgh[a-z]_[A-Za-z0-9]{16,}",
    r"(?-u)\bgithub_pat_[A-Za-z0-9_]{16,}",
    r"(?-u)\bglpat-[A-Za-z0-9_-]{12,}",
    r"(?-u)\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}",
    r"(?-u)\b(?:AIza|ya29\.|hf_|npm_|pypi-|whsec_|shpat_|dop_v1_|SG\.|age1|AGE-SECRET-KEY-)[A-Za-z0-9._-]{16,}",
    // A JSON web token.
    r"(?-u)\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){0,4}",
    // Bots of Discord and Telegram, and addresses that are keys themselves.
    r"(?-u)\b[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{5,7}\.[A-Za-z0-9_-]{25,}",
    r"(?-u)\b[0-9]{8,10}:[A-Za-z0-9_-]{30,}",
    r"(?i-u)https?://[a-z0-9.-]*(?:hooks\.slack\.com|discord(?:app)?\.com/api/webhooks|events\.pagerduty\.com|webhook\.office\.com)[A-Za-z0-9/_.%-]*",
    r"(?i-u)https?://[a-z0-9.:-]+/webhook[A-Za-z0-9/_.%-]*",
    r"(?-u)\b[0-9a-fA-F]{32,}\b",
];

/// `name: value`, `"name":"value"`, `NAME=value`, `--name value`, escaped or not.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    let name = format!(r"[A-Za-z0-9_.-]*{TELLING}[A-Za-z0-9_.-]*");
    let between = r#"\\*["']?[ \t]*(?:=>|[:=]|[ \t])[ \t]*"#;
    let value = r#"(?:\\*"(?:[^"\\\r\n]|\\[^"\r\n])*\\*"?|'[^'\r\n]*'?|[^\s,;&"'{}\[\]]+)"#;
    pattern(&format!(r"(?i-u)({name})({between})({value})"))
});

/// `scheme://user:password@host`, `scheme://token@host`.
static LOGIN: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?-u)([A-Za-z][A-Za-z0-9+.-]*://)[^\s"'<>@]*@"#));

/// `?key=...`, `&sig=...`
static QUERY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?i-u)([?&;](?:key|sig|signature|auth|code|jwt|apikey|pass|access_token)=)[^&\s"'\\#]+"#)
});

/// Dense runs of characters, to be looked at.
static DENSE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?-u)[A-Za-z0-9+/_=-]{28,}"));

static SHAPED: LazyLock<Vec<Regex>> = LazyLock::new(|| SHAPES.iter().map(|shape| pattern(shape)).collect());

static TELLING_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("(?i-u){TELLING}")));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns of this file are tried by its tests")
}

/// Takes secrets out of text.
#[derive(Debug, Default)]
pub struct Scrubber {
    known: BTreeSet<String>,
}

impl Scrubber {
    /// Learns a secret, to be removed wherever it stands, also as JSON or a URL would write it.
    pub fn learn(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.len() < LEAST_KNOWN || secret == REMOVED {
            return;
        }
        self.known.insert(secret.to_owned());
        let quoted = Value::from(secret).to_string();
        self.known.insert(quoted[1..quoted.len() - 1].to_owned());
        let encoded: String = reqwest::Url::parse_with_params("x:", [("", secret)])
            .ok()
            .and_then(|url| url.query().map(|query| query.trim_start_matches('=').to_owned()))
            .unwrap_or_default();
        if encoded.len() >= LEAST_KNOWN {
            self.known.insert(encoded.replace('+', "%20"));
            self.known.insert(encoded);
        }
    }

    /// Learns every value of a configuration that stands under a telling name.
    pub fn learn_from(&mut self, value: &Value) {
        self.walk(&mut value.clone(), false);
    }

    /// Takes the values under telling names out of a tree, and remembers them.
    pub fn tree(&mut self, value: &mut Value) {
        self.walk(value, false);
    }

    fn walk(&mut self, value: &mut Value, hidden: bool) {
        match value {
            Value::Object(keys) => {
                for (name, value) in keys {
                    self.walk(value, hidden || is_telling(name));
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item, hidden)),
            Value::String(text) if hidden && !text.is_empty() => {
                self.learn(text);
                *value = REMOVED.into();
            }
            // A number may be a secret, too; counters have no telling name.
            Value::Number(_) if hidden => *value = REMOVED.into(),
            _ => {}
        }
    }

    /// The text without secrets.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes().to_vec())).into_owned()
    }

    /// The same of bytes.
    pub fn bytes(&self, mut text: Vec<u8>) -> Vec<u8> {
        // The longest first: one may begin with another.
        let mut known: Vec<&String> = self.known.iter().collect();
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in known {
            let literal = Regex::new(&format!("(?-u){}", regex::escape(secret)));
            let Ok(literal) = literal else { continue };
            text = literal.replace_all(&text, REMOVED.as_bytes()).into_owned();
        }
        for shape in SHAPED.iter() {
            text = shape.replace_all(&text, REMOVED.as_bytes()).into_owned();
        }
        text = LOGIN.replace_all(&text, b"${1}[removed]@".as_slice()).into_owned();
        text = QUERY.replace_all(&text, b"${1}[removed]".as_slice()).into_owned();
        text = NAMED.replace_all(&text, named).into_owned();
        DENSE.replace_all(&text, dense).into_owned()
    }

    /// A file that should be JSON and cannot be read: nobody knows what stands where, so only names are left.
    pub fn broken_json(text: &str) -> String {
        static QUOTED: LazyLock<Regex> =
            LazyLock::new(|| pattern(r#"(?-u)("(?:[^"\\\r\n]|\\.)*"?)([ \t]*:)?|[A-Za-z0-9_+/=.@-]{5,}"#));
        let names = |found: &Captures<'_>| match (found.get(1), found.get(2)) {
            (Some(name), Some(_)) if name.len() <= 64 => found[0].to_vec(),
            _ => REMOVED.as_bytes().to_vec(),
        };
        String::from_utf8_lossy(&QUOTED.replace_all(text.as_bytes(), names)).into_owned()
    }
}

/// True when what stands under this name is secret: not when it names a file, or counts.
pub fn is_telling(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let harmless = ["_file", "-file", "_path", "tokens", "_from"].iter().any(|end| lower.ends_with(end))
        || lower.contains("tokens_")
        || lower.contains("tokens-");
    !harmless && (lower == "env" || lower == "environment" || TELLING_NAME.is_match(name.as_bytes()))
}

fn named(found: &Captures<'_>) -> Vec<u8> {
    let whole = found[0].to_vec();
    let name = String::from_utf8_lossy(&found[1]);
    let (between, value) = (&found[2], &found[3]);
    let bare = value.strip_prefix(b"\\").unwrap_or(value);
    let is_assigned = between.contains(&b':') || between.contains(&b'=');
    // A word after a name without a sign between them is a secret only behind a flag: prose speaks of tokens, too.
    let is_flag = name.starts_with("--");
    let harmless: [&[u8]; 6] = [b"true", b"false", b"null", b"none", b"found", b"\"\""];
    if !is_telling(&name)
        || !(is_assigned || is_flag)
        || harmless.contains(&bare)
        || bare.starts_with(b"[removed")
    {
        return whole;
    }
    let quote = if value.ends_with(b"\\\"") {
        "\\\""
    } else if value.ends_with(b"\"") {
        "\""
    } else {
        ""
    };
    [&found[1], between, quote.as_bytes(), REMOVED.as_bytes(), quote.as_bytes()].concat()
}

/// A run of characters that has small and large letters and digits, and is no path and no name of ours.
fn dense(found: &Captures<'_>) -> Vec<u8> {
    let run = &found[0];
    let is_key = |part: &[u8]| {
        const OURS: [&[u8]; 8] = [b"ses_", b"msg_", b"prt_", b"evt_", b"per_", b"que_", b"cmd_", b"inc-"];
        let has = |kind: fn(&u8) -> bool| part.iter().any(kind);
        let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        let is_one_word = part.len() >= LEAST_WORD && part.iter().all(u8::is_ascii_alphanumeric);
        let is_ours = OURS.iter().any(|ours| part.starts_with(ours));
        let has_letter = has(u8::is_ascii_alphabetic);
        part.len() >= LEAST_DENSE
            && !is_ours
            && has(u8::is_ascii_digit)
            && (is_mixed || (is_one_word && has_letter))
    };
    let is_path = run.starts_with(b"/") || run.iter().filter(|c| **c == b'/').count() > 3;
    let looks = if is_path { run.split(|c| *c == b'/').any(is_key) } else { is_key(run) };
    if looks { REMOVED.as_bytes().to_vec() } else { run.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(text: &str) -> String {
        Scrubber::default().text(text)
    }

    #[test]
    fn secrets_of_every_shape_are_removed() {
        for (text, secret) in [
            ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
            (
                "it says hal_0f3a9c2d41be_9f86d081884c7d659a2feaa0c55ad015 here",
                "9f86d081884c7d659a2feaa0c55ad015",
            ),
            ("got bearer tok_1234567 there", "tok_1234567"),
            (r#"{"auth_token":"hunter2"}"#, "hunter2"),
            (r#"said {\"auth_token\":\"hunter2\",\"a\":1}"#, "hunter2"),
            ("db_password = 'tiger'", "tiger"),
            ("ANTHROPIC_API_KEY=abc123", "abc123"),
            ("hal --auth-token s3cr3t sessions", "s3cr3t"),
            ("postgres://ada:p/ss@db/x", "p/ss"),
            ("https://tiger@git.example/x", "tiger"),
            ("GET /x?a=1&sig=tiger9 done", "tiger9"),
            ("key sk-ant-api03-abcdefgh", "sk-ant-api03-abcdefgh"),
            ("xoxb-123456-abcdef", "123456-abcdef"),
            ("ghp_abcdefghijklmnopqrst", "ghp_abcdefghijklmnopqrst"),
            ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
            ("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "eyJzdWIiOiIx"),
            ("0123456789abcdef0123456789abcdef", "0123456789abcdef"),
            ("-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----", "MHcC"),
            ("-----BEGIN PRIVATE KEY-----\nMHcC", "MHcC"),
            ("mfrggzdfmztwq2lkmfrggzdfmztwq2lk", "mfrggzdf"),
            ("Set-Cookie: a=b; sid=tiger; path=/", "tiger"),
            ("curl -u ada:tiger https://h", "tiger"),
            ("machine h login ada password tiger", "tiger"),
            ("AccountName=x;AccountKey=dGlnZXI=;", "dGlnZXI"),
            ("https://hooks.slack.com/services/T0/B0/xyz", "T0/B0/xyz"),
        ] {
            let clean = scrubbed(text);
            assert!(!clean.contains(secret) && clean.contains(REMOVED), "{text} -> {clean}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "the token is not this supervisor's: compare auth_token on both machines",
            "tokens: 1234  node_id: web-1  hal_o_swarm_tokens_refused_total{word=\"api\"} 3",
            "session ses_6f1AbCdEfGh1234567890AbCdEf1 is idle at 2026-11-26T09:41:31.000Z",
            "/var/lib/hal-o-swarm/supervisor.db.backup.20261126T020000Z is there",
            r#"{"auth_token_file": "/etc/hal-o-swarm/token", "tokens": 12}"#,
            "0191f2c5-7b7e-7c3a-9d43-0e5f0a3b1c2d http://127.0.0.1:8420/",
        ] {
            assert_eq!(scrubbed(text), text);
        }
    }

    #[test]
    fn what_is_known_is_found_anywhere() {
        let mut scrub = Scrubber::default();
        let mut tree = serde_json::json!({"server": {"auth_token": "plain words", "port": 1}, "tokens": 5,
            "credentials": {"agents": {"web-1": {"env": {"HOMEPAGE": "really?"}}}}});
        scrub.tree(&mut tree);
        assert!(!tree.to_string().contains("plain") && !tree.to_string().contains("really"), "{tree}");
        assert_eq!((&tree["server"]["port"], &tree["tokens"]), (&1.into(), &5.into()));
        assert_eq!(scrub.text("a plain words b plain+words really?"), "a [removed] b [removed] [removed]");
    }

    #[test]
    fn of_a_broken_file_only_names_are_left() {
        let left = Scrubber::broken_json("{ \"server\": { \"auth_token\": \"hunter2\", hunter3x \"port\": 1");
        assert!(!left.contains("hunter") && left.contains("\"auth_token\":"), "{left}");
    }
}
