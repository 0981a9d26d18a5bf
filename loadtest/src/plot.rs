//! Line plots as inline SVG: series over a linear or logarithmic axis, with
//! windows shaded and limits drawn in. No script, no font, no file beside it.
#![allow(
    clippy::float_arithmetic,
    reason = "places on a page are real numbers; no money here"
)]

use std::fmt::Write as _;

/// A line of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What it shows, for the legend.
    pub name: String,
    /// Points (x, y), ascending in x. Points that are no numbers are left out,
    /// and on a logarithmic axis those not above zero.
    pub points: Vec<(f64, f64)>,
    /// Which of the nine colours: see [`COLOURS`].
    pub colour: usize,
    /// Whether each point is marked.
    pub dots: bool,
}

impl Series {
    /// A plain line.
    #[must_use]
    pub fn line(name: &str, colour: usize, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.to_owned(),
            points,
            colour,
            dots: false,
        }
    }

    /// A line with its points marked.
    #[must_use]
    pub fn dotted(name: &str, colour: usize, points: Vec<(f64, f64)>) -> Self {
        Self {
            dots: true,
            ..Self::line(name, colour, points)
        }
    }
}

/// A part of the x axis that is shaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Written at its top.
    pub label: String,
    /// From and to, on the x axis.
    pub from: f64,
    /// To.
    pub to: f64,
}

/// One of the two axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// Logarithmic.
    pub log: bool,
    /// Ticks with names; empty: found by itself.
    pub ticks: Vec<(f64, String)>,
    /// Ends, if they are not to be found from the points.
    pub least: Option<f64>,
    /// As above.
    pub most: Option<f64>,
}

impl Axis {
    /// From the points, linear.
    #[must_use]
    pub fn linear(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            ..Self::default()
        }
    }

    /// From the points, logarithmic.
    #[must_use]
    pub fn log(label: &str) -> Self {
        Self {
            log: true,
            ..Self::linear(label)
        }
    }
}

/// A plot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Below the title: what to see in it.
    pub note: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// Lines, the first at the bottom.
    pub series: Vec<Series>,
    /// Shaded parts.
    pub windows: Vec<Window>,
    /// Horizontal lines: where, and what they say.
    pub limits: Vec<(f64, String)>,
}

/// Colours that stay apart for the colour-blind too (after Okabe and Ito).
pub const COLOURS: [&str; 9] = [
    "#0b6bcb", "#d1495b", "#e09f1f", "#1b998b", "#7a4fbf", "#5b6770", "#c06c2e", "#3aa0d8",
    "#c3ccd6",
];

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 50.0;

/// A scale from values to places on the page.
struct Scale {
    log: bool,
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn new(axis: &Axis, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite() && !(axis.log && *value <= 0.0)) {
            least = least.min(value);
            most = most.max(value);
        }
        if least > most {
            (least, most) = if axis.log { (1.0, 10.0) } else { (0.0, 1.0) };
        }
        if axis.log {
            least = 10f64.powf((least.log10() * 2.0).floor() / 2.0);
            most = 10f64.powf((most.log10() * 2.0 + 0.01).ceil() / 2.0);
            if most <= least {
                most = least * 10.0;
            }
        }
        least = axis.least.unwrap_or(least);
        most = axis.most.unwrap_or(most);
        if most <= least {
            most = least + 1.0;
        }
        Self {
            log: axis.log,
            least,
            most,
            from,
            to,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.log10() - self.least.log10()) / (self.most.log10() - self.least.log10())
        } else {
            (value - self.least) / (self.most - self.least)
        };
        self.from + share.clamp(-0.05, 1.05) * (self.to - self.from)
    }

    fn can_place(&self, value: f64) -> bool {
        value.is_finite() && !(self.log && value <= 0.0)
    }

    fn ticks(&self, axis: &Axis, wanted: f64) -> Vec<(f64, String)> {
        if !axis.ticks.is_empty() {
            return axis.ticks.clone();
        }
        let mut ticks = Vec::new();
        if self.log {
            let decades = self.most.log10() - self.least.log10();
            let steps: &[f64] = if decades <= 1.6 {
                &[1.0, 2.0, 5.0]
            } else if decades <= 2.6 {
                &[1.0, 3.0]
            } else {
                &[1.0]
            };
            let mut decade = self.least.log10().floor();
            while decade <= self.most.log10() {
                for step in steps {
                    let value = step * 10f64.powf(decade);
                    if value >= self.least * 0.999 && value <= self.most * 1.001 {
                        ticks.push((value, human(value)));
                    }
                }
                decade += 1.0;
            }
        } else {
            let step = round_step((self.most - self.least) / wanted);
            let mut number = (self.least / step).ceil();
            while number * step <= self.most + step * 0.001 {
                let value = number * step;
                ticks.push((value, human(value)));
                number += 1.0;
            }
        }
        ticks
    }
}

