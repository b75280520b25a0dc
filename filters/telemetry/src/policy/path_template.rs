//! Operation names from paths: `/users/{id}` instead of a million user ids.

use meshpack_sdk::matching::{PathTemplate, TemplateError};

/// Name given to paths that no template fits.
pub const UNMATCHED: &str = "unmatched";

/// An ordered list of templates; the first that matches names the operation.
#[derive(Debug, Clone, Default)]
pub struct Operations {
    list: Vec<(String, PathTemplate)>,
}

impl Operations {
    /// Adds a template. Beside Istio's `{*}` and `{**}` a segment may be named,
    /// `{id}`, which matches as `{*}` does.
    ///
    /// # Errors
    /// Why the template is broken.
    pub fn push(&mut self, template: &str) -> Result<(), TemplateError> {
        let segments: Vec<&str> = template
            .split('/')
            .map(|segment| if is_named(segment) { "{*}" } else { segment })
            .collect();
        let compiled = PathTemplate::parse(&segments.join("/"))?;
        self.list.push((template.to_owned(), compiled));
        Ok(())
    }

    /// Whether there is any template.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of templates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The template that a `:path` value fits, as it was written, or
    /// [`UNMATCHED`]. Query and fragment do not count.
    #[must_use]
    pub fn name(&self, path: &[u8]) -> &str {
        let end = path.iter().position(|b| matches!(b, b'?' | b'#'));
        let path = path.get(..end.unwrap_or(path.len())).unwrap_or(path);
        self.list
            .iter()
            .find(|(_, template)| template.matches(path))
            .map_or(UNMATCHED, |(name, _)| name)
    }
}

/// `{name}` with a word in it.
fn is_named(segment: &str) -> bool {
    segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::Operations;

    #[test]
    fn a_path_takes_the_name_of_the_first_template_that_fits() {
        let mut operations = Operations::default();
        for template in ["/users/me", "/users/{id}", "/users/{user-id}/orders/{**}"] {
            operations.push(template).unwrap();
        }
        for (path, expected) in [
            ("/users/me", "/users/me"),
            ("/users/7", "/users/{id}"),
            ("/users/7?a=/b", "/users/{id}"),
            ("/users/7/orders/1/2", "/users/{user-id}/orders/{**}"),
            ("/users/7/orders", "unmatched"),
            ("/users/", "unmatched"),
            ("*", "unmatched"),
            ("", "unmatched"),
        ] {
            assert_eq!(operations.name(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn broken_templates_are_refused() {
        for template in ["users", "/a{id}", "/{}", "/{a b}", "/{**}/{id}"] {
            assert!(Operations::default().push(template).is_err(), "{template}");
        }
    }
}
