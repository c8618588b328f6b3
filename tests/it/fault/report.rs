//! How large the scenes are, and what they came to, in one line each.

use std::fmt;

/// The number that `HAL_SOAK` names for a word, such as `kills=1000`.
pub fn asked(word: &str) -> Option<u64> {
    let asked = std::env::var("HAL_SOAK").unwrap_or_default();
    asked.split(',').find_map(|one| one.split_once('=').filter(|(name, _)| *name == word)?.1.parse().ok())
}

/// What a scene came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its name.
    pub scene: String,
    /// Times a fault was tried.
    pub trials: u64,
    /// Times it was seen to happen.
    pub fired: u64,
    /// Events that somebody was promised, and commands.
    pub promised: (u64, u64),
    /// What was promised and is not there.
    pub lost: Vec<String>,
    /// What is there more often than it was done.
    pub twice: Vec<String>,
}

impl Report {
    /// Nothing yet.
    pub fn of(scene: &str) -> Self {
        Self { scene: scene.to_owned(), ..Self::default() }
    }

    /// Adds another one of the same scene.
    pub fn add(&mut self, other: Self) {
        self.trials += other.trials;
        self.fired += other.fired;
        self.promised.0 += other.promised.0;
        self.promised.1 += other.promised.1;
        self.lost.extend(other.lost);
        self.twice.extend(other.twice);
    }

    /// Prints the line, and fails when something was lost or done twice.
    pub fn conclude(&self) {
        println!("{self}");
        assert!(self.lost.is_empty(), "{}: lost\n  {}", self.scene, self.lost.join("\n  "));
        assert!(self.twice.is_empty(), "{}: twice\n  {}", self.scene, self.twice.join("\n  "));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing in n trials: less than 3/n with a confidence of 95 %.
        let bound = if self.fired == 0 { 100.0 } else { 300.0 / self.fired as f64 };
        write!(
            out,
            "{:<44} trials {:>5}  kills {:>5}  events {:>7}  commands {:>6}  lost {}  twice {}  at most {bound:.2} % at 95 %",
            self.scene,
            self.trials,
            self.fired,
            self.promised.0,
            self.promised.1,
            self.lost.len(),
            self.twice.len(),
        )
    }
}
