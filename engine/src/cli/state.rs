//! `watershed state`: what the last checkpoint of a region holds.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Write as _;
use std::sync::Arc;

use super::args::State;
use super::failure::{Failure, Outcome, load};
use super::progress::moment;
use super::replay::newest;
use super::screen::Screen;
use crate::checkpoint::{CutState, Manifest, OutletState, Piece, PipelineState, SourceState, SplitState};
use crate::diagnostic::Diagnostic;
use crate::numbers::{bytes, count};

/// Splits that are named; of more, only the number is told.
const SHOWN_SPLITS: usize = 20;

/// Prints the newest epoch; touches nothing.
pub(super) async fn state(arguments: State, screen: &Arc<Screen>) -> Outcome {
    let region = load(&arguments.file)?;
    screen.hide(&region.secrets);
    let failed = |error: &dyn std::fmt::Display| Failure::running(error.to_string());
    let url = &region.checkpoint.url;
    let none = || {
        let error = Diagnostic::new(format!("there is no state at {url} yet"));
        Failure::Running(error.help("a run writes it at its first checkpoint"))
    };
    let manifest = newest(&region.checkpoint).await?.ok_or_else(none)?;
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&manifest).map_err(|error| failed(&error))? + "\n",
        false => about(&manifest, &region.checkpoint.url),
    };
    match std::io::stdout().lock().write_all(screen.redact(&text).as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::running(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn about(manifest: &Manifest, url: &str) -> String {
    let mut text = format!(
        "region {}: epoch {} in {url}\n  written {} by generation {} (watershed {}, DataFusion {})\n",
        manifest.region, manifest.epoch, manifest.written_at, manifest.generation, manifest.engine, manifest.datafusion,
    );
    let counts = manifest.counters;
    let _ = writeln!(
        text,
        "  read {}: aggregated {}, filtered {}, late {}, bad {}; {} windows, {} rows out",
        count(counts.read),
        count(counts.aggregated),
        count(counts.filtered),
        count(counts.late),
        count(counts.bad),
        count(counts.windows),
        count(counts.rows_out),
    );
    text.push_str(&sizes(manifest));
    manifest.sources.iter().for_each(|(name, source)| about_source(&mut text, name, source));
    manifest.pipelines.iter().for_each(|(name, pipeline)| about_pipeline(&mut text, name, pipeline));
    text
}

fn sizes(manifest: &Manifest) -> String {
    let mut segments: BTreeMap<&str, u64> = BTreeMap::new();
    for piece in manifest.pieces() {
        *segments.entry(&piece.segment).or_default() += piece.length;
    }
    let total: u64 = segments.values().sum();
    format!("  state {} in {} segments\n", bytes(total as f64), segments.len())
}

fn about_source(text: &mut String, name: &str, source: &SourceState) {
    let ended = source.splits.values().filter(|split| split.ended).count();
    let _ = writeln!(text, "\nsource {name}: {} splits, {ended} ended", source.splits.len());
    // Those that are still read come first.
    let mut splits: Vec<(&String, &SplitState)> = source.splits.iter().collect();
    splits.sort_by_key(|(_, split)| split.ended);
    for (id, split) in splits.iter().take(SHOWN_SPLITS) {
        let position = split.to.as_ref().map_or("not begun".to_string(), |to| to.0.to_string());
        let time = split.greatest_time.map_or("-".to_string(), moment);
        let ended = match split {
            SplitState { ended: true, .. } => ", ended",
            SplitState { left: true, .. } => ", read elsewhere",
            _ => "",
        };
        let _ = writeln!(text, "  {id}: next {position}, event time up to {time}{ended}");
    }
    if splits.len() > SHOWN_SPLITS {
        let _ = writeln!(text, "  and {} more", splits.len() - SHOWN_SPLITS);
    }
    if !source.seen.is_empty() {
        let _ = writeln!(text, "  remembers {} keys ({})", count(rows(&source.seen)), size(&source.seen));
    }
    about_outlet(text, "dead letters", &source.dead_letters);
}

fn about_pipeline(text: &mut String, name: &str, state: &PipelineState) {
    let closed = state.closed_through.map_or("-".to_string(), moment);
    let _ = writeln!(
        text,
        "\npipeline {name}: {} windows open, closed up to {closed}\n  SQL {}, state {}",
        count(state.open_windows),
        state.sql_hash,
        state.fingerprint
    );
    for cut in &state.cuts {
        let _ = match cut {
            CutState::Panes { panes, .. } => {
                let pieces: Vec<Piece> = panes.iter().flat_map(|pane| pane.pieces.clone()).collect();
                writeln!(
                    text,
                    "  {} panes in {} pieces, {} groups or rows, {}",
                    panes.len(),
                    pieces.len(),
                    count(rows(&pieces)),
                    size(&pieces)
                )
            }
            CutState::Sessions { sessions, rows: kept, .. } => writeln!(
                text,
                "  sessions in {} pieces, {}; {} groups or rows, {}",
                sessions.len() + kept.len(),
                size(sessions),
                count(rows(kept)),
                size(kept)
            ),
        };
    }
    about_outlet(text, "rows", &state.out);
    about_outlet(text, "late rows", &state.late);
}

fn about_outlet(text: &mut String, what: &str, outlet: &OutletState) {
    if !outlet.rows.is_empty() {
        let pieces: Vec<Piece> = outlet.rows.values().cloned().collect();
        let _ = writeln!(text, "  {what} in no finished file yet: up to {} ({})", count(rows(&pieces)), size(&pieces));
    }
    for (sink, encoded) in &outlet.encoded {
        let pieces: Vec<Piece> = encoded.values().cloned().collect();
        let (groups, size) = (count(pieces.len() as u64), size(&pieces));
        let _ =
            writeln!(text, "  {what} encoded for sink {sink}, in no finished file yet: {groups} row groups ({size})");
    }
    for sink in outlet.prepared.keys() {
        let _ = writeln!(text, "  {what} shown by this epoch in sink {sink}");
    }
}

fn rows(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| piece.rows).sum()
}

fn size(pieces: &[Piece]) -> String {
    bytes(pieces.iter().map(|piece| piece.length).sum::<u64>() as f64)
}
