//! The frame of a report: one HTML file with its style inside and nothing beside
//! it, which can be mailed, kept, or put on a slide.

use std::fmt::Write as _;

use crate::plot::escape;

/// A figure that stands large on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// `12,345/s`.
    pub figure: String,
    /// What it is.
    pub label: String,
    /// How it is to be judged.
    pub tone: Tone,
}

impl Tile {
    /// A figure without judgement.
    #[must_use]
    pub fn plain(figure: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            figure: figure.into(),
            label: label.into(),
            tone: Tone::Plain,
        }
    }

    /// A figure that is as it should be, or is not.
    #[must_use]
    pub fn judged(figure: impl Into<String>, label: impl Into<String>, good: bool) -> Self {
        Self {
            tone: if good { Tone::Good } else { Tone::Bad },
            ..Self::plain(figure, label)
        }
    }
}

/// How a figure is to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Not at all.
    Plain,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
}

/// A report under way.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

const STYLE: &str = "
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f9; color: #16202a; line-height: 1.45;
  font: 15px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 48px; }
header { border-left: 5px solid #0b6bcb; padding-left: 14px; margin-bottom: 22px; }
h1 { margin: 0 0 4px; font-size: 26px; letter-spacing: -0.01em; }
h2 { margin: 30px 0 10px; font-size: 18px; }
header p, .note { margin: 0; color: #5b6770; }
.note { margin: 6px 0; font-size: 13.5px; }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(215px, 1fr)); }
.tile { background: #fff; border: 1px solid #e3e8ee; border-radius: 10px; padding: 12px 16px; }
.tile b { display: block; font-size: 24px; font-weight: 650; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tile span { color: #5b6770; font-size: 13px; }
.tile.good b { color: #137a4b; } .tile.bad b { color: #c0293f; }
.card { background: #fff; border: 1px solid #e3e8ee; border-radius: 10px; padding: 8px;
  margin: 14px 0; overflow-x: auto; }
.plot { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 12px; text-align: right; border-bottom: 1px solid #edf0f4; }
th { color: #5b6770; font-weight: 600; font-size: 13px; }
tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child { text-align: left; }
@media print { body { background: #fff; } .card, .tile { break-inside: avoid; } }
";

impl Page {
    /// With its title and a line below it.
    #[must_use]
    pub fn new(title: &str, subtitle: &str) -> Self {
        Self {
            title: title.to_owned(),
            body: format!(
                "<header><h1>{}</h1><p>{}</p></header>\n",
                escape(title),
                escape(subtitle)
            ),
        }
    }

    /// A heading.
    pub fn heading(&mut self, text: &str) {
        self.write(format_args!("<h2>{}</h2>\n", escape(text)));
    }

    /// A paragraph in small print.
    pub fn note(&mut self, text: &str) {
        self.write(format_args!("<p class=\"note\">{}</p>\n", escape(text)));
    }

    /// Large figures in a row.
    pub fn tiles(&mut self, tiles: &[Tile]) {
        self.body.push_str("<div class=\"tiles\">");
        for tile in tiles {
            let class = match tile.tone {
                Tone::Plain => "tile",
                Tone::Good => "tile good",
                Tone::Bad => "tile bad",
            };
            self.write(format_args!(
                "<div class=\"{class}\"><b>{}</b><span>{}</span></div>",
                escape(&tile.figure),
                escape(&tile.label)
            ));
        }
        self.body.push_str("</div>\n");
    }

    /// An element that is HTML already: a plot.
    pub fn plot(&mut self, svg: &str) {
        self.write(format_args!("<div class=\"card\">{svg}</div>\n"));
    }

    /// A table; the first column stands to the left.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.body.push_str("<div class=\"card\"><table><tr>");
        for cell in head {
            self.write(format_args!("<th>{}</th>", escape(cell)));
        }
        self.body.push_str("</tr>");
        for row in rows {
            self.body.push_str("<tr>");
            for cell in row {
                self.write(format_args!("<td>{}</td>", escape(cell)));
            }
            self.body.push_str("</tr>");
        }
        self.body.push_str("</table></div>\n");
    }

    /// The whole file.
    #[must_use]
    pub fn html(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{}</title><style>{STYLE}</style></head>\n<body><main>\n{}</main></body></html>\n",
            escape(&self.title),
            self.body
        )
    }

    fn write(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.body.write_fmt(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_needs_nothing_beside_it() {
        let mut page = Page::new("Load <1>", "a & b");
        page.heading("h");
        page.note("n");
        page.tiles(&[Tile::plain("1", "one"), Tile::judged("0", "lost", true)]);
        page.table(&["a", "b"], &[vec!["<x>".to_owned(), "2".to_owned()]]);
        page.plot("<svg></svg>");
        let html = page.html();
        assert!(html.contains("<h1>Load &lt;1&gt;</h1>") && html.contains("<td>&lt;x&gt;</td>"));
        for outside in ["src=", "href=", "@import", "url(", "<script"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
}
