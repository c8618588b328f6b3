//! The resolver of webhooks. A name is looked up once; every address it has is checked, and only a checked one is dialled,
//! so that a name which changes its address in between leads nowhere else. An address that is written in the URL never
//! reaches a resolver: whoever sends asks [`hal_rules::address::check_host`] first.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use hal_rules::address::check;

/// Looks names up, and gives no address of a name when one of them is closed.
#[derive(Clone, Copy, Debug)]
pub struct Guarded;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            for address in &found {
                check(address.ip())
                    .map_err(|why| Refused(format!("{name} has a forbidden address: {why}")))?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The address is closed: trying again does not help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    /// The reason, if this error comes from [`Guarded`].
    pub fn within(error: &(dyn std::error::Error + 'static)) -> Option<String> {
        let mut error = Some(error);
        while let Some(inner) = error {
            if let Some(refused) = inner.downcast_ref::<Self>() {
                return Some(refused.0.clone());
            }
            error = inner.source();
        }
        None
    }
}
