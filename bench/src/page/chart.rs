//! Lines over an axis, as SVG. Whoever points at a value is told it.

use super::axis::Axis;
use super::escape;

const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 300.0;
/// Room for the names of ticks.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 28.0;

/// Colors have their values in the style sheet, one for light and one for dark pages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Color {
    Blue,
    Orange,
    Grey,
    /// Grey, and does not hide what lies below it.
    Dashed,
}

impl Color {
    fn class(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Orange => "orange",
            Self::Grey => "grey",
            Self::Dashed => "grey dashed",
        }
    }
}

/// A value: where it lies on both axes, and what is said of it.
pub(super) type Point = (f64, f64, String);

/// A line, with gaps where there is no value.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) color: Color,
    pub(super) points: Vec<Option<Point>>,
}

/// A chart.
#[derive(Debug)]
pub(super) struct Chart {
    title: &'static str,
    note: String,
    x: Axis,
    y: Axis,
    /// The last lies on top.
    series: Vec<Series>,
}

impl Chart {
    pub(super) fn new(title: &'static str, note: &str, x: Axis, series: Vec<Series>) -> Self {
        let y = Axis::with_ticks(0.0, 1.0, Vec::new());
        Self { title, note: note.to_owned(), x, y, series }
    }

    /// With values that may differ by powers of ten.
    pub(super) fn logarithmic(self, name: fn(f64) -> String) -> Self {
        let values = || self.values().filter(|value| *value > 0.0);
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        let y = if most > 0.0 { Axis::logarithmic(least, most, name) } else { Axis::from_zero(1.0, name) };
        Self { y, ..self }
    }

    /// With all of each value.
    pub(super) fn linear(self, name: fn(f64) -> String) -> Self {
        let y = Axis::from_zero(self.values().fold(0.0, f64::max) * 1.05, name);
        Self { y, ..self }
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.series.iter().flat_map(|series| series.points.iter().flatten().map(|(_, y, _)| *y))
    }

    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let across = LEFT + self.x.share(x) * (WIDTH - LEFT - RIGHT);
        let down = HEIGHT - BOTTOM - self.y.share(y) * (HEIGHT - TOP - BOTTOM);
        (across, down)
    }

    /// The chart as a figure.
    pub(super) fn draw(&self) -> String {
        let (title, note) = (escape(self.title), escape(&self.note));
        let legend = self.series.iter().rev();
        let legend =
            legend.map(|series| format!("<li class=\"{}\">{}</li>", series.color.class(), escape(series.name)));
        let lines: String = self.series.iter().map(|series| self.line(series)).collect();
        let dots: String = self.series.iter().map(|series| self.dots(series)).collect();
        format!(
            "<figure>\n<figcaption><h2>{title}</h2><p>{note}</p><ul>{}</ul></figcaption>\n\
             <div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
             {}{lines}{dots}</svg></div>\n</figure>\n",
            legend.collect::<String>(),
            self.grid(),
        )
    }

    fn grid(&self) -> String {
        let mut svg = String::new();
        for (value, name) in &self.y.ticks {
            let (_, y) = self.place(0.0, *value);
            svg.push_str(&format!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/>", WIDTH - RIGHT));
            svg.push_str(&format!(
                "<text x=\"{}\" y=\"{:.1}\" class=\"y\">{}</text>\n",
                LEFT - 8.0,
                y + 4.0,
                escape(name)
            ));
        }
        let base = HEIGHT - BOTTOM;
        for (value, name) in &self.x.ticks {
            let (x, _) = self.place(*value, 0.0);
            svg.push_str(&format!("<path class=\"grid\" d=\"M{x:.1} {base}v4\"/>"));
            svg.push_str(&format!("<text x=\"{x:.1}\" y=\"{}\" class=\"x\">{}</text>\n", base + 18.0, escape(name)));
        }
        svg
    }

    fn line(&self, series: &Series) -> String {
        let mut path = String::new();
        let mut drawn = false;
        for point in &series.points {
            if let Some((x, y, _)) = point {
                let (x, y) = self.place(*x, *y);
                path.push_str(&format!("{}{x:.1} {y:.1}", if drawn { 'L' } else { 'M' }));
            }
            drawn = point.is_some();
        }
        format!("<path class=\"line {}\" d=\"{path}\"/>\n", series.color.class())
    }

    fn dots(&self, series: &Series) -> String {
        let dot = |(x, y, said): &Point| {
            let (x, y) = self.place(*x, *y);
            let class = series.color.class();
            format!(
                "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{}</title></circle>\n",
                escape(said)
            )
        };
        series.points.iter().flatten().map(dot).collect()
    }
}
