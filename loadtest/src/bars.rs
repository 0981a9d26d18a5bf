//! Bars in groups as inline SVG, on a logarithmic axis.
#![allow(
    clippy::float_arithmetic,
    reason = "places on a page are real numbers; no money here"
)]

use std::fmt::Write as _;

use crate::plot::{colour, escape, human};

/// Bars in groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    /// Above it.
    pub title: String,
    /// Below the title: what to see in it.
    pub note: String,
    /// Name and colour ([`COLOURS`](crate::plot::COLOURS)) of the first, second, ... bar of each group.
    pub series: Vec<(String, usize)>,
    /// Name and values of each group.
    pub groups: Vec<(String, Vec<f64>)>,
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 330.0;
const TOP: f64 = 90.0;
const FLOOR: f64 = 285.0;
const MARGIN: f64 = 20.0;
const BETWEEN: f64 = 36.0;

impl Bars {
    /// The bars as one `<svg>` element.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = self.draw(&mut svg);
        svg
    }

    fn draw(&self, svg: &mut String) -> std::fmt::Result {
        write!(
            svg,
            r##"<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{0}" font-family="system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif" xmlns="http://www.w3.org/2000/svg"><text x="16" y="26" font-size="17" font-weight="600" fill="#16202a">{0}</text><text x="16" y="46" font-size="12.5" fill="#5b6770">{1}</text>"##,
            escape(&self.title),
            escape(&self.note)
        )?;
        self.draw_legend(svg)?;
        let (least, most) = self.ends();
        let width = (WIDTH - 2.0 * MARGIN) / self.groups.len().max(1) as f64;
        for (place, (name, values)) in self.groups.iter().enumerate() {
            let left = MARGIN + place as f64 * width;
            let bar = (width - BETWEEN) / values.len().max(1) as f64;
            for (number, (value, (_, tone))) in values.iter().zip(&self.series).enumerate() {
                let share = (value.max(1.0).log10() - least) / (most - least).max(0.1);
                let tall = share.clamp(0.02, 1.0) * (FLOOR - TOP);
                let x = left + BETWEEN / 2.0 + number as f64 * bar;
                write!(
                    svg,
                    r##"<rect x="{x:.1}" y="{:.1}" width="{:.1}" height="{tall:.1}" rx="3" fill="{}"/><text x="{:.1}" y="{:.1}" font-size="11.5" text-anchor="middle" fill="#16202a">{}</text>"##,
                    FLOOR - tall,
                    bar - 4.0,
                    colour(*tone),
                    x + bar / 2.0 - 2.0,
                    FLOOR - tall - 5.0,
                    human(*value)
                )?;
            }
            write!(
                svg,
                r##"<text x="{:.1}" y="{:.1}" font-size="13" text-anchor="middle" fill="#16202a">{}</text>"##,
                left + width / 2.0,
                FLOOR + 20.0,
                escape(name)
            )?;
        }
        write!(
            svg,
            r##"<line x1="{MARGIN}" x2="{:.1}" y1="{FLOOR}" y2="{FLOOR}" stroke="#9aa5b1"/></svg>"##,
            WIDTH - MARGIN
        )
    }

    /// The axis' ends, as powers of ten: a full one below the least value.
    fn ends(&self) -> (f64, f64) {
        let values = || {
            let all = self.groups.iter().flat_map(|(_, values)| values);
            all.copied().filter(|value| *value >= 1.0)
        };
        let least = values().fold(f64::INFINITY, f64::min).min(1e9);
        let most = values().fold(1.0, f64::max);
        (least.log10().floor(), most.log10())
    }

    fn draw_legend(&self, svg: &mut String) -> std::fmt::Result {
        let mut x = 16.0;
        for (name, tone) in &self.series {
            write!(
                svg,
                r##"<rect x="{x:.1}" y="58" width="12" height="12" rx="3" fill="{}"/><text x="{:.1}" y="68" font-size="12.5" fill="#16202a">{}</text>"##,
                colour(*tone),
                x + 18.0,
                escape(name)
            )?;
            x += 44.0 + 7.2 * name.chars().count() as f64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_each_and_the_tallest_is_the_highest() {
        let bars = Bars {
            title: "a < b".to_owned(),
            series: vec![("x".to_owned(), 0), ("y".to_owned(), 1)],
            groups: vec![
                ("g".to_owned(), vec![100.0, 0.0]),
                ("h".to_owned(), vec![1_000_000.0, 10.0]),
            ],
            ..Bars::default()
        };
        let svg = bars.svg();
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN"));
        let heights: Vec<f64> = svg
            .split("height=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next()?.parse().ok())
            .filter(|height| *height != 12.0)
            .collect();
        assert_eq!(heights.len(), 4);
        assert_eq!(heights[2], FLOOR - TOP);
        assert!(heights.iter().all(|height| *height > 0.0));
    }
}
