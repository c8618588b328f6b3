//! The entrance of a listener: connections that nobody has shown the token on are few, and so are large messages that are
//! not all there yet. Both have bounds for each address, so that one takes no more than its part.
//!
//! A connection is a guest until the token is shown on it. When there are too many the oldest guest goes, so that whoever
//! comes is let in. What comes in is counted until whoever reads says that a message is whole; beyond a little of it, a
//! connection reads on only when it gets one of the places for large messages, and gives it back in time or is cut.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::either::Encrypted;
use hal_base::clock::Stopwatch;
use hal_base::descriptors;

/// Guests at most, and the part of the descriptors that they may take where these are few.
const GUESTS: usize = 8192;
const GUESTS_OF_DESCRIPTORS: usize = 4;

/// Guests of one address may be half of all.
const GUESTS_OF_ADDRESS: usize = 2;

/// A guest of an address that has too many is left in peace so long, to show a token: after an outage all the agents behind
/// one address come at once.
const SETTLING: Duration = Duration::from_secs(2);

/// Bytes that a guest may send before it shows who it is: the head of a request, or a proof.
const GUESTS_SMALL: usize = 64 * 1024;

/// Bytes of a message that any connection may have sent before it is whole.
const SMALL: usize = 256 * 1024;

/// Messages beyond that which may be on their way at a time: 8 MiB each, and twice that while a buffer grows.
const LARGE: usize = 8;

/// Of them, those of one address.
const LARGE_OF_ADDRESS: usize = 4;

/// A large message is whole within this time: 8 MiB at 70 KB/s.
const LARGE_LIMIT: Duration = Duration::from_secs(120);

/// Everybody who came in by one listener. Clones share it.
#[derive(Clone, Debug)]
pub struct Entrance {
    most: usize,
    /// Within which time a large message is whole.
    limit: Duration,
    large: Arc<Semaphore>,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    count: u64,
    places: HashMap<SocketAddr, Arc<OpenConnection>>,
    /// By when they came.
    guests: BTreeMap<u64, Arc<OpenConnection>>,
    guests_of: HashMap<IpAddr, usize>,
    large_of: HashMap<IpAddr, Weak<Semaphore>>,
}

/// One connection, as those see it who answer on it.
#[derive(Debug)]
pub struct OpenConnection {
    number: u64,
    source: SocketAddr,
    came: Stopwatch,
    /// Bytes that came in since a message was whole.
    partial: AtomicUsize,
    /// Whether it speaks TLS.
    is_encrypted: AtomicBool,
    /// Whether it has shown nothing yet.
    is_guest: AtomicBool,
    leave: CancellationToken,
}

impl OpenConnection {
    /// What was begun is whole: what comes now is something new.
    pub fn is_whole(&self) {
        self.partial.store(0, Ordering::Relaxed);
    }
}

impl Default for Entrance {
    fn default() -> Self {
        Self::of(descriptors::limit())
    }
}

