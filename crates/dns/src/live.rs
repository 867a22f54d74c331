//! Settings that change while DNS is answered.
//!
//! A round loads the zone as it loads the picture: a pointer, no lock. What was replaced is kept until
//! no round has it, and freed by whoever reconfigures: never by a DNS thread.

use crate::config::Config;
use crate::table::Table;
use crate::zone::{BadDomain, Zone};
use arc_swap::{ArcSwap, Guard};
use std::sync::{Arc, Mutex, PoisonError};

/// The zone as it is answered now.
#[derive(Debug)]
pub(crate) struct Settings {
    zone: ArcSwap<Zone>,
    retired: Mutex<Vec<Arc<Zone>>>,
}

impl Settings {
    pub fn new(zone: Zone) -> Settings {
        Settings { zone: ArcSwap::from_pointee(zone), retired: Mutex::default() }
    }

    pub fn load(&self) -> Guard<Arc<Zone>> {
        self.zone.load()
    }

    fn replace(&self, zone: Zone) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.push(self.zone.swap(Arc::new(zone)));
        retired.retain(|zone| Arc::strong_count(zone) > 1);
    }
}

/// A running face's settings, to be changed.
#[derive(Debug, Clone)]
pub struct Live {
    pub(crate) settings: Arc<Settings>,
    pub(crate) table: Arc<Table>,
    /// Other datacenters, in the order in which they are asked.
    pub(crate) others: Vec<String>,
}

impl Live {
    /// Settings over a table without any socket: to explain names.
    pub fn over(config: &Config, table: &Arc<Table>) -> Result<Live, BadDomain> {
        let zone = Zone::new(config, std::iter::empty())?;
        let settings = Arc::new(Settings::new(zone));
        Ok(Live { settings, table: Arc::clone(table), others: Vec::new() })
    }

    /// Answers as these settings say, from now on; sockets, threads and limits stay as they are.
    pub fn reconfigure(&self, config: &Config) -> Result<(), BadDomain> {
        let zone = Zone::new(config, self.others.iter().map(String::as_str))?;
        self.table.reconfigure(config);
        self.settings.replace(zone);
        Ok(())
    }
}
