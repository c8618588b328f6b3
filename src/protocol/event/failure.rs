//! Why a turn failed, in our words.

/// Words by which providers say that there were too many requests.
const LIMITED: [&str; 8] = [
    "rate limit",
    "rate_limit",
    "ratelimit",
    "too many requests",
    "overloaded",
    "quota",
    "usage limit",
    "429",
];

/// Characters of a sentence that are searched for them: the beginning says it.
const SEARCHED: usize = 2_000;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureKind {
    /// A person, or who acts for one, has stopped the turn: that is no failure.
    Aborted,
    /// The provider had enough for now.
    RateLimited,
    /// The conversation does not fit into what the model can hold.
    Overflow,
    /// The provider does not know who asks.
    Auth,
    /// The answer was longer than the model may write.
    OutputLimit,
    /// The provider does not answer such a thing.
    ContentFilter,
    /// Whatever else; its name and its message say it.
    #[default]
    Other,
}

impl FailureKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Aborted,
        Self::RateLimited,
        Self::Overflow,
        Self::Auth,
        Self::OutputLimit,
        Self::ContentFilter,
        Self::Other,
    ];

    /// The word that travels in an event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::RateLimited => "rate_limited",
            Self::Overflow => "overflow",
            Self::Auth => "auth",
            Self::OutputLimit => "output_limit",
            Self::ContentFilter => "content_filter",
            Self::Other => "other",
        }
    }

    /// The kind of a word. One that somebody newer says is some other.
    pub fn of_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).unwrap_or_default()
    }
}

/// Why a turn, or an answer, failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What the coding agent calls it: for people, not for rules.
    pub name: String,
    /// What it says about it.
    pub message: String,
    /// The provider's HTTP status, where one was told.
    pub http_status: Option<u64>,
}

impl Failure {
    /// Name and message in one line.
    pub fn sentence(&self) -> String {
        match (self.name.as_str(), self.message.as_str()) {
            ("", message) => message.to_owned(),
            (name, "") => name.to_owned(),
            (name, message) => format!("{name}: {message}"),
        }
    }

    /// True when the turn was stopped, which is no failure.
    pub fn is_abort(&self) -> bool {
        self.kind == FailureKind::Aborted
    }
}

/// True when a provider says with this sentence that there were too many requests.
pub fn says_limited(sentence: &str) -> bool {
    let said: String = sentence.chars().take(SEARCHED).collect::<String>().to_lowercase();
    LIMITED.iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_a_word_and_an_unknown_word_is_some_other() {
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::of_word(kind.as_str()), kind);
        }
        assert_eq!(FailureKind::of_word("melted"), FailureKind::Other);
        assert!(says_limited("APIError: Too Many Requests") && !says_limited("APIError: 500"));
    }
}
