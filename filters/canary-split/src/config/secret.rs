//! `secretSalt`: where the secret part of a salt comes from.

use meshpack_sdk::config::{Node, Problem, Value};

use super::Config;
use crate::policy::Secret;

/// The variable that is looked for unless the configuration names another.
pub const DEFAULT_SECRET: &str = "MESHPACK_CANARY_SECRET";

/// Fewer bytes can be guessed.
const SHORTEST: usize = 16;

#[cold]
pub(super) fn read(value: Option<Value<'_>>) -> Option<Secret> {
    let Some(value) = value else {
        return Some(Secret::IfThere);
    };
    if let Node::String(word) = value.node() {
        if word == "none" {
            return Some(Secret::Never);
        }
        return value.problem(
            "is a string, which would stand in every copy of the configuration: use {env: NAME}, or none",
        );
    }
    let mut fields = value.object()?;
    let name = fields.required("env").and_then(|name| {
        let text = name.non_empty_string()?;
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if text.bytes().all(word) {
            return Some(text);
        }
        name.problem(format!(
            "{text:?} is not the name of a variable: use letters, digits and _, as in {DEFAULT_SECRET}"
        ))
    });
    Some(Secret::Variable(name?.to_owned()))
}

impl Config {
    /// Adds the secret parts to the salts; `variable` looks into the environment
    /// of the VM.
    ///
    /// # Errors
    /// A variable that is not there, or holds no secret. What it holds is not told.
    pub fn with_secrets(
        mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        for (at, split) in self.splits.iter_mut().enumerate() {
            let (name, must) = match &split.secret {
                Secret::Never => continue,
                Secret::IfThere => (DEFAULT_SECRET, false),
                Secret::Variable(name) => (name.as_str(), true),
            };
            let wrong = match variable(name).filter(|value| must || !value.is_empty()) {
                Some(value) if value.len() >= SHORTEST => {
                    split.salt = split.salt.clone().with_secret(value.as_bytes());
                    continue;
                }
                Some(_) => format!(
                    "the variable {name} is shorter than {SHORTEST} bytes, which is no secret"
                ),
                None if must => format!(
                    "the VM has no variable {name}: give it one, in Envoy's vm_config.environment_variables or Istio's vmConfig.env"
                ),
                None => continue,
            };
            problems.push(Problem::new(format!("splits[{at}].secretSalt"), wrong));
        }
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(problems)
        }
    }
}