/// 1, 2 or 5 times a power of ten, at least as large.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let head = step / power;
    let round = match head {
        head if head <= 1.0 => 1.0,
        head if head <= 2.0 => 2.0,
        head if head <= 5.0 => 5.0,
        _ => 10.0,
    };
    round * power
}

/// 1,200 as `1.2k`, 3,000,000 as `3M`; small ones with as many digits as they need.
#[must_use]
pub fn human(value: f64) -> String {
    let size = value.abs();
    let (number, unit) = match size {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match number.abs() {
        number if number >= 100.0 || number == 0.0 => 0,
        number if number >= 10.0 => 1,
        number if number >= 1.0 => 2,
        number if number >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{number:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{unit}")
}

/// Text as it may stand in HTML and SVG.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

impl Plot {
    /// The plot as one `<svg>` element.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = self.draw(&mut svg);
        svg
    }

    fn draw(&self, svg: &mut String) -> std::fmt::Result {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let windows = self
            .windows
            .iter()
            .flat_map(|window| [window.from, window.to]);
        let x = Scale::new(
            &self.x,
            points().map(|point| point.0).chain(windows),
            LEFT,
            WIDTH - RIGHT,
        );
        let limits = self.limits.iter().map(|limit| limit.0);
        let mut upward = self.y.clone();
        if !upward.log && upward.least.is_none() {
            upward.least = Some(0.0);
        }
        let values = points().map(|point| point.1).chain(limits);
        let mut y = Scale::new(&upward, values, HEIGHT - BOTTOM, TOP);
        if !upward.log && upward.most.is_none() {
            // Room above the highest point, to a round number.
            let step = round_step(y.most / 5.0);
            y.most = (y.most * 1.02 / step).ceil() * step;
        }
        write!(
            svg,
            r#"<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}" font-family="system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif" xmlns="http://www.w3.org/2000/svg">"#,
            escape(&self.title)
        )?;
        write!(
            svg,
            r##"<text x="16" y="26" font-size="17" font-weight="600" fill="#16202a">{}</text><text x="16" y="46" font-size="12.5" fill="#5b6770">{}</text>"##,
            escape(&self.title),
            escape(&self.note)
        )?;
        self.draw_windows(svg, &x)?;
        self.draw_axes(svg, &x, &y)?;
        self.draw_limits(svg, &y)?;
        for series in &self.series {
            draw_series(svg, series, &x, &y)?;
        }
        self.draw_legend(svg)?;
        svg.push_str("</svg>");
        Ok(())
    }

    fn draw_windows(&self, svg: &mut String, x: &Scale) -> std::fmt::Result {
        for window in &self.windows {
            let (from, to) = (x.place(window.from), x.place(window.to));
            write!(
                svg,
                r##"<rect x="{from:.1}" y="{TOP}" width="{:.1}" height="{:.1}" fill="#1b2a4a" fill-opacity="0.08" stroke="#1b2a4a" stroke-opacity="0.25" stroke-dasharray="3 3"/><text x="{:.1}" y="{:.1}" font-size="12" font-weight="600" text-anchor="middle" fill="#33466b">{}</text>"##,
                (to - from).max(1.0),
                HEIGHT - BOTTOM - TOP,
                f64::midpoint(from, to).clamp(LEFT + 20.0, WIDTH - RIGHT - 20.0),
                TOP - 5.0,
                escape(&window.label)
            )?;
        }
        Ok(())
    }

    fn draw_axes(&self, svg: &mut String, x: &Scale, y: &Scale) -> std::fmt::Result {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, name) in y.ticks(&self.y, 5.0) {
            let place = y.place(value);
            write!(
                svg,
                r##"<line x1="{LEFT}" x2="{right}" y1="{place:.1}" y2="{place:.1}" stroke="#e3e8ee"/><text x="{:.1}" y="{:.1}" font-size="12" text-anchor="end" fill="#5b6770">{}</text>"##,
                LEFT - 8.0,
                place + 4.0,
                escape(&name)
            )?;
        }
        for (value, name) in x.ticks(&self.x, 10.0) {
            let place = x.place(value);
            write!(
                svg,
                r##"<line x1="{place:.1}" x2="{place:.1}" y1="{floor}" y2="{:.1}" stroke="#9aa5b1"/><text x="{place:.1}" y="{:.1}" font-size="12" text-anchor="middle" fill="#5b6770">{}</text>"##,
                floor + 5.0,
                floor + 19.0,
                escape(&name)
            )?;
        }
        write!(
            svg,
            r##"<line x1="{LEFT}" x2="{right}" y1="{floor}" y2="{floor}" stroke="#9aa5b1"/><text x="{:.1}" y="{:.1}" font-size="12" text-anchor="middle" fill="#5b6770">{}</text><text x="18" y="{:.1}" font-size="12" text-anchor="middle" fill="#5b6770" transform="rotate(-90 18 {:.1})">{}</text>"##,
            f64::midpoint(LEFT, right),
            HEIGHT - 10.0,
            escape(&self.x.label),
            f64::midpoint(TOP, floor),
            f64::midpoint(TOP, floor),
            escape(&self.y.label)
        )
    }

    fn draw_limits(&self, svg: &mut String, y: &Scale) -> std::fmt::Result {
        for (value, name) in &self.limits {
            let place = y.place(*value);
            write!(
                svg,
                r##"<line x1="{LEFT}" x2="{:.1}" y1="{place:.1}" y2="{place:.1}" stroke="#d1495b" stroke-dasharray="6 4" stroke-width="1.4"/><text x="{:.1}" y="{:.1}" font-size="12" text-anchor="end" fill="#d1495b">{}</text>"##,
                WIDTH - RIGHT,
                WIDTH - RIGHT - 4.0,
                place - 5.0,
                escape(name)
            )?;
        }
        Ok(())
    }

    fn draw_legend(&self, svg: &mut String) -> std::fmt::Result {
        if self.series.len() < 2 {
            return Ok(());
        }
        let mut place = LEFT;
        for series in &self.series {
            write!(
                svg,
                r##"<rect x="{place:.1}" y="61" width="14" height="4" rx="2" fill="{}"/><text x="{:.1}" y="67" font-size="12.5" fill="#16202a">{}</text>"##,
                colour(series.colour),
                place + 20.0,
                escape(&series.name)
            )?;
            place += 40.0 + 7.2 * series.name.chars().count() as f64;
        }
        Ok(())
    }
}

/// The colour of this number.
pub(crate) fn colour(index: usize) -> &'static str {
    COLOURS
        .get(index % COLOURS.len())
        .copied()
        .unwrap_or("#000")
}

