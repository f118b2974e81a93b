//! Schedules as they are typed: `100k`, `10s:50k,10s:100k`, `60s:20k..100k`.

use std::time::Duration;

use watershed_connectors::{HumanDuration, Rate};

use super::{Schedule, Step};

/// Text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\": {why}; write for example {example}")]
pub(crate) struct InvalidSchedule {
    text: String,
    why: String,
    example: &'static str,
}

const RATE: &str = "100000/s, 100k or 5k/m";
const STEPS: &str = "10s:50k,10s:100k, each a length and the rate in it";
const SINE: &str = "60s:20k..100k, a period, the least and the highest rate";

impl Schedule {
    /// Reads a constant rate.
    pub(crate) fn parse_rate(text: &str) -> Result<Self, InvalidSchedule> {
        let per_second = rate(text).map_err(|why| invalid(text, why, RATE))?;
        Ok(Self::constant(per_second.a_second()))
    }

    /// Reads steps, after which the schedule ends.
    pub(crate) fn parse_steps(text: &str) -> Result<Self, InvalidSchedule> {
        Ok(Self::steps(steps(text)?))
    }

    /// Reads steps that come again and again.
    pub(crate) fn parse_bursts(text: &str) -> Result<Self, InvalidSchedule> {
        Ok(Self::bursts(steps(text)?))
    }

    /// Reads a sine.
    pub(crate) fn parse_sine(text: &str) -> Result<Self, InvalidSchedule> {
        let parse = || {
            let (period, rates) = text.split_once(':').ok_or("a colon is missing behind the period")?;
            let (least, most) = rates.split_once("..").ok_or("\"..\" is missing between two rates")?;
            let (period, least, most) = (length(period)?, rate_or_none(least)?, rate_or_none(most)?);
            if least >= most {
                return Err("the first rate must be below the second".to_owned());
            }
            Ok(Self::sine(period, least, most))
        };
        parse().map_err(|why: String| invalid(text, why, SINE))
    }
}

/// Reads a rate, a second if no unit says otherwise.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let text = text.trim();
    let whole = if text.contains('/') { text.to_owned() } else { format!("{text}/s") };
    whole.parse().map_err(|_| format!("\"{text}\" is not a rate"))
}

fn steps(text: &str) -> Result<Vec<Step>, InvalidSchedule> {
    let step = |part: &str| {
        let (span, rate) = part.split_once(':').ok_or("a colon is missing between length and rate")?;
        Ok(Step { length: length(span)?, rate: rate_or_none(rate)? })
    };
    let steps: Result<Vec<Step>, String> = text.split(',').map(step).collect();
    let steps = steps.map_err(|why| invalid(text, why, STEPS))?;
    if steps.iter().all(|step| step.rate == 0.0) {
        return Err(invalid(text, "no event is ever sent".to_owned(), STEPS));
    }
    Ok(steps)
}

fn rate_or_none(text: &str) -> Result<f64, String> {
    if text.trim() == "0" { Ok(0.0) } else { rate(text).map(Rate::a_second) }
}

/// A length of time that is not zero.
fn length(text: &str) -> Result<Duration, String> {
    let HumanDuration(length) = text.parse().map_err(|_| format!("\"{text}\" is not a length of time"))?;
    if length.is_zero() { Err("a length of zero".to_owned()) } else { Ok(length) }
}

fn invalid(text: &str, why: String, example: &'static str) -> InvalidSchedule {
    InvalidSchedule { text: text.to_owned(), why, example }
}
