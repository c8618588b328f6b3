//! halctl: the operator at a terminal.
//!
//! - `cli`: what may be typed.
//! - `slip`: what is said of a command line that was mistyped.
//! - `discover`: which supervisor, which token, and to whom a token is never sent.
//! - `name`, `complete`: short names, and what a shell offers.
//! - `client`, `feed`: asking the supervisor, and following what happens there.
//! - `watch`: lists in any order, once or for as long as somebody looks.
//! - `print`: the one writer and the shapes of output.
//! - `node`, `project`, `backend`, `session`, `event`, `command`, `alert`, `approval`, `budget`, `backup`, `archive`, `store`, `cost`: the nouns.
//! - `dashboard`: a link that logs a browser in.
//! - `doctor`, `incident`: what is wrong with this machine, and the story of it; `tool` runs other programs for them,
//!   `scrub` takes secrets out of what they show.
//! - `audit`: who did what.
//! - `actor`: who is known and with which tokens; `join`: the line by which a machine becomes a node; `secure`: closing what was set up open; `login`: whose token this user has.
//! - `config`, `completions`: halctl itself.

mod actor;
mod alert;
mod approval;
mod archive;
mod audit;
mod backend;
mod backup;
mod budget;
mod channel;
pub mod cli;
mod client;
mod command;
pub mod complete;
pub mod completions;
mod config;
mod cost;
mod dashboard;
pub mod discover;
mod doctor;
mod event;
mod feed;
mod incident;
mod join;
mod login;
mod name;
mod node;
mod policy;
pub mod print;
mod project;
mod recovery_key;
mod route;
mod scrub;
mod secure;
mod session;
pub mod slip;
mod store;
mod tool;
mod watch;

use futures_util::future::BoxFuture;

use cli::audit::AuditVerb;
use cli::{Cli, ConfigVerb, Noun};
use client::Client;
use discover::Surroundings;
use hal_base::daemon::version;
use hal_base::exit::{Exit, Failure};
use print::Screen;

/// Carries out a command line of this process: data to standard output, sentences to standard error.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    let screen = Screen::of_process(&cli.global);
    run_in(cli, &Surroundings::of_process(), screen).await
}

/// Carries out a command line with any surroundings, on any screen. A reader that went away is a success.
pub async fn run_in(cli: Cli, around: &Surroundings, mut screen: Screen) -> Result<(), Failure> {
    let told = telling(cli, around, &mut screen).await;
    let flushed = screen.flush();
    match told.and(flushed) {
        Err(failure) if failure.exit == Exit::Done => Ok(()),
        outcome => outcome,
    }
}

/// [`tell`] as one object, so that all of it is compiled here, and not again by each who awaits it.
fn telling<'a>(
    cli: Cli,
    around: &'a Surroundings,
    screen: &'a mut Screen,
) -> BoxFuture<'a, Result<(), Failure>> {
    Box::pin(tell(cli, around, screen))
}

async fn tell(cli: Cli, around: &Surroundings, screen: &mut Screen) -> Result<(), Failure> {
    let Cli { global, mut noun } = cli;
    if global.auth_token.is_some() {
        screen.say(
            "Warning: other users of this machine can see --auth-token in the process list; use --token-file or HALCTL_AUTH_TOKEN.",
        );
    }
    if noun.asks() {
        name::complete(&mut noun, &client(&global, around)?).await?;
    }
    match noun {
        Noun::Config { verb } => config::run(verb.unwrap_or(ConfigVerb::Get), &global, around, screen),
        Noun::Completions { shell } => completions::run(shell, screen),
        Noun::Doctor(asked) => doctor::run(&asked, &global, around, screen).await,
        Noun::Incident(verb) => incident::run(verb, &global, around, screen).await,
        Noun::Version => screen.write(&format!("halctl {}\n", version())),
        Noun::Backends(verb) => backend::run(verb, &client(&global, around)?, screen).await,
        Noun::Projects(verb) => project::run(verb, &client(&global, around)?, screen).await,
        Noun::Top(asked) => session::top(asked, &client(&global, around)?, screen).await,
        Noun::Nodes(verb) => node::run(verb, &client(&global, around)?, screen).await,
        Noun::Sessions(verb) => session::run(verb, &client(&global, around)?, screen).await,
        Noun::Policies(verb) => policy::run(verb, &client(&global, around)?, screen).await,
        Noun::Events(verb) => event::run(verb, &client(&global, around)?, screen).await,
        Noun::Alerts(verb) => alert::run(verb, &client(&global, around)?, screen).await,
        Noun::Channels(verb) => channel::run(verb, &client(&global, around)?, screen).await,
        Noun::Routes(verb) => route::run(verb, &client(&global, around)?, screen).await,
        Noun::Approvals(verb) => approval::run(verb, &client(&global, around)?, screen).await,
        Noun::Budgets(verb) => budget::run(verb, &client(&global, around)?, screen).await,
        Noun::Archive(verb) => archive::run(verb, &client(&global, around)?, screen).await,
        Noun::Backup(verb) => backup::run(verb, &client(&global, around)?, screen).await,
        Noun::Store(verb) => store::run(verb, &client(&global, around)?, screen).await,
        Noun::Cost(asked) => cost::run(asked, &client(&global, around)?, screen).await,
        Noun::Users(verb) => actor::users(verb, &client(&global, around)?, screen).await,
        Noun::Tokens(verb) => actor::tokens(verb, &client(&global, around)?, screen).await,
        Noun::Secure(asked) => secure::run(asked, &client(&global, around)?, screen).await,
        Noun::JoinToken(verb) => join::run(verb, &client(&global, around)?, screen).await,
        Noun::RecoveryKey(asked) => recovery_key::run(asked, &client(&global, around)?, screen).await,
        // Nobody needs to be asked, and nobody may be there.
        Noun::Audit(AuditVerb::Verify { file: Some(file), anchors }) => {
            audit::verify_export(screen, &file, &anchors)
        }
        Noun::Audit(verb) => audit::run(verb, &client(&global, around)?, screen).await,
        Noun::Dashboard => dashboard::run(&discover::find(&global, around)?, screen).await,
        Noun::Whoami => actor::whoami(&client(&global, around)?, screen).await,
        Noun::Login => login::login(&global, around, screen).await,
        Noun::Logout => login::logout(&global, around, screen).await,
        Noun::Commands(verb) => command::run(verb, &client(&global, around)?, screen).await,
    }
}

fn client(global: &cli::Global, around: &Surroundings) -> Result<Client, Failure> {
    Client::new(discover::find(global, around)?)
}