fn draw_series(svg: &mut String, series: &Series, x: &Scale, y: &Scale) -> std::fmt::Result {
    let mut places = Vec::with_capacity(series.points.len());
    for (right, up) in &series.points {
        if x.can_place(*right) && y.can_place(*up) {
            places.push((x.place(*right), y.place(*up)));
        }
    }
    let places = thin(&places);
    svg.push_str(r#"<polyline fill="none" stroke-width="2" stroke-linejoin="round" points=""#);
    for (right, down) in &places {
        write!(svg, "{right:.1},{down:.1} ")?;
    }
    write!(svg, r#"" stroke="{}"/>"#, colour(series.colour))?;
    if series.dots {
        for (right, down) in &places {
            write!(
                svg,
                r##"<circle cx="{right:.1}" cy="{down:.1}" r="4" fill="#fff" stroke-width="2" stroke="{}"/>"##,
                colour(series.colour)
            )?;
        }
    }
    Ok(())
}

/// With many points to a pixel, its lowest and its highest: no peak is lost.
fn thin(places: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if places.len() < 2_000 {
        return places.to_vec();
    }
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for pixel in places.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (Some(low), Some(high)) = (
            pixel.iter().max_by(by_height),
            pixel.iter().min_by(by_height),
        ) else {
            continue;
        };
        kept.push(*low);
        kept.push((low.0, high.1));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.02, "0.02"),
            (0.25, "0.25"),
            (1.0, "1"),
            (2.5, "2.5"),
            (12.0, "12"),
            (100.0, "100"),
            (1_200.0, "1.2k"),
            (100_000.0, "100k"),
            (3_000_000.0, "3M"),
        ] {
            assert_eq!(human(value), text);
        }
    }

    #[test]
    fn a_plot_is_one_element_and_safe() {
        let plot = Plot {
            title: "a < b & c".to_owned(),
            y: Axis::log("ms"),
            series: vec![
                Series::line("p99", 0, vec![(0.0, 1.0), (1.0, 0.0), (2.0, 100.0)]),
                Series::dotted("empty", 9, Vec::new()),
            ],
            windows: vec![Window {
                label: "night".to_owned(),
                from: 0.5,
                to: 1.5,
            }],
            limits: vec![(5.0, "limit".to_owned())],
            ..Plot::default()
        };
        let svg = plot.svg();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
        assert!(svg.contains("a &lt; b &amp; c") && !svg.contains("a < b"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        // Zero has no place on a logarithmic axis.
        let line = svg.split("<polyline").nth(1).unwrap();
        let points = line.split('"').find(|part| part.contains(',')).unwrap();
        assert_eq!(points.split_whitespace().count(), 2);
    }

    #[test]
    fn no_peak_is_lost() {
        let mut places: Vec<_> = (0..100_000).map(|n| (f64::from(n) / 200.0, 50.0)).collect();
        places[31_415].1 = 3.0;
        let kept = thin(&places);
        assert!(kept.len() < 1_100);
        assert!(kept.iter().any(|place| place.1 == 3.0));
    }
}
