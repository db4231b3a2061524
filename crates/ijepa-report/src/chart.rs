//! Curves as data that the page's script draws, and in words for those who see no picture.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::{
    markup::{escape, script_json},
    number::short,
    series::Series,
};

/// Largest over smallest value from which a logarithmic axis reads better.
const LOG_SPAN: f64 = 30.0;

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spacing {
    Linear,
    /// Logarithmic if the values are positive and span more than [`LOG_SPAN`], else linear.
    LogIfWide,
}

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
        let now = match (&drawn[..], self.series.len()) {
            ([only], 1) => only.ends.map_or(String::new(), |[_, last]| {
                format!("<b class=\"now\">{}</b>", short(last))
            }),
            _ => String::new(),
        };
        let words = escape(&self.in_words(&drawn));
        format!(
            "<figure class=\"chart\"><figcaption><h3>{title}</h3>{now}<p>{help}</p></figcaption>\
             <div class=\"plot\" role=\"img\" aria-label=\"{words}\"></div>\
             <noscript><p class=\"note\">{words}</p></noscript>\
             <script type=\"application/json\">{values}</script></figure>\n",
            title = escape(self.title),
            help = escape(self.help),
            values = script_json(&self.values(&drawn)),
        )
    }

    /// What the picture says.
    fn in_words(&self, drawn: &[&Series]) -> String {
        let mut text = format!("{} over {}.", self.title, self.x_label);
        for series in drawn {
            let [first, last] = series.ends.unwrap_or_default();
            let (low, high) = range(
                series
                    .points
                    .iter()
                    .flat_map(|point| [point.low, point.high]),
            );
            let _ = write!(
                text,
                " {}: from {} to {}, between {} and {}.",
                series.name,
                short(first),
                short(last),
                short(low),
                short(high),
            );
        }
        text
    }

    /// What the script needs to draw the chart.
    fn values(&self, drawn: &[&Series]) -> Value {
        let points = || drawn.iter().flat_map(|series| &series.points);
        let xs = points().map(|point| point.x);
        let ys = points().flat_map(|point| [point.low, point.high]);
        let series = drawn.iter().map(|series| {
            let column = |of: fn(&crate::series::Point) -> f64| -> Vec<f64> {
                series.points.iter().map(of).collect()
            };
            let mut values = json!({
                "run": series.run,
                "group": series.group,
                "name": series.name,
                "x": column(|point| point.x),
                "y": column(|point| point.y),
            });
            if series.is_thinned() {
                values["low"] = column(|point| point.low).into();
                values["high"] = column(|point| point.high).into();
            }
            if let Some(start) = series.start {
                values["start"] = start.into();
            }
            values
        });
        json!({
            "x_label": self.x_label,
            "x_log": is_log(xs, self.x_spacing),
            "y_log": is_log(ys, self.y_spacing),
            "series": series.collect::<Vec<_>>(),
        })
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

fn is_log(values: impl Iterator<Item = f64>, spacing: Spacing) -> bool {
    let (low, high) = range(values);
    spacing == Spacing::LogIfWide && low > 0.0 && high / low > LOG_SPAN
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

    fn series(name: &str, run: usize, ys: &[f64]) -> Series {
        let xs: Vec<_> = (0..ys.len()).map(|x| Some(x as f64)).collect();
        let ys: Vec<_> = ys.iter().map(|&y| Some(y)).collect();
        Series::new(name, run, &xs, &ys)
    }

    #[test]
    fn a_curve_has_its_values_in_numbers_and_words() {
        let chart = chart(vec![series("a", 0, &[4.0, 2.0, 0.0])]);
        let html = chart.to_html();
        assert!(html.contains("from 4 to 0, between 0 and 4."), "{html}");
        assert!(html.contains("<b class=\"now\">0</b>"));
        let values = chart.values(&[&chart.series[0]]);
        assert_eq!(values["series"][0]["x"], json!([0.0, 1.0, 2.0]));
        assert_eq!(values["series"][0]["y"], json!([4.0, 2.0, 0.0]));
        assert_eq!(values["y_log"], false);
    }

    #[test]
    fn only_wide_positive_values_get_a_logarithmic_axis() {
        let log = |values: &[f64]| is_log(values.iter().copied(), Spacing::LogIfWide);
        assert!(log(&[1e-3, 1.0]));
        assert!(!log(&[0.1, 1.0]) && !log(&[0.0, 1000.0]) && !log(&[-1.0, 1000.0]));
        assert!(!is_log([1e-3, 1.0].into_iter(), Spacing::Linear));
    }

    #[test]
    fn curves_without_a_point_are_left_out() {
        let html = chart(vec![series("a", 0, &[3.0]), series("b", 1, &[])]).to_html();
        assert!(!html.contains("NaN") && !html.contains("b: from"));
        assert_eq!(chart(vec![series("b", 1, &[])]).to_html(), "");
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let html = chart(vec![series("</script><b>\"&", 0, &[1.0, 2.0])]).to_html();
        assert_eq!(html.matches("</script>").count(), 1);
        assert!(html.contains("&lt;/script&gt;&lt;b&gt;&quot;&amp;: from 1 to 2"));
    }
}
