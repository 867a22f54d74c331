//! One wake-up: a service was touched, and the one of 10,000 waiters that waits for it runs.

use crate::world;
use anyhow::{Result, ensure};
use catalog::{Acl, View, Watch, apply};
use model::Index;
use seams::fakes::entry;
use seams::{Subscription, Waiters};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const WAITERS: usize = 10_000;
const ROUNDS: usize = 2_000;

/// Each round touches another service, by its keys as apply tells them.
pub fn run() -> Result<usize> {
    let view = View::new(Acl::Off);
    let touched = (0..ROUNDS).map(|round| {
        let commands = world::registration(&format!("service-{round}"), round, 1_000, "");
        apply(&view, [(Index(1), entry(commands))]).touched
    });
    let touched: Vec<_> = touched.collect();
    let waiters = Waiters::default();
    let subscribe = |service: usize| {
        let key = catalog::ServiceKey::new(
            model::Tenant::DEFAULT,
            &format!("service-{service}").as_str().into(),
        );
        waiters.subscribe(&[Watch::Service(key)])
    };
    let waiting: Vec<Subscription> = (0..WAITERS).map(subscribe).collect();
    let mut context = Context::from_waker(Waker::noop());
    let (mut woken, mut ran) = (0, 0);
    crate::measured(|| {
        for (round, touched) in touched.iter().enumerate() {
            let mut changed = pin!(waiting[round].changed());
            let asleep = changed.as_mut().poll(&mut context) == Poll::Pending;
            woken += waiters.wake(touched);
            ran += usize::from(asleep && changed.poll(&mut context) == Poll::Ready(()));
        }
    });
    ensure!((woken, ran) == (ROUNDS, ROUNDS), "{woken} woken and {ran} run of {ROUNDS}");
    Ok(ROUNDS)
}
