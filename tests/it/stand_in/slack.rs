//! A stand-in for Slack.
