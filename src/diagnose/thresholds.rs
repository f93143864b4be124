//! The numbers of the rules: defaults in `assets/thresholds.toml`, over which a user's file and `--set` are laid.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

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

    /// Lays the tables of a user's file over these.
    ///
    /// # Errors
    /// Bad TOML, or a rule or number that does not exist.
    pub fn overlay(&mut self, text: &str) -> Result<(), ThresholdError> {
        let file: Table = text
            .parse()
            .map_err(|e: toml::de::Error| ThresholdError::Syntax(e.to_string().trim_end().into()))?;
        for (rule, section) in file {
            let Value::Table(section) = section else {
                return Err(ThresholdError::Senseless { rule, why: "is a table of numbers".into() });
            };
            for (key, value) in section {
                self.put(&rule, &key, value)?;
            }
        }
        Ok(())
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
        let parsed: Table = format!("x = {value}")
            .parse()
            .map_err(|_| ThresholdError::Syntax(format!("`{value}` in `{assignment}` is not a number")))?;
        match parsed.get("x") {
            Some(value) => self.put(rule, key, value.clone()),
            None => Err(ThresholdError::Syntax(assignment.into())),
        }
    }

    fn put(&mut self, rule: &str, key: &str, value: Value) -> Result<(), ThresholdError> {
        let names = |t: &Table| t.keys().cloned().collect::<Vec<_>>().join(", ");
        let all = names(&self.0);
        let Some(Value::Table(section)) = self.0.get_mut(rule) else {
            return Err(ThresholdError::Unknown {
                name: rule.into(),
                hint: format!("rules with thresholds: {all}"),
            });
        };
        let known = names(section);
        let Some(place) = section.get_mut(key) else {
            let name = format!("{rule}.{key}");
            return Err(ThresholdError::Unknown { name, hint: format!("`{rule}` has: {known}") });
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
