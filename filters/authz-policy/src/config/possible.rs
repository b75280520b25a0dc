//! Values that can never match what they are held against: Istio takes them,
//! and the policy then guards less than it says, without a word.

use meshpack_sdk::matching::{PathTemplate, TextMatch};

use super::is_token;
use crate::policy::model::{Pattern, RequestPrincipal, Subject};

/// Why no request can ever have such a value, and what to write instead.
pub(super) fn impossible(text: &str, subject: &Subject) -> Option<&'static str> {
    let form = TextMatch::parse(text);
    let inner = form.text();
    let has = |bytes: &[u8]| inner.bytes().any(|b| bytes.contains(&b));
    Some(match subject {
        Subject::Path if PathTemplate::is_template(text) => return None,
        Subject::Path if has(b"?#") => "paths are compared without query and fragment",
        Subject::Path
            if !matches!(form, TextMatch::Suffix(_) | TextMatch::Present)
                && !inner.starts_with('/') =>
        {
            "a path starts with /, or with * to match its end"
        }
        Subject::Host if has(b"/ \t\r\n") => "a host has no scheme, no path and no blanks",
        Subject::Method if !inner.bytes().all(is_token) => {
            "a method is one word: give each its own entry"
        }
        Subject::Principal if inner.starts_with("spiffe://") => {
            "principals are written without spiffe://"
        }
        Subject::RequestPrincipal if RequestPrincipal::parse(text).cuts_a_scheme() => {
            "it is cut at its last slash: write ISSUER/SUBJECT or ISSUER/*"
        }
        Subject::Header { .. } if has(b"\r\n\0") => "no header can hold line ends and NUL",
        Subject::Header { split: true, .. } if has(b",") => {
            "splitHeaders cuts this header's values at commas"
        }
        Subject::Header { split: true, .. } if is_trimmed_away(&form) => {
            "splitHeaders drops blanks around this header's values"
        }
        _ => return None,
    })
}

/// Whether the text asks for blanks where a value's end was trimmed.
fn is_trimmed_away(form: &TextMatch) -> bool {
    let blank = [' ', '\t'];
    let (text, ends) = match form {
        TextMatch::Exact(text) => (text, [true, true]),
        TextMatch::Prefix(text) => (text, [true, false]),
        TextMatch::Suffix(text) => (text, [false, true]),
        TextMatch::Present => return false,
    };
    ends[0] && text.starts_with(blank) || ends[1] && text.ends_with(blank)
}

/// Whether an asterisk stands where it is no wildcard.
pub(super) fn has_literal_star(text: &str, subject: &Subject) -> bool {
    let counts = match subject {
        // Any asterisk is a wildcard, or refused.
        Subject::Namespace | Subject::TrustDomain | Subject::ServiceAccount => false,
        Subject::Path => !PathTemplate::is_template(text),
        // Two of them may be meant: one for the issuer, one for the subject.
        Subject::RequestPrincipal => false,
        _ => true,
    };
    counts && TextMatch::parse(text).text().bytes().any(|b| b == b'*')
}

/// Up to this many values on both sides are compared with each other.
const FEW: usize = 16;

/// Whether every value that is asked for is excluded again.
pub(super) fn excludes_itself(is: &[Pattern], not: &[Pattern]) -> bool {
    if is.is_empty() || is.len() > FEW || not.len() > FEW {
        return false;
    }
    let excluded: Vec<String> = not.iter().map(ToString::to_string).collect();
    is.iter()
        .all(|pattern| excluded.contains(&pattern.to_string()))
}
