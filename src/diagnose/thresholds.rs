//! The numbers of the rules: defaults in `assets/thresholds.toml`, over which a user's file and `--set` are laid.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::registry;

const DEFAULTS: &str = include_str!("../../assets/thresholds.toml");

/// Why thresholds were refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ThresholdError {
    /// The text is no TOML.
    #[error("thresholds: {0}")]
    Syntax(String),
    /// There is no such rule or number.
    #[error("thresholds: there is no `{name}`; {hint}")]
    Unknown {
        /// What was set.
        name: String,
        /// What there is instead.
        hint: String,
    },
    /// A number makes no sense.
    #[error("thresholds: {rule}: {why}")]
    Senseless {
        /// The rule.
        rule: String,
        /// Why.
        why: String,
    },
}

/// Thresholds of all rules, a table each.
#[derive(Clone, PartialEq, Debug)]
pub struct Thresholds(Table);

/// The thresholds of one rule.
pub trait Section: DeserializeOwned {
    /// Whether the numbers make sense together.
    ///
    /// # Errors
    /// Why not.
    fn check(&self) -> Result<(), String>;
}

/// The name that was meant, as the beginning of a hint; nothing where none is near.
fn meant(said: &str, known: &[&str]) -> String {
    let likeness = |name: &&str| strsim::jaro_winkler(said, name);
    let near = known.iter().copied().filter(|n| likeness(n) > 0.7);
    let nearest = near.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    nearest.map(|name| format!("did you mean {name}? ")).unwrap_or_default()
}

/// Refuses levels that are not in ascending order.
///
/// # Errors
/// Which two are not.
pub fn ascending(levels: &[(&str, f64)]) -> Result<(), String> {
    for pair in levels.windows(2) {
        if let [(low, a), (high, b)] = pair
            && a > b
        {
            return Err(format!("{low} ({a}) is above {high} ({b})"));
        }
    }
    Ok(())
}

/// Refuses a number that is not above 0.
///
/// # Errors
/// It is not.
pub fn positive(name: &str, value: f64) -> Result<(), String> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { Err(format!("{name} ({value}) is not above 0")) }
}

impl Thresholds {
    /// The defaults.
    ///
    /// # Errors
    /// Never, as a test proves; the embedded text is parsed like any other.
    pub fn defaults() -> Result<Self, ThresholdError> {
        DEFAULTS.parse().map(Self).map_err(|e: toml::de::Error| ThresholdError::Syntax(e.to_string()))
    }

    /// Sets one number as it stands in a TOML file.
    ///
    /// # Errors
    /// No value of TOML, or a rule or number that does not exist.
    pub fn put_text(&mut self, rule: &str, key: &str, value: &str) -> Result<(), ThresholdError> {
        let parsed: Table = format!("x = {value}")
            .parse()
            .map_err(|_| ThresholdError::Syntax(format!("`{value}` for {rule}.{key} is not a number")))?;
        parsed.get("x").map_or(Ok(()), |value| self.put(rule, key, value.clone()))
    }

    /// Refuses a rule that does not exist or has no numbers.
    ///
    /// # Errors
    /// It does not, or has none.
    pub fn check_rule(&self, rule: &str) -> Result<(), ThresholdError> {
        if self.0.contains_key(rule) { Ok(()) } else { Err(self.unknown_rule(rule)) }
    }

    fn unknown_rule(&self, rule: &str) -> ThresholdError {
        if registry::spec(rule).is_some() {
            let why = format!("{rule} has no numbers to set");
            return ThresholdError::Senseless { rule: rule.into(), why };
        }
        let all: Vec<&str> = self.rules().collect();
        let hint = format!("{}rules with thresholds: {}", meant(rule, &all), all.join(", "));
        ThresholdError::Unknown { name: rule.into(), hint }
    }

    /// Sets one number from `rule.key=value`.
    ///
    /// # Errors
    /// Not of that form, or a rule or number that does not exist.
    pub fn set(&mut self, assignment: &str) -> Result<(), ThresholdError> {
        let parts = assignment.split_once('=').and_then(|(path, value)| {
            let (rule, key) = path.trim().split_once('.')?;
            Some((rule, key, value.trim()))
        });
        let Some((rule, key, value)) = parts else {
            return Err(ThresholdError::Syntax(format!(
                "`{assignment}` is not of the form RULE.NUMBER=VALUE"
            )));
        };
        self.put_text(rule, key, value)
    }

    fn put(&mut self, rule: &str, key: &str, value: Value) -> Result<(), ThresholdError> {
        if !self.0.contains_key(rule) {
            return Err(self.unknown_rule(rule));
        }
        let Some(Value::Table(section)) = self.0.get_mut(rule) else { return Ok(()) };
        let known: Vec<&str> = section.keys().map(String::as_str).collect();
        let hint = format!("{}`{rule}` has: {}", meant(key, &known), known.join(", "));
        let Some(place) = section.get_mut(key) else {
            return Err(ThresholdError::Unknown { name: format!("{rule}.{key}"), hint });
        };
        let number = match (&value, &*place) {
            (Value::Integer(n), Value::Float(_)) =>
            {
                #[expect(clippy::cast_precision_loss, reason = "thresholds are small")]
                Value::Float(*n as f64)
            }
            _ => value,
        };
        if !number.same_type(place) {
            let why = format!("`{key}` must be of the type of its default, {place}");
            return Err(ThresholdError::Senseless { rule: rule.into(), why });
        }
        *place = number;
        Ok(())
    }

    /// The thresholds of one rule, checked.
    ///
    /// # Errors
    /// The table is missing, or its numbers make no sense.
    pub fn section<T: Section>(&self, rule: &'static str) -> Result<T, ThresholdError> {
        let senseless = |why: String| ThresholdError::Senseless { rule: rule.into(), why };
        let table = self.0.get(rule).cloned().unwrap_or(Value::Table(Table::new()));
        let section: T = table.try_into().map_err(|e: toml::de::Error| senseless(e.message().into()))?;
        section.check().map_err(senseless)?;
        Ok(section)
    }

    /// The rules that have thresholds.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
