//! A language model that does what it is told: an OpenAI-compatible server on loopback for tests and trials.
//!
//! `cargo run --example fake-model -- --port 0` prints `fake model listening on http://127.0.0.1:PORT`. See
//! `model/script.rs` for the words it follows, and `GET /ledger` for what it has billed. `--book FILE` writes a line for
//! every call as well.

mod model;

use std::net::{Ipv4Addr, SocketAddr};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (port, book) = asked(std::env::args().skip(1))?;
    let ledger = match book {
        Some(path) => model::Ledger::kept_in(std::fs::File::create(path)?),
        None => model::Ledger::default(),
    };
    let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    println!("fake model listening on http://{}", listener.local_addr()?);
    axum::serve(listener, model::router(ledger)).await?;
    Ok(())
}

fn asked(args: impl Iterator<Item = String>) -> anyhow::Result<(u16, Option<String>)> {
    let args: Vec<String> = args.collect();
    let (mut port, mut book) = (0, None);
    for pair in args.chunks(2) {
        match pair {
            [flag, text] if flag == "--port" => {
                port = text.parse().map_err(|_| {
                    anyhow::anyhow!("--port {text:?}: expected a number from 0 (any free port) to 65535")
                })?;
            }
            [flag, path] if flag == "--book" => book = Some(path.clone()),
            _ => anyhow::bail!("usage: fake-model [--port N] [--book FILE]"),
        }
    }
    Ok((port, book))
}
