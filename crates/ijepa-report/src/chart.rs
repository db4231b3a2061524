//! Curves as inline SVG.

use std::fmt::Write;

use serde_json::json;

use crate::{
    markup::{escape, script_json},
    scale::{Scale, Spacing, short, tick_labels},
    series::Series,
};

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 36.0;
/// Colours that the style sheet has; curves beyond begin again with other dashes.
pub(crate) const COLORS: usize = 6;

/// A picture of some curves over one axis.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// What is drawn.
    pub(crate) title: &'static str,
    /// How to read it, one sentence.
    pub(crate) help: &'static str,
    pub(crate) x_label: &'static str,
    pub(crate) x_spacing: Spacing,
    pub(crate) y_spacing: Spacing,
    pub(crate) series: Vec<Series>,
}

impl Chart {
    /// A `<figure>`, or nothing if there is not a single point.
    pub(crate) fn to_html(&self) -> String {
        let drawn: Vec<&Series> = self.series.iter().filter(|s| s.ends.is_some()).collect();
        if drawn.is_empty() {
            return String::new();
        }
        let frame = Frame::of(&drawn, self);
        let mut svg = frame.axes(self.x_label);
        for series in &drawn {
            svg += &frame.curve(series);
        }
        let now = match (&drawn[..], self.series.len()) {
            ([only], 1) => only.ends.map_or(String::new(), |[_, last]| {
                format!("<b class=\"now\">{}</b>", short(last))
            }),
            _ => String::new(),
        };
        let log = if frame.y.is_log() {
            " Logarithmic axis."
        } else {
            ""
        };
        format!(
            "<figure class=\"chart\" tabindex=\"0\"><figcaption><h3>{title}</h3>{now}\
             <p>{help}{log}</p></figcaption><div class=\"plot\">\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">{svg}\
             <line class=\"cursor\" y1=\"{TOP}\" y2=\"{bottom}\" x1=\"0\" x2=\"0\"/></svg>\
             <div class=\"tip\" role=\"status\" hidden></div></div>\
             <script type=\"application/json\">{values}</script></figure>\n",
            title = escape(self.title),
            help = escape(self.help),
            label = escape(&self.in_words(&drawn)),
            bottom = HEIGHT - BOTTOM,
            values = script_json(&frame.values(&drawn)),
        )
    }

    /// What the picture says, for those who cannot see it.
    fn in_words(&self, drawn: &[&Series]) -> String {
        let mut text = format!("{} over {}.", self.title, self.x_label);
        for series in drawn {
            let [first, last] = series.ends.unwrap_or_default();
            let lows = series.points.iter().map(|point| point.low);
            let highs = series.points.iter().map(|point| point.high);
            let _ = write!(
                text,
                " {}: from {} to {}, between {} and {}.",
                series.name,
                short(first),
                short(last),
                short(lows.fold(f64::INFINITY, f64::min)),
                short(highs.fold(f64::NEG_INFINITY, f64::max)),
            );
        }
        text
    }
}

/// The two axes of a chart.
struct Frame {
    x: Scale,
    y: Scale,
}

impl Frame {
    fn of(drawn: &[&Series], chart: &Chart) -> Self {
        let points = || drawn.iter().flat_map(|series| &series.points);
        let lows_and_highs = points().flat_map(|point| [point.low, point.high]);
        Self {
            x: Scale::of(points().map(|point| point.x), chart.x_spacing),
            y: Scale::of(lows_and_highs, chart.y_spacing).padded(),
        }
    }

