//! The older text format of Prometheus, for whoever does not ask for OpenMetrics: a counter is named as its samples are.

/// OpenMetrics text as the older format.
pub(super) fn of(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if line.starts_with("# HELP ") {
            help = Some(line);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            if let Some((_, text)) = help.take().and_then(|line| line["# HELP ".len()..].split_once(' ')) {
                out.push_str(&format!("# HELP {name} {text}\n"));
            }
            out.push_str(&format!("# TYPE {name} {kind}\n"));
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_counter_is_named_as_its_samples_are() {
        let text = "# HELP a Apples.\n# TYPE a counter\na_total{x=\"1\"} 3\n# HELP b Bees.\n# TYPE b gauge\nb 1\n# EOF\n";
        let expected = "# HELP a_total Apples.\n# TYPE a_total counter\na_total{x=\"1\"} 3\n# HELP b Bees.\n# TYPE b gauge\nb 1\n";
        assert_eq!(super::of(text), expected);
    }
}
