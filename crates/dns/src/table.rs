//! The table that answers are made from: a projection of the catalog.
//!
//! Published before a writer is answered, so that its next `dig` sees its write. A picture that
//! was replaced is kept until no reader has it, and freed here: never by a DNS thread.

use crate::config::Config;
use crate::encoded::{Encoder, Picture};
use arc_swap::{ArcSwap, Guard};
use catalog::{Touched, View};
use seams::Projection;
use std::sync::{Arc, Mutex, PoisonError};

/// Encoded rows of one datacenter, always as new as the catalog.
#[derive(Debug)]
pub struct Table {
    encoder: ArcSwap<Encoder>,
    current: ArcSwap<Picture>,
    publisher: Mutex<Publisher>,
}

/// Only who publishes looks at this.
#[derive(Debug, Default)]
struct Publisher {
    /// Replaced pictures that somebody may still read.
    retired: Vec<Arc<Picture>>,
    /// What the newest picture shows.
    view: Option<Arc<View>>,
}

/// An empty table: it says "not held" of everything until the first publish.
pub fn table(config: &Config) -> Arc<Table> {
    let encoder = Encoder::new(config, &config.datacenter);
    let current = ArcSwap::from_pointee(encoder.empty());
    let encoder = ArcSwap::from_pointee(encoder);
    Arc::new(Table { encoder, current, publisher: Mutex::default() })
}

impl Table {
    /// The newest picture. The guard never frees it: the publisher keeps it for longer.
    pub(crate) fn load(&self) -> Guard<Arc<Picture>> {
        self.current.load()
    }

    pub(crate) fn encoder(&self) -> Arc<Encoder> {
        self.encoder.load_full()
    }

    /// Shows everything as these settings say, from now on.
    pub(crate) fn reconfigure(&self, config: &Config) {
        let mut publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        let encoder = Encoder::new(config, &config.datacenter);
        let next = match &publisher.view {
            Some(view) => encoder.whole(view),
            None => encoder.empty(),
        };
        // Who publishes next waits for the lock, and so finds both.
        self.encoder.store(Arc::new(encoder));
        self.replace(&mut publisher, next);
    }

    fn replace(&self, publisher: &mut Publisher, next: Picture) {
        let old = self.current.swap(Arc::new(next));
        publisher.retired.push(old);
        // Nobody can get at a retired picture again: a count of one stays one.
        publisher.retired.retain(|picture| Arc::strong_count(picture) > 1);
    }

    /// How many replaced pictures wait for their readers.
    #[cfg(test)]
    pub(crate) fn retired(&self) -> usize {
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner).retired.len()
    }
}

impl Projection for Table {
    fn publish(&self, view: &Arc<View>, touched: &Touched) {
        // Publishes come one after the other; nobody else waits for this lock.
        let mut publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        let encoder = self.encoder.load();
        let next = match publisher.view.is_some() {
            true => encoder.next(&self.current.load(), view, touched),
            false => encoder.whole(view),
        };
        publisher.view = Some(Arc::clone(view));
        self.replace(&mut publisher, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::Acl;

    #[test]
    fn new_settings_show_the_same_rows_and_old_pictures_are_freed() {
        let table = table(&Config::default());
        let view = Arc::new(View::new(Acl::Off));
        table.reconfigure(&Config::default());
        assert!(!table.load().is_complete, "nothing was published yet");
        table.publish(&view, &Touched::everything());
        let reading = table.load();
        let seen = Arc::downgrade(&reading);
        table.reconfigure(&Config { only_passing: true, ..Config::default() });
        assert!(table.load().is_complete);
        assert_eq!(table.retired(), 1);
        drop(reading);
        table.publish(&view, &Touched::default());
        assert_eq!((table.retired(), seen.upgrade().is_none()), (0, true));
    }

    #[test]
    fn a_replaced_picture_is_freed_by_the_publisher_after_its_last_reader() {
        let table = table(&Config::default());
        let view = Arc::new(View::new(Acl::Off));
        table.publish(&view, &Touched::everything());
        assert_eq!(table.retired(), 0);
        let reading = table.load();
        let seen = Arc::downgrade(&reading);
        table.publish(&view, &Touched::default());
        assert_eq!(table.retired(), 1);
        drop(reading);
        // The reader left; the picture is still there until somebody publishes.
        assert!(seen.upgrade().is_some());
        table.publish(&view, &Touched::default());
        assert_eq!((table.retired(), seen.upgrade().is_none()), (0, true));
    }
}
