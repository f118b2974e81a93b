#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;
use watershed_connectors::Profile;

use super::axis::Axis;
use super::page;
use crate::generate::{Events, Load, Report, send};
use crate::numbers::short;
use crate::schedule::Schedule;
use crate::target::{Batch, Refused, Target};

/// Takes everything.
struct Anything;

impl Target for Anything {
    fn submit(&self, _batch: Batch) -> BoxFuture<'static, Result<(), Refused>> {
        Box::pin(async { Ok(()) })
    }
}

async fn report(events: u64, schedule: Option<Schedule>) -> Report {
    let load = Load { schedule, events_at_most: Some(events), ..Load::flat_out(Events::new(Profile::Orders)) };
    send(load, Box::new(Anything), watch::channel(false).1, |_| {}).await
}

/// Elements that are opened and not closed, in a text that is XML but for its first line and its `meta` elements.
fn unclosed(page: &str) -> Vec<String> {
    let mut open = Vec::new();
    for tag in page.split('<').skip(1).map(|rest| rest.split_once('>').unwrap().0) {
        let name = tag.split_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop().as_deref(), Some(closed)),
            None if tag.ends_with('/') || matches!(name, "meta" | "!doctype") => {}
            None => open.push(name.to_owned()),
        }
    }
    open
}

#[tokio::test]
async fn a_page_is_whole_and_asks_for_nothing() {
    for schedule in [None, Some(Schedule::constant(10_000.0))] {
        let report = report(2000, schedule).await;
        let page = page(&report, "http://host/<ingest>&\"more\"");
        assert_eq!(unclosed(&page), Vec::<String>::new());
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("orders to http://host/&lt;ingest&gt;&amp;&quot;more&quot;"));
        for outside in ["<script", "<link", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }
}

#[tokio::test]
async fn a_load_without_events_has_a_page() {
    let page = page(&report(10, Some(Schedule::steps([]))).await, "stdout");
    assert_eq!(unclosed(&page), Vec::<String>::new());
    assert!(!page.contains("NaN") && !page.contains("inf"));
}

#[tokio::test]
async fn failures_are_told_on_top() {
    struct Refuses(Arc<str>);
    impl Target for Refuses {
        fn submit(&self, _batch: Batch) -> BoxFuture<'static, Result<(), Refused>> {
            let why = self.0.to_string();
            Box::pin(async { Err(Refused::Fatal(why)) })
        }
    }
    let load = Load { events_at_most: Some(1), ..Load::flat_out(Events::new(Profile::Orders)) };
    let target = Box::new(Refuses("it answers 404 <Not Found>".into()));
    let report = send(load, target, watch::channel(false).1, |_| {}).await;
    assert!(page(&report, "x").contains("1 events failed. The first reason: it answers 404 &lt;Not Found&gt;"));
}

#[test]
fn axes_have_lines_at_round_values() {
    let names = |axis: &Axis| axis.ticks.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&Axis::from_zero(120_000.0, short)), ["0", "20k", "40k", "60k", "80k", "100k", "120k"]);
    assert_eq!(names(&Axis::seconds(9.5)), ["0 s", "2 s", "4 s", "6 s", "8 s"]);
    let logarithmic = Axis::logarithmic(0.3, 40.0, short);
    assert_eq!(names(&logarithmic), ["0.1", "1", "10", "100"]);
    assert_eq!(logarithmic.share(0.1), 0.0);
    assert!((logarithmic.share(1.0) - 1.0 / 3.0).abs() < 1e-9);
    assert_eq!(logarithmic.share(0.0), 0.0);
}
