//! The picture: one bar for each row and place, as a ratio to native on a logarithmic axis.

use std::fmt::Write as _;

use crate::{measure::Series, place::Place, report::goal};

const COLOURS: [&str; 5] = ["#1f77b4", "#9ecae1", "#d62728", "#ff9896", "#7f7f7f"];
const LABELS: f64 = 210.0;
const WIDTH: f64 = 720.0;
const BAR: f64 = 7.0;
const GAP: f64 = 6.0;
const TOP: f64 = 60.0;
/// The axis: from a quarter of native's time to 64 times it.
const LEAST: f64 = 0.25;
const MOST: f64 = 64.0;

/// Where a ratio stands on the axis.
fn across(ratio: f64) -> f64 {
    let part = (ratio.clamp(LEAST, MOST) / LEAST).log2() / (MOST / LEAST).log2();
    LABELS + part * WIDTH
}

/// An SVG document.
pub(crate) fn draw(rows: &[Series], programs: &[Series], places: &[Place]) -> String {
    let others = places.len().saturating_sub(1).max(1) as f64;
    let step = others * BAR + GAP;
    let count = (rows.len() + programs.len()) as f64;
    let height = TOP + count * step + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"14\">Time against native (1 = native, shorter is better); the line in a row is its goal</text>\n",
        LABELS + WIDTH + 60.0
    );
    for (index, place) in places.iter().skip(1).enumerate() {
        let x = LABELS + index as f64 * 130.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"37\">{}</text>",
            colour(index),
            x + 14.0,
            escape(&place.name)
        );
    }
    let mut tick = LEAST;
    while tick <= MOST {
        let x = across(tick);
        let colour = if tick == 1.0 { "#000" } else { "#ddd" };
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{}\" stroke=\"{colour}\"/><text x=\"{x}\" y=\"52\" text-anchor=\"middle\">{tick}×</text>",
            TOP - 4.0,
            height - 24.0
        );
        tick *= 2.0;
    }
    let mut y = TOP;
    for series in rows.iter().chain(programs) {
        row(&mut svg, series, places, y);
        y += step;
    }
    svg + "</svg>\n"
}

fn row(svg: &mut String, series: &Series, places: &[Place], top: f64) {
    let others = places.len().saturating_sub(1);
    let height = others as f64 * BAR;
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        LABELS - 8.0,
        top + height / 2.0 + 4.0,
        escape(&series.name)
    );
    for index in 0..others {
        let Some(ratio) = series.ratio(index + 1) else { continue };
        let (start, end) = (across(LEAST), across(ratio.median));
        let y = top + index as f64 * BAR;
        let _ = writeln!(
            svg,
            "<rect x=\"{start}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{}\"/><text x=\"{}\" y=\"{}\" font-size=\"8\">{:.2}</text>",
            end - start,
            BAR - 1.0,
            colour(index),
            end + 3.0,
            y + BAR - 1.0,
            ratio.median
        );
    }
    if let Some(goal) = goal(&series.name) {
        let x = across(goal);
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{}\" stroke=\"#2ca02c\" stroke-width=\"2\"/>",
            top + height
        );
    }
}

fn colour(index: usize) -> &'static str {
    COLOURS.get(index % COLOURS.len()).copied().unwrap_or("#000")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
