//! Stand-ins for what is outside: small servers of our own on loopback that speak the same protocol, write down what they
//! were told, and fail when a scene says so. Those for channels count their connections: the oracle of what was not reached.

pub mod discord;
pub mod http;
pub mod provider;
mod served;
pub mod slack;
pub mod smtp;

use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What all stand-ins have: a listener on a free port of loopback, what they were told, and what goes wrong next.
pub struct Base<Heard, Fault> {
    heard: Mutex<Vec<Heard>>,
    faults: Mutex<VecDeque<Fault>>,
    fired: AtomicUsize,
    connections: AtomicUsize,
    is_out: AtomicBool,
}

impl<Heard: Clone + Send + 'static, Fault: Send + 'static> Base<Heard, Fault> {
    /// Listens; each connection is served by a thread of its own.
    pub fn listen(serve: impl Fn(TcpStream, &Arc<Self>) + Send + Sync + 'static) -> (Arc<Self>, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it listens").port();
        let base = Arc::new(Self {
            heard: Mutex::default(),
            faults: Mutex::default(),
            fired: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            is_out: AtomicBool::new(false),
        });
        let (of_thread, serve) = (base.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                of_thread.connections.fetch_add(1, Ordering::SeqCst);
                if of_thread.is_out.load(Ordering::SeqCst) {
                    of_thread.fired.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let (base, serve) = (of_thread.clone(), serve.clone());
                std::thread::spawn(move || serve(stream, &base));
            }
        });
        (base, port)
    }

    /// What it was told, in order.
    pub fn heard(&self) -> Vec<Heard> {
        lock(&self.heard).clone()
    }

    /// Takes note.
    pub fn hear(&self, heard: Heard) {
        lock(&self.heard).push(heard);
    }

    /// What goes wrong next, once each.
    pub fn will_fail(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.faults).extend(faults);
    }

    /// The next fault, which has fired with that.
    pub fn next_fault(&self) -> Option<Fault> {
        let fault = lock(&self.faults).pop_front()?;
        self.fired.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }

    /// How many faults have fired.
    pub fn fired(&self) -> usize {
        self.fired.load(Ordering::SeqCst)
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// From now on every connection is closed at once, or none.
    pub fn set_out(&self, is_out: bool) {
        self.is_out.store(is_out, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
