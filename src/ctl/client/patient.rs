//! Asking for what may take long, and showing meanwhile how far it is.

use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Client, Query, exchange};
use hal_base::exit::Failure;
use hal_base::progress::{Progress, Teller};
use hal_protocol::api::Answer;
use hal_protocol::store::Doing;

/// How long looking through a large database may take.
const LONG_TIMEOUT: Duration = Duration::from_secs(3600);

/// How often it is asked how far the work is.
const ASK: Duration = Duration::from_millis(500);

impl Client {
    /// Where the supervisor is.
    pub fn url(&self) -> &reqwest::Url {
        &self.target.url
    }

    /// Asks for a change that may take long and does no harm when it is asked for twice.
    pub async fn post_patiently<T: DeserializeOwned>(
        &self,
        path: &[&str],
        what: &'static str,
    ) -> Result<Answer<T>, Failure> {
        self.patiently(path, what, None::<&()>).await
    }

    /// The same with particulars.
    pub async fn ask_patiently<T: DeserializeOwned>(
        &self,
        path: &[&str],
        what: &'static str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        Ok(self.patiently(path, what, Some(body)).await?.data)
    }

    async fn patiently<T: DeserializeOwned>(
        &self,
        path: &[&str],
        what: &'static str,
        body: Option<&impl Serialize>,
    ) -> Result<Answer<T>, Failure> {
        let post = self.request(&self.http, Method::POST, path, &Query::new()).timeout(LONG_TIMEOUT);
        let post = match body {
            Some(body) => post.json(body),
            None => post,
        };
        let progress = Progress::default();
        let teller = Teller::start(what, progress.clone());
        let done = tokio::select! {
            done = exchange(post) => done,
            () = self.follow(what, &progress) => std::future::pending().await,
        };
        drop(teller);
        self.answer(done)
    }

    /// Asks how far the work of this name is, again and again. Ends never: a supervisor that does not say goes on.
    async fn follow(&self, what: &str, progress: &Progress) {
        loop {
            tokio::time::sleep(ASK).await;
            let all = self.get::<Vec<Doing>>(&["progress"], &Query::new()).await;
            let all = all.map(|answer| answer.data).unwrap_or_default();
            if let Some(doing) = all.iter().find(|doing| doing.what == what) {
                progress.set((doing.done, doing.total));
            }
        }
    }
}