impl Entrance {
    /// Where so many descriptors may be open.
    fn of(descriptors: usize) -> Self {
        let most = (descriptors / GUESTS_OF_DESCRIPTORS).clamp(2 * GUESTS_OF_ADDRESS, GUESTS);
        Self { most, limit: LARGE_LIMIT, large: Arc::new(Semaphore::new(LARGE)), inside: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token was shown on the connection from there.
    pub fn is_known(&self, source: SocketAddr) -> Option<Arc<OpenConnection>> {
        let mut inside = self.lock();
        let place = inside.places.get(&source)?.clone();
        inside.is_no_guest(&place);
        place.is_guest.store(false, Ordering::Relaxed);
        place.is_whole();
        Some(place)
    }

    /// True when nobody can read along on the connection from there.
    pub fn is_encrypted(&self, source: SocketAddr) -> bool {
        self.lock().places.get(&source).is_some_and(|place| place.is_encrypted.load(Ordering::Relaxed))
    }

    /// Somebody comes. When there are too many guests then, the oldest of those who have most goes.
    /// `None`: a connection from there is inside already, by another address of this machine; what is known of the one must not
    /// be taken for the other's.
    fn enter(&self, source: SocketAddr) -> Option<(Arc<OpenConnection>, Arc<Semaphore>)> {
        let mut inside = self.lock();
        if inside.places.contains_key(&source) {
            return None;
        }
        inside.count += 1;
        let place = Arc::new(OpenConnection {
            number: inside.count,
            source,
            came: Stopwatch::start(),
            partial: AtomicUsize::new(0),
            is_encrypted: AtomicBool::new(false),
            is_guest: AtomicBool::new(true),
            leave: CancellationToken::new(),
        });
        let address = place.address();
        inside.places.insert(source, place.clone());
        inside.guests.insert(place.number, place.clone());
        *inside.guests_of.entry(address).or_default() += 1;
        if inside.guests.len() > self.most {
            let most = inside.guests_of.iter().max_by_key(|(_, count)| **count).map(|(address, _)| *address);
            inside.send_away(most.unwrap_or(address), Duration::ZERO);
        } else if inside.guests_of.get(&address).copied().unwrap_or(0) > self.most / GUESTS_OF_ADDRESS {
            inside.send_away(address, SETTLING);
        }
        let large = inside.large_of.get(&address).and_then(Weak::upgrade);
        let large = large.unwrap_or_else(|| Arc::new(Semaphore::new(LARGE_OF_ADDRESS)));
        inside.large_of.insert(address, Arc::downgrade(&large));
        Some((place, large))
    }

    fn leave(&self, place: &Arc<OpenConnection>) {
        let mut inside = self.lock();
        inside.is_no_guest(place);
        if inside.places.get(&place.source).is_some_and(|there| there.number == place.number) {
            inside.places.remove(&place.source);
        }
        if inside.large_of.len() > 2 * inside.places.len() {
            inside.large_of.retain(|_, large| large.strong_count() > 0);
        }
    }
}

impl OpenConnection {
    fn address(&self) -> IpAddr {
        self.source.ip().to_canonical()
    }
}

impl Inside {
    fn is_no_guest(&mut self, place: &OpenConnection) {
        if self.guests.remove(&place.number).is_none() {
            return;
        }
        let address = place.address();
        if let Some(count) = self.guests_of.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.guests_of.remove(&address);
            }
        }
    }

    /// The oldest guest of an address goes, if it has been there for so long.
    fn send_away(&mut self, address: IpAddr, least: Duration) {
        let oldest = self.guests.values().find(|guest| guest.address() == address).cloned();
        if let Some(oldest) = oldest.filter(|oldest| oldest.came.elapsed() >= least) {
            self.is_no_guest(&oldest);
            oldest.leave.cancel();
        }
    }
}

/// Lets connections in by way of another acceptor, which may speak TLS.
#[derive(Clone, Debug)]
pub struct Door<A> {
    inner: A,
    entrance: Entrance,
}

impl<A> Door<A> {
    /// In front of another.
    pub fn new(inner: A, entrance: Entrance) -> Self {
        Self { inner, entrance }
    }
}

impl<A, S> Accept<TcpStream, S> for Door<A>
where
    A: Accept<TcpStream, S>,
    A::Future: Send + 'static,
    A::Stream: Encrypted + Send + 'static,
    A::Service: Send + 'static,
{
    type Stream = Counted<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let source = match stream.peer_addr() {
            Ok(source) => source,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let Some((place, own)) = self.entrance.enter(source) else {
            let why = "a connection from the same address and port is open";
            return Box::pin(std::future::ready(Err(io::Error::new(io::ErrorKind::AddrInUse, why))));
        };
        let stay = Stay { place, entrance: self.entrance.clone() };
        let accepted = self.inner.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = tokio::select! {
                accepted = accepted => accepted?,
                () = stay.place.leave.cancelled() => return Err(sent_away()),
            };
            stay.place.is_encrypted.store(stream.is_encrypted(), Ordering::Relaxed);
            Ok((Counted::new(stream, stay, own), service))
        })
    }
}