    fn px(&self, x: f64) -> f64 {
        LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT)
    }

    fn py(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - BOTTOM - TOP)
    }

    fn axes(&self, x_label: &str) -> String {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut svg = String::from("<g class=\"axes\">");
        let ticks = self.y.ticks();
        for (tick, label) in ticks.iter().zip(tick_labels(&ticks)) {
            let y = self.py(*tick);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 7.0,
                y + 3.8,
            );
        }
        let _ = write!(
            svg,
            "<line class=\"base\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>"
        );
        let ticks = self.x.ticks();
        for (tick, label) in ticks.iter().zip(tick_labels(&ticks)) {
            let x = self.px(*tick);
            let _ = write!(
                svg,
                "<line class=\"base\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                bottom + 4.0,
                bottom + 16.0,
            );
        }
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text></g>",
            HEIGHT - 4.0,
            escape(x_label)
        );
        svg
    }

    /// The line through the points, the band of what they stand for, and a dot at the end.
    fn curve(&self, series: &Series) -> String {
        let color = series.color % COLORS;
        let mut svg = String::new();
        if series.is_thinned() {
            let highs = series.points.iter().map(|p| (p.x, p.high));
            let lows = series.points.iter().rev().map(|p| (p.x, p.low));
            let outline = self.path(highs.chain(lows));
            let _ = write!(svg, "<path class=\"band s{color}\" d=\"{outline}Z\"/>");
        }
        if series.points.len() > 1 {
            let line = self.path(series.points.iter().map(|p| (p.x, p.y)));
            let _ = write!(svg, "<path class=\"line s{color}\" d=\"{line}\"/>");
        }
        let few = series.points.len() <= 24;
        let dots = series
            .points
            .iter()
            .enumerate()
            .filter(|(number, _)| few || number + 1 == series.points.len());
        for (_, point) in dots {
            let (x, y) = (self.px(point.x), self.py(point.y));
            let _ = write!(
                svg,
                "<circle class=\"dot s{color}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
            );
        }
        svg
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (number, (x, y)) in points.enumerate() {
            let command = if number == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", self.px(x), self.py(y));
        }
        path
    }

    /// Places and texts of all points, which the script shows under the pointer.
    fn values(&self, drawn: &[&Series]) -> serde_json::Value {
        let point = |p: &crate::series::Point| {
            let tenth = |value: f64| (value * 10.0).round() / 10.0;
            json!([
                tenth(self.px(p.x)),
                tenth(self.py(p.y)),
                short(p.x),
                short(p.y)
            ])
        };
        let series = |s: &&Series| {
            json!({
                "name": s.name,
                "color": s.color % COLORS,
                "points": s.points.iter().map(point).collect::<Vec<_>>(),
            })
        };
        drawn.iter().map(series).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(series: Vec<Series>) -> Chart {
        Chart {
            title: "Loss",
            help: "Lower is easier.",
            x_label: "steps",
            x_spacing: Spacing::Linear,
            y_spacing: Spacing::LogIfWide,
            series,
        }
    }

    fn series(name: &str, color: usize, ys: &[f64]) -> Series {
        let xs: Vec<_> = (0..ys.len()).map(|x| Some(x as f64)).collect();
        let ys: Vec<_> = ys.iter().map(|&y| Some(y)).collect();
        Series::new(name, color, &xs, &ys)
    }

    #[test]
    fn a_curve_ends_where_its_values_say() {
        let html = chart(vec![series("a", 0, &[4.0, 2.0, 0.0])]).to_html();
        assert!(html.contains("from 4 to 0, between 0 and 4."), "{html}");
        // The axis goes from 0 to 4.24, so the first point is near the top and the last at the bottom.
        assert!(
            html.contains("d=\"M46.0 19.8L216.0 101.9L386.0 184.0\""),
            "{html}"
        );
        assert!(html.contains("<b class=\"now\">0</b>"));
        assert!(html.contains("[46.0,19.8,\"0\",\"4\"]"), "{html}");
    }

    #[test]
    fn one_point_is_a_dot_and_none_is_nothing() {
        let html = chart(vec![series("a", 0, &[3.0]), series("b", 1, &[])]).to_html();
        assert_eq!(html.matches("<circle").count(), 1);
        assert!(!html.contains("<path") && !html.contains("NaN") && !html.contains("b: from"));
        assert_eq!(chart(vec![series("b", 1, &[])]).to_html(), "");
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let html = chart(vec![series("</script><b>\"&", 0, &[1.0, 2.0])]).to_html();
        assert_eq!(html.matches("</script>").count(), 1);
        assert!(html.contains("&lt;/script&gt;&lt;b&gt;&quot;&amp;: from 1 to 2"));
    }
}
