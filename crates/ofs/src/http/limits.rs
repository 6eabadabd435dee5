//! How many requests a second each key or subject may send, and each address without one: a bucket of tokens that
//! fills steadily, and holds those of one second.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use ofs_runtime::problem::{self, Problem};
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use uuid::Uuid;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");
/// Callers that are told apart. Beyond that, those who have sent nothing for a second are forgotten.
const MOST: usize = 10_000;

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// Those of this key or subject.
    Caller(Uuid),
    /// Those without either from this address; of IPv6, from its network of 64 bits, which is one user's.
    From(Option<IpAddr>),
}

impl Whose {
    pub(super) fn of(caller: Option<Uuid>, from: Option<IpAddr>) -> Self {
        let network = |from| match from {
            IpAddr::V6(from) if from.to_ipv4_mapped().is_none() => {
                IpAddr::V6((from.to_bits() >> 64 << 64).into())
            }
            from => from,
        };
        caller.map_or_else(|| Whose::From(from.map(network)), Whose::Caller)
    }
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The limit of one process's callers. Cheap to clone.
#[derive(Clone, Default)]
pub struct Limits {
    rate: Option<NonZeroU32>,
    buckets: Arc<Mutex<HashMap<Whose, Bucket>>>,
}

impl Limits {
    /// `rate` requests a second for each caller; none: no limit.
    #[must_use]
    pub fn new(rate: Option<NonZeroU32>) -> Self {
        Self { rate, buckets: Arc::default() }
    }

    /// Takes room for one request at `now`; answers with what is left of it.
    ///
    /// # Errors
    /// If there is none; the problem says when there will be.
    pub(super) fn take(&self, whose: Whose, now: Instant) -> Result<Option<u32>, Problem> {
        let Some(rate) = self.rate else { return Ok(None) };
        let rate = f64::from(rate.get());
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST && !buckets.contains_key(&whose) {
            buckets.retain(|_, bucket| now.duration_since(bucket.at).as_secs() < 1);
            if buckets.len() >= MOST {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(whose).or_insert(Bucket { tokens: rate, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * rate).min(rate);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(
                self.told(Problem::new(problem::TOO_MANY_REQUESTS, TOO_MANY).retry_after(1))
            );
        }
        bucket.tokens -= 1.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to the rate"
        )]
        let left = bucket.tokens as u32;
        Ok(Some(left))
    }

    /// Tells in `response` what is `left`.
    pub(super) fn tell(&self, left: Option<u32>, response: &mut Response) {
        if let (Some((policy, value)), Some(left)) = (self.policy(), left) {
            response.headers_mut().insert(policy, value);
            response.headers_mut().extend(remaining(left));
        }
    }

    fn told(&self, problem: Problem) -> Problem {
        let headers = self.policy().into_iter().chain(remaining(0));
        headers.fold(problem, |problem, (name, value)| problem.with_header(name, value))
    }

    fn policy(&self) -> Option<(HeaderName, HeaderValue)> {
        let policy = format!("\"requests\";q={};w=1", self.rate?);
        Some((POLICY, HeaderValue::from_str(&policy).ok()?))
    }
}

const TOO_MANY: &str = "this is more than you may send in a second; wait for as long as Retry-After \
                        says, and send it again";

fn remaining(left: u32) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::from_str(&format!("\"requests\";r={left};t=1")).ok()?;
    Some((LEFT, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn taken(limits: &Limits, whose: Whose, from: Instant, millis: u64) -> usize {
        let at = |step: u64| from + Duration::from_millis(step);
        (0..millis).filter(|step| limits.take(whose, at(*step)).is_ok()).count()
    }

    #[test]
    fn each_caller_gets_the_rate_and_a_second_of_it_at_once() {
        let (limits, start) = (Limits::new(NonZeroU32::new(50)), Instant::now());
        let [one, two] = [1, 2].map(|n| Whose::Caller(Uuid::from_u128(n)));
        // 50 at once, and 50 in each of the 4 seconds.
        assert!((249..=251).contains(&taken(&limits, one, start, 4_000)));
        assert!((99..=101).contains(&taken(&limits, two, start, 1_000)));
        let later = start + Duration::from_secs(3_600);
        let burst = (0..1_000).filter(|_| limits.take(one, later).is_ok()).count();
        assert_eq!(burst, 50, "what is not used is not saved up");
        assert_eq!(taken(&Limits::default(), one, start, 4_000), 4_000);
    }

    #[test]
    fn a_network_of_one_user_is_one_caller_and_callers_are_bounded() {
        let of = |text: &str| Whose::of(None, Some(text.parse().expect("an address")));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        let (limits, start) = (Limits::new(NonZeroU32::new(1)), Instant::now());
        for n in 0..30_000 {
            let _ = limits.take(Whose::Caller(Uuid::from_u128(n)), start);
        }
        assert!(limits.buckets.lock().expect("buckets").len() <= MOST);
    }
}
