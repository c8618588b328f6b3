//! An error with all its causes as one line, where it is only borrowed. (An owned one: `{:#}` of `anyhow::Error`.)

use std::error::Error;

/// `what: why: why that`.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_what_they_caused() {
        assert_eq!(chain(&Outer(std::io::Error::other("disk gone"))), "cannot write: disk gone");
    }
}
