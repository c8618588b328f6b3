//! Events as they happen. A [`Feed`] survives a stream that breaks: it comes back to where it was, and says so when
//! the supervisor cannot give what was in between.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sse_stream::{Sse, SseByteStream};

use super::client::{Client, Query};
use hal_base::backoff::Backoff;
use hal_base::exit::{Exit, Failure};
use hal_protocol::api::StreamOpening;
use hal_protocol::event::EventView;

/// The first pause before a broken stream is opened again; most breaks are a supervisor's restart.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause: a person is looking.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

type Source = Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>;

/// An open live stream and the place in it.
pub struct Feed {
    client: Client,
    query: Query,
    cursor: String,
    source: Option<Source>,
    backoff: Backoff,
}

/// What a feed says.
#[derive(Debug)]
pub enum News {
    /// Something happened and is kept.
    Event(EventView),
    /// Something is happening and is not kept.
    Live(LiveView),
    /// The stream broke; it is being opened again. Said once for each break.
    Lost,
    /// The stream is open again, and nothing was missed.
    Back,
    /// The stream is open again, but events in between may not come: take the picture again.
    Gap,
}

/// Something that is happening, as the stream says it.
#[derive(Debug, Serialize, Deserialize)]
pub struct LiveView {
    /// The session concerned.
    pub session_id: String,
    /// Name of the node.
    #[serde(default)]
    pub node_id: String,
    /// The event's type, such as `message.part.delta`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The event's data, as JSON text.
    pub data: Box<RawValue>,
}

impl Feed {
    /// Opens the stream at this moment; what happens from now on will come. Fails when it cannot be opened.
    pub async fn open(client: &Client, query: Query) -> Result<Self, Failure> {
        let mut feed = Self {
            client: client.clone(),
            query,
            cursor: String::new(),
            source: None,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        };
        feed.connect().await?;
        Ok(feed)
    }

    /// The next thing. Never ends by itself: a supervisor that is gone may come back. Fails when the supervisor
    /// refuses. May be dropped while it waits; nothing is lost then.
    pub async fn next(&mut self) -> Result<News, Failure> {
        loop {
            let Some(source) = &mut self.source else {
                let pause = self.backoff.next_delay();
                tokio::time::sleep(pause).await;
                match self.connect().await {
                    Ok(true) => return Ok(News::Back),
                    Ok(false) => return Ok(News::Gap),
                    Err(failure) if failure.exit == Exit::Unreachable => continue,
                    Err(failure) => return Err(failure),
                }
            };
            if let Some(Ok(sse)) = source.next().await {
                match self.read(sse) {
                    Some(news) => return Ok(news),
                    None => continue,
                }
            }
            self.source = None;
            return Ok(News::Lost);
        }
    }

    /// Opens the stream where it was. True: nothing was missed.
    async fn connect(&mut self) -> Result<bool, Failure> {
        let mut query = self.query.clone();
        query.push(("cursor", self.cursor.clone()));
        let response = self.client.stream(&query).await?;
        let mut source: Source = Box::pin(SseByteStream::new(response.bytes_stream()));
        let lost =
            |why: String| Failure::say(Exit::Unreachable, format!("the live stream did not start: {why}"));
        let first = loop {
            match source.next().await {
                Some(Ok(sse)) if sse.data.is_none() => {}
                Some(Ok(sse)) => break sse.data.unwrap_or_default(),
                Some(Err(error)) => return Err(lost(error.to_string())),
                None => return Err(lost("it ended at once".into())),
            }
        };
        let verdict: StreamOpening = serde_json::from_str(&first)
            .map_err(|_| Failure::say(Exit::Failed, "the live stream did not start with its verdict"))?;
        self.cursor = verdict.cursor;
        self.source = Some(source);
        self.backoff.reset();
        Ok(verdict.verdict == "ok")
    }

    /// What one message of the stream means. Kinds from the future mean nothing.
    fn read(&mut self, sse: Sse) -> Option<News> {
        let data = sse.data.as_deref()?;
        let news = match sse.event.as_deref() {
            Some("event") => News::Event(serde_json::from_str(data).ok()?),
            Some("live") => News::Live(serde_json::from_str(data).ok()?),
            // The supervisor could not keep up with us: it ends the stream or goes on from another place.
            Some("verdict") => {
                let verdict: StreamOpening = serde_json::from_str(data).ok()?;
                self.cursor = verdict.cursor;
                if verdict.verdict == "ok" { News::Back } else { News::Gap }
            }
            _ => return None,
        };
        if let Some(cursor) = sse.id.filter(|cursor| !cursor.is_empty()) {
            self.cursor = cursor;
        }
        Some(news)
    }
}
