//! The report of a load as one HTML page, which needs nothing else: its charts are drawn here, and it has no script.

mod axis;
mod chart;
#[cfg(test)]
mod tests;

use crate::generate::{Latency, Report, Second, name_of};
use crate::numbers::{bytes, count, millis, short};
use axis::Axis;
use chart::{Chart, Color, Series};

const STYLE: &str = include_str!("style.css");

/// As many points as a chart has room for. Of more seconds, some share a point.
const POINTS: usize = 600;

/// The page of a load that was sent to `to`.
pub(crate) fn page(report: &Report, to: &str) -> String {
    let title = escape(&format!("{} to {to}", name_of(report.profile)));
    let mut body = format!("<h1>{title}</h1>\n<p>{}</p>\n", escape(&facts(report)));
    if let Some(trouble) = &report.trouble {
        let said = format!("{} events failed. The first reason: {trouble}", count(report.failed));
        body.push_str(&format!("<p class=\"trouble\">{}</p>\n", escape(&said)));
    }
    body.push_str(&counts(report));
    body.push_str(&percentiles(report));
    for chart in [curve(report), latency_over_time(report), throughput(report)] {
        body.push_str(&chart.draw());
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

fn facts(report: &Report) -> String {
    let since = if report.scheduled {
        "Latency begins at the moment at which the schedule lets an event leave, whether it could leave then or not, and \
         ends when the target has acknowledged it."
    } else {
        "There was no schedule: events left as fast as the target took them, and latency begins when an event was made."
    };
    format!(
        "Seed {}, {} producer{}, {} batches, from {} on. {since}",
        report.seed,
        report.producers,
        if report.producers == 1 { "" } else { "s" },
        count(report.batches),
        report.started,
    )
}

fn counts(report: &Report) -> String {
    let wall = report.wall_s.max(1e-9);
    let tiles = [
        ("due", count(report.due)),
        ("sent", count(report.sent)),
        ("acknowledged", count(report.acknowledged)),
        ("late", count(report.late)),
        ("failed", count(report.failed)),
        ("sent again", count(report.retries)),
        ("events a second", short(report.events_per_s)),
        ("bytes a second", bytes(report.bytes as f64 / wall)),
        ("seconds", short(report.wall_s)),
    ];
    let tile = |(name, value): (&str, String)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>");
    let late = format!(
        "<p>Late are events that left more than {} after their moment: {} to wait for others, and {} of tolerance.</p>\n",
        millis(report.linger_ms + report.tolerance_ms),
        millis(report.linger_ms),
        millis(report.tolerance_ms),
    );
    format!("<dl>{}</dl>\n{late}", tiles.map(tile).concat())
}

fn percentiles(report: &Report) -> String {
    let row = |name: &str, latency: &Latency| {
        let cells = [
            latency.mean_ms,
            latency.p50_ms,
            latency.p90_ms,
            latency.p99_ms,
            latency.p999_ms,
            latency.p9999_ms,
            latency.max_ms,
        ];
        format!("<tr><th>{name}</th>{}</tr>\n", cells.map(|ms| format!("<td>{}</td>", millis(ms))).concat())
    };
    format!(
        "<div class=\"wide\"><table>\n<thead><tr><th></th><th>mean</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>p99.99</th>\
         <th>max</th></tr></thead>\n<tbody>\n{}{}</tbody>\n</table></div>\n",
        row("until acknowledged", &report.latency),
        row("until sent", &report.delay),
    )
}

/// Latency by percentile. The axis gives each further nine the same room.
fn curve(report: &Report) -> Chart {
    let nines = |quantile: f64| -(1.0 - quantile).log10();
    let points = |latency: &Latency| {
        let point = |(quantile, ms): &(f64, f64)| {
            // Nines are not rounded away.
            let percent = format!("{:.5}", quantile * 100.0);
            let percent = percent.trim_end_matches('0').trim_end_matches('.');
            Some((nines(*quantile), *ms, format!("p{percent}: {}", millis(*ms))))
        };
        latency.curve.iter().map(point).collect::<Vec<_>>()
    };
    let most = report.latency.curve.last().map_or(1.0, |(quantile, _)| nines(*quantile)).clamp(1.0, 9.0);
    let ticks = [(0.0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];
    let ticks = ticks.into_iter().chain([(0.999_99, "99.999 %"), (0.999_999, "99.9999 %")]);
    let ticks = ticks.map(|(quantile, name)| (nines(quantile), name.to_owned()));
    let ticks = ticks.filter(|(at, _)| *at <= most + 1e-6).collect();
    Chart::new(
        "Latency by percentile",
        "So many events in a hundred were acknowledged, or sent, within this time.",
        Axis::with_ticks(0.0, most, ticks),
        vec![
            Series { name: "until sent", color: Color::Grey, points: points(&report.delay) },
            Series { name: "until acknowledged", color: Color::Blue, points: points(&report.latency) },
        ],
    )
    .logarithmic(millis)
}

fn latency_over_time(report: &Report) -> Chart {
    let spans = spans(&report.timeline);
    let series = |name, color, of: fn(&Span) -> Option<f64>| {
        let point = |span: &Span| {
            let ms = of(span)?;
            Some((span.middle(), ms, format!("{name} at {} s: {}", short(span.at), millis(ms))))
        };
        Series { name, color, points: spans.iter().map(point).collect() }
    };
    Chart::new(
        "Latency over time",
        &shared(
            "By the second in which events were acknowledged",
            &spans,
            "each point is the highest of those seconds",
        ),
        Axis::seconds(report.wall_s),
        vec![
            series("max", Color::Grey, |span| span.max),
            series("p99", Color::Orange, |span| span.p99),
            series("p50", Color::Blue, |span| span.p50),
        ],
    )
    .logarithmic(millis)
}

fn throughput(report: &Report) -> Chart {
    let spans = spans(&report.timeline);
    let series = |name, color, of: fn(&Span) -> Option<f64>| {
        let point = |span: &Span| {
            let rate = of(span)?;
            Some((span.middle(), rate, format!("{name} at {} s: {}/s", short(span.at), short(rate))))
        };
        Series { name, color, points: spans.iter().map(point).collect() }
    };
    let mut all = vec![
        series("sent", Color::Orange, |span| Some(span.sent / span.seconds)),
        series("acknowledged", Color::Blue, |span| Some(span.acknowledged / span.seconds)),
    ];
    if report.scheduled {
        all.push(series("due", Color::Dashed, |span| span.due.map(|due| due / span.seconds)));
    }
    Chart::new(
        "Events a second",
        &shared("What the schedule wanted, what left, and what was acknowledged", &spans, "each point is their mean"),
        Axis::seconds(report.wall_s),
        all,
    )
    .linear(short)
}

/// Seconds that share a point.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    at: f64,
    seconds: f64,
    due: Option<f64>,
    sent: f64,
    acknowledged: f64,
    p50: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

impl Span {
    fn middle(&self) -> f64 {
        self.at + self.seconds / 2.0
    }
}

fn spans(timeline: &[Second]) -> Vec<Span> {
    let shared = timeline.len().div_ceil(POINTS).max(1);
    let higher = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    };
    let join = |seconds: &[Second]| {
        let first = seconds.first().map_or(0.0, |second| second.point.at_s);
        seconds.iter().fold(Span { at: first, ..Span::default() }, |span, Second { due, point }| Span {
            at: span.at,
            seconds: span.seconds + point.seconds,
            due: due.map(|due| span.due.unwrap_or(0.0) + due),
            sent: span.sent + point.sent as f64,
            acknowledged: span.acknowledged + point.acknowledged as f64,
            p50: higher(span.p50, point.latency.map(|latency| latency.p50_ms)),
            p99: higher(span.p99, point.latency.map(|latency| latency.p99_ms)),
            max: higher(span.max, point.latency.map(|latency| latency.max_ms)),
        })
    };
    timeline.chunks(shared).map(join).collect()
}

fn shared(what: &str, spans: &[Span], how: &str) -> String {
    let seconds = spans.first().map_or(1.0, |span| span.seconds);
    if seconds > 1.0 {
        format!("{what}; {} seconds share a point, and {how}.", short(seconds))
    } else {
        format!("{what}.")
    }
}

/// Text that a page shows as it is.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
