//! What may be typed of every list: its order, and whether it goes on.

use clap::Args;

/// In which order, and how often.
#[derive(Clone, Debug, Default, Args)]
pub struct ListArgs {
    /// Order by this field, such as `cost`; `-cost`: the largest first
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// Keep watching until Ctrl-C: a terminal shows the current list, a pipe gets a line for each changed record
    #[arg(short, long)]
    pub watch: bool,
}
