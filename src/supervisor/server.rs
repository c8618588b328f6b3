//! The listeners: the main one with the agents' door, and one for the API alone.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware;
use axum::routing::get;
use axum::{Json, Router};
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;

use super::either::EitherAcceptor;
use super::entrance::{Door, Entrance};
use super::refusal::ApiError;
use super::shared::Shared;
use super::{api, auth, dashboard, gate, plain, source};

/// The largest body of a request, in bytes: a prompt with a few files pasted in.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// The largest body of whoever has shown nothing yet, in bytes: a token or a code.
const MAX_STRANGER_BODY: usize = 4 * 1024;

/// A connection sends its first request within this time.
const FIRST_REQUEST: Duration = Duration::from_secs(15);

/// And each further one within this time after the answer before: a connection that nobody uses is closed.
const IDLE: Duration = Duration::from_secs(120);

/// Takes the address, or says who may have it.
pub fn bind(address: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind((address, port)).with_context(|| {
        format!(
            "cannot listen on {}: is another supervisor running? (`ss -ltnp` shows it)",
            SocketAddr::from((address, port))
        )
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Everything with the agents' door.
pub fn whole(shared: &Shared) -> Router {
    let doors = Router::new().route("/", get(gate::enter)).route("/ws/agent", get(gate::enter));
    finish(doors.merge(people(shared)), shared)
}

/// Everything without it.
pub fn people_only(shared: &Shared) -> Router {
    finish(dashboard::top().merge(people(shared)), shared)
}

fn people(shared: &Shared) -> Router<Shared> {
    let (routes, mut document) = api::routes();
    let (open, of_open) = api::open_routes();
    document.merge(of_open);
    let known = api::strict::Parameters::of(&document);
    let document = Json(document);
    let guarded = routes
        .route("/metrics", get(api::health::metrics))
        .route("/api/v1/openapi.json", get(move |State(_): State<Shared>| async move { document }))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(known, api::strict::parameters))
        .layer(middleware::from_fn_with_state(shared.clone(), auth::require));
    Router::new()
        .route("/healthz", get(api::health::alive))
        .route("/readyz", get(api::health::ready))
        .merge(open.layer(DefaultBodyLimit::max(MAX_STRANGER_BODY)))
        .merge(dashboard::routes())
        .merge(guarded)
}

fn finish(router: Router<Shared>, shared: &Shared) -> Router {
    let nothing = || async { ApiError::not_found("not found; the API is under /api/v1") };
    let router = router.fallback(nothing);
    let encrypted = middleware::from_fn_with_state(shared.clone(), plain::turn_away);
    let source = middleware::from_fn_with_state(shared.clone(), source::note);
    router.layer(encrypted).layer(source).with_state(shared.clone())
}

/// Serves until the handle is shut down. Frames and answers are small and somebody waits for each: none is held back
/// until the other side has acknowledged the one before, which takes it 40 ms when it has nothing to say itself.
pub fn serve(
    listener: TcpListener,
    router: fn(&Shared) -> Router,
    handle: Handle<SocketAddr>,
    shared: &Shared,
) -> anyhow::Result<()> {
    // Each listener has its own: two connections from one address and port are two only by where they came in.
    let shared = &shared.at(Entrance::default());
    let entrance = shared.entrance.clone();
    let service = router(shared).into_make_service_with_connect_info::<SocketAddr>();
    let tasks = shared.tasks.clone();
    let (accepting, hub, metrics) = (shared.accepting.clone(), shared.hub.clone(), shared.metrics.clone());
    let note = move |from: Option<&SocketAddr>, error: &std::io::Error| {
        // One that failed after it was taken harms nobody else.
        if from.is_none() {
            metrics.accept_failures.inc();
            accepting.note(error, &hub);
        }
    };
    match &shared.certificate {
        Some(certificate) => {
            let mut server = axum_server::from_tcp(listener)?
                .acceptor(Door::new(EitherAcceptor::new(certificate.acceptor()), entrance))
                .handle(handle)
                .accept_error_handler(note)
                .first_request_timeout(FIRST_REQUEST);
            server.http_builder().http1().header_read_timeout(IDLE);
            tasks.spawn(async move { ended(server.serve(service).await) });
        }
        None => {
            let mut server = axum_server::from_tcp(listener)?
                .acceptor(Door::new(NoDelayAcceptor::new(), entrance))
                .handle(handle)
                .accept_error_handler(note)
                .first_request_timeout(FIRST_REQUEST);
            server.http_builder().http1().header_read_timeout(IDLE);
            tasks.spawn(async move { ended(server.serve(service).await) });
        }
    }
    Ok(())
}

fn ended(outcome: std::io::Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "a listener ended");
    }
}
