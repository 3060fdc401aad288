//! The limit of an attempt to connect to one address.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::failure::{Failure, Reach};
use crate::database::failure::ErrorClass;
use crate::database::url::PostgresqlAddress;
use crate::format;

/// What an attempt waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    Connect,
    Tls,
    Login,
}

/// How long an attempt may take from now on, in all its phases.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    limit: Option<(Duration, Instant)>,
}

impl Patience {
    pub(super) fn new(address: &PostgresqlAddress) -> Self {
        let until = |limit| Some((limit, Instant::now().checked_add(limit)?));
        Self { limit: address.connect_limit().and_then(until) }
    }

    /// Waits for a phase to end, or says that the server did not answer.
    pub(super) async fn over<T>(&self, phase: Phase, work: impl Future<Output = T>) -> Result<T, Failure> {
        let Some((limit, end)) = self.limit else { return Ok(work.await) };
        timeout_at(end, work).await.map_err(|_| {
            let what = match phase {
                Phase::Connect => "",
                Phase::Tls => " to the request for TLS",
                Phase::Login => " to the login",
            };
            let message = format!("no answer within {}{what}", format::duration(limit));
            Failure::new(Reach::Address, ErrorClass::TimedOut, message)
        })
    }
}
