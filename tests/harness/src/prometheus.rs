//! Reading the Prometheus text format.

use std::collections::BTreeMap;

/// One series: what a scraper would store.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// The value of a label; empty if it is missing, as Prometheus has it.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// The samples of one scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(Vec<Sample>);

impl Samples {
    /// Reads an exposition; lines that are none are left out.
    pub fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(sample)
                .collect(),
        )
    }

    /// The samples called `name`.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The sum over all series of `name` that have at least the given labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample| {
            labels
                .iter()
                .all(|(key, value)| sample.label(key) == *value)
        };
        self.named(name)
            .filter(has)
            .map(|sample| sample.value)
            .sum()
    }
}

impl std::ops::Deref for Samples {
    type Target = [Sample];

    fn deref(&self) -> &[Sample] {
        &self.0
    }
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at_checked(name_end)?;
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while let Some((key, after)) = rest.split_once("=\"") {
            if key.contains('}') {
                break;
            }
            let (value, after) = quoted(after)?;
            labels.insert(key.trim_start_matches(',').to_owned(), value);
            rest = after;
        }
        rest = rest.trim_start_matches(',').strip_prefix('}')?;
    }
    let value = rest.split_whitespace().next()?;
    let value = if value == "+Inf" {
        f64::INFINITY
    } else {
        value.parse().ok()?
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// A label value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_read_with_labels_and_escapes() {
        let text =
            "# TYPE a counter\na{} 1\nb{x=\"1\",y=\"q\\\"}\\n\"} 2.5\nc_bucket{le=\"+Inf\"} 3\nd 4";
        let samples = Samples::parse(text);
        assert_eq!(samples.len(), 4);
        assert_eq!(samples.sum("a", &[]), 1.0);
        assert_eq!(samples[1].label("y"), "q\"}\n");
        assert_eq!(samples.sum("b", &[("x", "1")]), 2.5);
        assert_eq!(samples.sum("b", &[("x", "2")]), 0.0);
        assert_eq!(samples[2].label("le"), "+Inf");
        assert_eq!(samples[3].value, 4.0);
    }
}
