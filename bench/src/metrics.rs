//! What a server of ours counts, read as a monitoring system reads it: `GET /metrics`.

use anyhow::{Context, Result, ensure};

use crate::http::Connection;

/// All numbers at one moment.
pub struct Scrape(String);

impl Scrape {
    /// Of the server on a port of this machine.
    pub fn of(http_port: u16) -> Result<Self> {
        let (status, body) = Connection::open(http_port)?.get("/metrics")?;
        ensure!(status == 200, "metrics: {status}");
        Ok(Self(String::from_utf8(body).context("metrics are text")?))
    }

    /// The sum over all series of `name` whose labels contain each of `labels` (`key="value"`).
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.series(name)
            .filter(|(held, _)| labels.iter().all(|label| held.contains(label)))
            .map(|(_, value)| value)
            .sum()
    }

    /// How much was counted since an earlier look.
    pub fn since(&self, before: &Self, name: &str, labels: &[&str]) -> f64 {
        self.sum(name, labels) - before.sum(name, labels)
    }

    /// Below what a histogram's values since an earlier look were: all but one in a hundred, and all.
    ///
    /// Both are limits of buckets: the truth is at most that.
    pub fn below(&self, before: &Self, histogram: &str) -> Result<Below> {
        let name = format!("{histogram}_bucket");
        let old: Vec<(&str, f64)> = before.series(&name).collect();
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (labels, count) in self.series(&name) {
            let limit = labels.split_once("le=\"").and_then(|(_, rest)| rest.split_once('"'));
            let limit = limit.context("a bucket has a limit")?.0;
            let limit = if limit == "+Inf" { f64::INFINITY } else { limit.parse()? };
            let was = old.iter().find(|(held, _)| *held == labels).map_or(0.0, |(_, count)| *count);
            buckets.push((limit, count - was));
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let count = buckets.last().context("no such histogram")?.1;
        ensure!(count > 0.0, "{histogram} counted nothing");
        let at = |share: f64| {
            let reached = buckets.iter().find(|(_, held)| *held >= share * count);
            reached.map_or(f64::INFINITY, |(limit, _)| *limit)
        };
        Ok(Below { count, p99: at(0.99), all: at(1.0) })
    }

    fn series<'s>(&'s self, name: &'s str) -> impl Iterator<Item = (&'s str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once('}')?,
                None => ("", rest),
            };
            Some((labels, value.strip_prefix(' ')?.parse().ok()?))
        })
    }
}

/// What is known of values from a histogram.
pub struct Below {
    /// How many there were.
    pub count: f64,
    /// Ninety-nine in a hundred are at most this.
    pub p99: f64,
    /// All are.
    pub all: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(text: &str) -> Scrape {
        Scrape(text.into())
    }

    #[test]
    fn counters_are_added_up_by_their_labels() {
        let scrape = scrape(
            "# HELP q_total x\nq_total{path=\"hot\",over=\"udp\"} 5\nq_total{path=\"slow\",over=\"udp\"} 2\n\
             q_total_more 9\nplain 3\n",
        );
        assert_eq!(scrape.sum("q_total", &["over=\"udp\""]), 7.0);
        assert_eq!(scrape.sum("q_total", &["over=\"udp\"", "path=\"hot\""]), 5.0);
        assert_eq!((scrape.sum("plain", &[]), scrape.sum("none", &[])), (3.0, 0.0));
    }

    #[test]
    fn a_histogram_is_read_from_one_look_to_the_next() {
        let at = |small: u64, large: u64, all: u64| {
            scrape(&format!(
                "h_bucket{{le=\"0.1\"}} {small}\nh_bucket{{le=\"0.2\"}} {large}\nh_bucket{{le=\"+Inf\"}} {all}\n"
            ))
        };
        let below = at(105, 110, 110).below(&at(5, 5, 5), "h").expect("counted");
        assert_eq!((below.count, below.p99, below.all), (105.0, 0.2, 0.2));
        let below = at(200, 201, 202).below(&at(0, 0, 0), "h").expect("counted");
        assert_eq!((below.p99, below.all), (0.1, f64::INFINITY));
        assert!(at(5, 5, 5).below(&at(5, 5, 5), "h").is_err());
    }
}
