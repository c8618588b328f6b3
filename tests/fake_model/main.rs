//! A language model that does what it is told: an OpenAI-compatible server on loopback for tests and trials.
//!
//! `cargo run --example fake-model -- --port 0` prints `fake model listening on http://127.0.0.1:PORT`. See
//! `model/script.rs` for the words it follows, and `GET /ledger` for what it has billed.

mod model;

use std::net::{Ipv4Addr, SocketAddr};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let port = port_from(std::env::args().skip(1))?;
    let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    println!("fake model listening on http://{}", listener.local_addr()?);
    axum::serve(listener, model::router(model::Ledger::default())).await?;
    Ok(())
}

fn port_from(mut args: impl Iterator<Item = String>) -> anyhow::Result<u16> {
    match (args.next().as_deref(), args.next(), args.next()) {
        (None, None, None) => Ok(0),
        (Some("--port"), Some(port), None) => port.parse().map_err(|_| {
            anyhow::anyhow!("--port {port:?}: expected a number from 0 (any free port) to 65535")
        }),
        _ => anyhow::bail!("usage: fake-model [--port N]"),
    }
}
