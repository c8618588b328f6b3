//! Lists in the order that somebody wants, shown once or for as long as somebody looks.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::signal::ctrl_c;
use tokio::time::{sleep, timeout};

use super::cli::list::ListArgs;
use super::client::{Client, Query};
use super::feed::{Feed, News};
use super::print::Screen;
use super::print::record::Record;
use hal_base::exit::{Exit, Failure};
use hal_base::nearest::no_such;

/// Changes that come together are shown together.
const BREATH: Duration = Duration::from_millis(500);

/// How old a list that nothing happened to may get: its ages go on.
const STALE: Duration = Duration::from_secs(10);

/// What is asked of the supervisor, each time anew.
pub struct Source {
    /// Below `/api/v1`.
    pub path: &'static str,
    /// The query that selects the records.
    pub query: Query,
    /// How many at most.
    pub limit: Option<usize>,
    /// How many in one page.
    pub page: usize,
}

impl Source {
    async fn all<T: DeserializeOwned>(&self, client: &Client) -> Result<Vec<T>, Failure> {
        client.pages(self.path, self.query.clone(), self.limit, self.page).all().await
    }
}

/// Shows a list in the order that is asked for; with `--watch` again whenever something happened, until Ctrl-C.
pub async fn list<T: Record + Serialize + DeserializeOwned>(
    client: &Client,
    screen: &mut Screen,
    how: &ListArgs,
    none: &str,
    source: Source,
) -> Result<(), Failure> {
    list_of(client, screen, how, none, source, |all: Vec<T>| all).await
}

/// The same with what is made of the supervisor's answer.
pub async fn list_of<A: DeserializeOwned, T: Record + Serialize>(
    client: &Client,
    screen: &mut Screen,
    how: &ListArgs,
    none: &str,
    source: Source,
    made: impl Fn(Vec<A>) -> Vec<T>,
) -> Result<(), Failure> {
    if !how.watch {
        let items = sorted(made(source.all(client).await?), how.sort.as_deref())?;
        return screen.list(&items, none);
    }
    tokio::select! {
        told = go_on(client, screen, how, none, source, made) => told,
        _ = ctrl_c() => screen.flush(),
    }
}

async fn go_on<A: DeserializeOwned, T: Record + Serialize>(
    client: &Client,
    screen: &mut Screen,
    how: &ListArgs,
    none: &str,
    source: Source,
    made: impl Fn(Vec<A>) -> Vec<T>,
) -> Result<(), Failure> {
    // Opened before the first look: what happens in between is a reason for the second.
    let mut feed = Feed::open(client, Query::new()).await?;
    let mut known: HashMap<String, String> = HashMap::new();
    loop {
        match source.all(client).await {
            Ok(items) => {
                let items = sorted(made(items), how.sort.as_deref())?;
                match screen.is_redrawn() {
                    true => screen.redraw(&items, none)?,
                    false => changed(screen, &items, &mut known)?,
                }
            }
            // The feed says so, and says when it is back.
            Err(failure) if failure.exit == Exit::Unreachable => {}
            Err(failure) => return Err(failure),
        }
        if let Ok(news) = timeout(STALE, next(&mut feed, screen)).await {
            news?;
            sleep(BREATH).await;
        }
    }
}

/// Waits until something has happened.
async fn next(feed: &mut Feed, screen: &mut Screen) -> Result<(), Failure> {
    loop {
        match feed.next().await? {
            News::Event(_) | News::Gap | News::Back => return Ok(()),
            News::Lost => screen.say("The connection to the supervisor is lost; retrying."),
            News::Live(_) => {}
        }
    }
}

/// Shows the records that are not as they were shown.
fn changed<T: Record + Serialize>(
    screen: &mut Screen,
    items: &[T],
    known: &mut HashMap<String, String>,
) -> Result<(), Failure> {
    for item in items {
        let (name, now) = (item.name(), super::print::record::line(item));
        if known.get(&name) != Some(&now) {
            screen.next(item)?;
            known.insert(name, now);
        }
    }
    let names: Vec<String> = items.iter().map(Record::name).collect();
    known.retain(|name, _| names.contains(name));
    Ok(())
}

/// The records in the order of a field: `cost`, or `-cost` for the largest first. Those that are alike stay as they were.
pub fn sorted<T: Record>(items: Vec<T>, by: Option<&str>) -> Result<Vec<T>, Failure> {
    let Some(by) = by.filter(|_| !items.is_empty()) else { return Ok(items) };
    let (field, is_descending) = match by.strip_prefix('-') {
        Some(field) => (field, true),
        None => (by, false),
    };
    let field = field.to_lowercase();
    let known: Vec<&'static str> =
        items.first().map(|item| item.fields().iter().map(|field| field.key).collect()).unwrap_or_default();
    if !known.contains(&field.as_str()) {
        let sentence = format!("--sort: {}", no_such("field", &field, known.iter().copied()));
        return Err(Failure::say(Exit::Usage, sentence));
    }
    let key = |item: &T| item.fields().into_iter().find(|one| one.key == field).map(|one| one.sort_key());
    let mut keyed: Vec<_> = items.into_iter().map(|item| (key(&item), item)).collect();
    keyed.sort_by(|(one, _), (other, _)| {
        let order = one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal);
        if is_descending { order.reverse() } else { order }
    });
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::record::Field;
    use hal_base::clock::Time;

    struct Thing(&'static str, &'static str, i64);

    impl Record for Thing {
        fn fields(&self) -> Vec<Field> {
            vec![
                Field::new("id", self.0),
                Field::money("cost", self.1, None),
                Field::moment("active_at", Time(self.2)),
            ]
        }
    }

    fn order(by: Option<&str>) -> Result<Vec<&'static str>, String> {
        let things = vec![Thing("b", "9.5", 3), Thing("a", "10.25", 1), Thing("c", "unknown", 2)];
        let sorted = sorted(things, by).map_err(|failure| failure.to_string())?;
        Ok(sorted.into_iter().map(|thing| thing.0).collect())
    }

    #[test]
    fn records_stand_in_the_order_of_numbers_times_and_words() {
        assert_eq!(order(None).unwrap(), ["b", "a", "c"]);
        assert_eq!(order(Some("id")).unwrap(), ["a", "b", "c"]);
        assert_eq!(order(Some("cost")).unwrap(), ["c", "b", "a"], "what is unknown is least");
        assert_eq!(order(Some("-cost")).unwrap(), ["a", "b", "c"]);
        assert_eq!(order(Some("-ACTIVE_AT")).unwrap(), ["b", "c", "a"]);
        let wrong = order(Some("-cots")).unwrap_err();
        assert!(wrong.contains("did you mean \"cost\"?"), "{wrong}");
    }
}
