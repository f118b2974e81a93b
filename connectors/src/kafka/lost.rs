//! What to do about a position that the brokers do not have any more.
//!
//! | position | records there are | meaning | `on_lost = "earliest"` |
//! |---|---|---|---|
//! | 5 | 8..20 | retention, or somebody, deleted 5, 6 and 7 | goes on at 8; 3 are lost |
//! | 25 | 8..20 | the topic was made anew, or the log was cut | goes on at 8; how many are lost, nobody knows |
//! | 8, 20 | 8..20 | nothing is lost: the broker did not know better at that moment | asks again |

use std::ops::Range;

use super::settings::OnLost;
use crate::error::SourceError;
use crate::source::SplitId;

/// What to do.
#[derive(Debug)]
pub(super) enum Lost {
    /// Ask again.
    Nothing,
    /// Go on here. How many records are lost, where that is known.
    GoOn { at: i64, lost: Option<i64> },
    /// Stop.
    Stop(SourceError),
}

/// Decides for a reader of `split` that wants `wanted`, where there is `held`.
pub(super) fn decide(split: &SplitId, wanted: i64, held: &Range<i64>, on_lost: OnLost) -> Lost {
    if held.contains(&wanted) || wanted == held.end {
        return Lost::Nothing;
    }
    let lost = (wanted < held.start).then(|| held.start - wanted);
    if on_lost == OnLost::Earliest {
        return Lost::GoOn { at: held.start, lost };
    }
    let cause = match lost {
        Some(lost) => format!("{lost} records were deleted before they were read"),
        None => "the topic was made anew, or its log was cut".to_string(),
    };
    Lost::Stop(SourceError::fatal(
        format!(
            "split {split}: offset {wanted} is wanted, and there are {} to {}; to go on at {}, set on_lost = \
             \"earliest\"; else restore the records, or begin anew by --reset-state",
            held.start, held.end, held.start
        ),
        cause,
    ))
}
