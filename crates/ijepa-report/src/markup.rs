//! Text inside HTML.

/// `text` inside an element or a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            _ => escaped.push(character),
        }
    }
    escaped
}

/// `value` inside a `<script>` element, where nothing may look like a tag.
pub(crate) fn script_json(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

/// A table row of `cells`, which are escaped; the first one names the row.
pub(crate) fn row<S: AsRef<str>>(cells: impl IntoIterator<Item = S>) -> String {
    let mut html = String::from("<tr>");
    for (number, cell) in cells.into_iter().enumerate() {
        let cell = escape(cell.as_ref());
        html += &match number {
            0 => format!("<th scope=\"row\">{cell}</th>"),
            _ => format!("<td>{cell}</td>"),
        };
    }
    html + "</tr>\n"
}

/// A table with a line of column names, if there are any, that scrolls by itself where it is too
/// wide.
pub(crate) fn table<S: AsRef<str>>(names: impl IntoIterator<Item = S>, rows: &str) -> String {
    let names: String = names
        .into_iter()
        .map(|name| format!("<th scope=\"col\">{}</th>", escape(name.as_ref())))
        .collect();
    let head = match names.is_empty() {
        true => String::new(),
        false => format!("<thead><tr>{names}</tr></thead>"),
    };
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table>{head}<tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// A table of texts without column names.
pub(crate) fn listing(rows: &str) -> String {
    format!(
        "<div class=\"words listing\">{}</div>",
        table([""; 0], rows)
    )
}