fn sent_away() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "too many connections without a token: the oldest is closed",
    )
}

/// Leaves when it is dropped.
#[derive(Debug)]
struct Stay {
    place: Arc<OpenConnection>,
    entrance: Entrance,
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.entrance.leave(&self.place);
    }
}

/// The right to send a large message, and until when.
type Large = (OwnedSemaphorePermit, OwnedSemaphorePermit, Pin<Box<Sleep>>);

/// A connection whose bytes are counted.
pub struct Counted<S> {
    stream: S,
    own: Arc<Semaphore>,
    stay: Stay,
    leaving: Pin<Box<dyn Future<Output = ()> + Send>>,
    asking: Option<Pin<Box<dyn Future<Output = io::Result<Large>> + Send>>>,
    large: Option<Large>,
}

impl<S> Counted<S> {
    fn new(stream: S, stay: Stay, own: Arc<Semaphore>) -> Self {
        let leaving = Box::pin(stay.place.leave.clone().cancelled_owned());
        Self { stream, stay, own, leaving, asking: None, large: None }
    }

    /// Ready when more of a message may be read.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let partial = self.stay.place.partial.load(Ordering::Relaxed);
        if partial > GUESTS_SMALL && self.stay.place.is_guest.load(Ordering::Relaxed) {
            let why = format!("more than {GUESTS_SMALL} bytes came before a token");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        if partial < SMALL {
            (self.large, self.asking) = (None, None);
            return Poll::Ready(Ok(()));
        }
        if self.large.is_some() {
            return Poll::Ready(Ok(()));
        }
        let (own, all, limit) =
            (self.own.clone(), self.stay.entrance.large.clone(), self.stay.entrance.limit);
        let asking = self.asking.get_or_insert_with(|| {
            Box::pin(async move {
                let closed = |_| io::Error::other("the listener has ended");
                let own = own.acquire_owned().await.map_err(closed)?;
                let all = all.acquire_owned().await.map_err(closed)?;
                Ok((own, all, Box::pin(tokio::time::sleep(limit))))
            })
        });
        let large = ready!(asking.as_mut().poll(context))?;
        (self.large, self.asking) = (Some(large), None);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.poll_room(context)?.is_ready() {
            let before = buffer.filled().len();
            if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, buffer) {
                let more = buffer.filled().len() - before;
                this.stay.place.partial.fetch_add(more, Ordering::Relaxed);
                return Poll::Ready(read);
            }
        }
        if let Some((_, _, over)) = &mut this.large
            && over.as_mut().poll(context).is_ready()
        {
            let why = format!("a message was not whole within {} s", this.stay.entrance.limit.as_secs());
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        }
        // Pends for ever once it is known.
        match this.leaving.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(sent_away())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn from(address: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, address], port))
    }

    fn connect(entrance: &Entrance, source: SocketAddr) -> (DuplexStream, Counted<DuplexStream>) {
        let (theirs, ours) = duplex(64 * 1024);
        let (place, own) = entrance.enter(source).unwrap();
        (theirs, Counted::new(ours, Stay { place, entrance: entrance.clone() }, own))
    }

    #[test]
    fn whoever_shows_no_token_makes_room_for_whoever_comes_and_the_rest_stay() {
        let entrance = Entrance::of(64);
        let mut inside = vec![connect(&entrance, from(1, 1))];
        entrance.is_known(from(1, 1)).unwrap();
        inside.push(connect(&entrance, from(2, 1)));
        inside.extend((2..100).map(|port| connect(&entrance, from(1, port))));
        let is_away = |one: &(DuplexStream, Counted<DuplexStream>)| one.1.stay.place.leave.is_cancelled();
        assert!(!is_away(&inside[0]), "it has shown the token");
        assert!(!is_away(&inside[1]), "its address has one only");
        assert!(!is_away(&inside[99]), "who comes is let in");
        assert_eq!(inside.iter().filter(|one| !is_away(one)).count(), 1 + 64 / GUESTS_OF_DESCRIPTORS);
        inside.clear();
        let empty = entrance.lock();
        assert!(empty.places.is_empty() && empty.guests.is_empty() && empty.guests_of.is_empty());
        assert!(empty.large_of.is_empty());
    }

    #[tokio::test]
    async fn one_that_is_sent_away_ends_while_it_is_read() {
        let entrance = Entrance::of(64);
        let (_theirs, mut ours) = connect(&entrance, from(1, 1));
        let place = ours.stay.place.clone();
        let reading = tokio::spawn(async move { ours.read_u8().await });
        place.leave.cancel();
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    /// Says a lot and never an end; gives how much of it was taken.
    async fn flood(entrance: &Entrance, source: SocketAddr) -> usize {
        let (mut theirs, mut ours) = connect(entrance, source);
        entrance.is_known(source).unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        tokio::spawn(async move {
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(read) = ours.read(&mut bytes).await {
                count.fetch_add(read, Ordering::Relaxed);
            }
        });
        tokio::spawn(async move {
            let _cut = theirs.write_all(&vec![0; 4 * SMALL]).await;
            std::future::pending::<()>().await;
        });
        // Both have had their turns when so many have passed: what is not taken then will not be.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        taken.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_guest_says_little_and_each_source_is_one_connection() {
        let entrance = Entrance::of(1024);
        let (mut theirs, mut ours) = connect(&entrance, from(1, 1));
        assert!(entrance.enter(from(1, 1)).is_none());
        let reading = tokio::spawn(async move {
            let mut bytes = vec![0; 16 * 1024];
            loop {
                if let Err(error) = ours.read(&mut bytes).await {
                    return error;
                }
            }
        });
        let _cut = theirs.write_all(&vec![0; SMALL]).await;
        assert_eq!(reading.await.unwrap().kind(), io::ErrorKind::InvalidData);
        assert!(entrance.enter(from(1, 1)).is_some());
    }

    #[tokio::test]
    async fn few_large_messages_are_on_their_way_and_fewer_of_one_address() {
        let entrance = Entrance::of(1024);
        let mut large = Vec::new();
        for address in 1..=3 {
            for port in 1..=6 {
                if flood(&entrance, from(address, port)).await > SMALL + 64 * 1024 {
                    large.push(address);
                }
            }
        }
        assert_eq!(large, [1, 1, 1, 1, 2, 2, 2, 2], "four of each, eight of all");
    }

    #[tokio::test]
    async fn a_message_that_is_never_whole_is_cut_and_others_get_its_place() {
        let entrance = Entrance { limit: Duration::from_millis(50), ..Entrance::of(1024) };
        let (mut theirs, mut ours) = connect(&entrance, from(1, 1));
        entrance.is_known(from(1, 1)).unwrap();
        let reading = tokio::spawn(async move {
            let mut bytes = vec![0; 16 * 1024];
            loop {
                if let Err(error) = ours.read(&mut bytes).await {
                    return error;
                }
            }
        });
        theirs.write_all(&vec![0; 2 * SMALL]).await.unwrap();
        assert_eq!(reading.await.unwrap().kind(), io::ErrorKind::TimedOut);
        assert_eq!(entrance.large.available_permits(), LARGE);
    }

    #[tokio::test]
    async fn whole_messages_never_wait() {
        let entrance = Entrance::of(1024);
        let (mut theirs, mut ours) = connect(&entrance, from(1, 1));
        entrance.is_known(from(1, 1)).unwrap();
        let place = ours.stay.place.clone();
        let saying = tokio::spawn(async move {
            for _ in 0..20 {
                theirs.write_all(&vec![0; SMALL]).await.unwrap();
            }
        });
        let mut message = vec![0; SMALL];
        for _ in 0..20 {
            ours.read_exact(&mut message).await.unwrap();
            place.is_whole();
        }
        saying.await.unwrap();
        assert!(ours.large.is_none());
    }
}
