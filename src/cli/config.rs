//! The user's file: thresholds, rules to leave out, and how the screen looks and how often.
//!
//! It is laid over the defaults, and the options of the command line over it. A file that makes no sense is refused as a
//! whole, with its name, the line and the key: half of what was meant is nobody's wish.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::args::{ColorWhen, interval};
use crate::diagnose::{RuleBook, RuleSpec, ThresholdError, Thresholds, find};
use crate::model::ForeignText;
use crate::query::nearest;
use crate::tui::theme::Builtin;

/// A larger file is none of ours.
const LARGEST: u64 = 1 << 20;

/// The keys that a file can have.
const KEYS: [&str; 5] = ["interval", "theme", "color", "skip", "thresholds"];

/// What a file says; what it does not say is as without it.
#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    /// Time between two looks of the live screen.
    pub(super) interval: Option<Duration>,
    /// Colours for dark or light backgrounds.
    pub(super) theme: Option<Builtin>,
    /// When to use colours.
    pub(super) color: Option<ColorWhen>,
    /// Rules that do not judge.
    pub(super) skip: Vec<&'static RuleSpec>,
    thresholds: Option<Thresholds>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    /// It cannot be read.
    #[error("reading {file}: {why}")]
    Unreadable { file: ForeignText, why: io::Error },
    /// It makes no sense.
    #[error("{file}:{line}: {why}")]
    Senseless { file: ForeignText, line: usize, why: String },
}

/// What makes no sense, and where in the text.
#[derive(Debug)]
struct Fault {
    at: Range<usize>,
    why: String,
}

fn fault<T>(at: Range<usize>, why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { at, why: why.into() })
}

impl Config {
    /// Reads the file that was named, else the one of the user, if there is one.
    ///
    /// # Errors
    /// The named file cannot be read, or a file makes no sense.
    pub(super) fn load(named: Option<&Path>) -> Result<Self, ConfigError> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => match usual_path(|name| env::var_os(name)) {
                Some(path) => path,
                None => return Ok(Self::default()),
            },
        };
        let file = ForeignText::from(&*path.to_string_lossy());
        let text = match read(&path) {
            Ok(text) => text,
            // Under sudo -u or su the home of before is still named: what may not be read is not this user's file.
            Err(why) if named.is_none() && is_not_ours(&why) => return Ok(Self::default()),
            Err(why) => return Err(ConfigError::Unreadable { file, why }),
        };
        Self::parse(&text).map_err(|Fault { at, why }| {
            let before = text.get(..at.start).unwrap_or(&text);
            ConfigError::Senseless { file, line: before.matches('\n').count() + 1, why }
        })
    }

    /// The rules under the thresholds of the file, without those that it leaves out.
    pub(super) fn rules(&self) -> Result<RuleBook, ThresholdError> {
        Ok(RuleBook::new(self.thresholds()?)?.choose(&[], &self.skip))
    }

    /// The thresholds of the file over the defaults.
    pub(super) fn thresholds(&self) -> Result<Thresholds, ThresholdError> {
        self.thresholds.clone().map_or_else(Thresholds::defaults, Ok)
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let table = DeTable::parse(text).or_else(|e| {
            fault(e.span().unwrap_or_default(), format!("is not TOML: {}", plain(e.message())))
        })?;
        let mut config = Self::default();
        for (key, value) in table.get_ref() {
            let at = value.span();
            match key.get_ref().as_ref() {
                "interval" => config.interval = Some(seconds(text, value)?),
                "theme" => config.theme = Some(theme(value)?),
                "color" => config.color = Some(color(value)?),
                "skip" => config.skip = rules(value)?,
                "thresholds" => {
                    let DeValue::Table(table) = value.get_ref() else {
                        return fault(at, "thresholds: is a table with a table a rule: [thresholds.RULE]");
                    };
                    config.thresholds = Some(thresholds(text, table)?);
                }
                other => return fault(key.span(), unknown(other)),
            }
        }
        Ok(config)
    }
}

/// `config.toml` in the folder of the XDG base directory specification, which says that a relative path is no path.
fn usual_path(var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| var(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(config.join("tcptop").join("config.toml"))
}

/// Whether there is no file of this user's.
fn is_not_ours(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST + 1).read_to_string(&mut text).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => io::Error::other("it is not UTF-8 text"),
        _ => e,
    })?;
    if text.len() as u64 > LARGEST { Err(io::Error::other("it is larger than 1 MiB")) } else { Ok(text) }
}

/// A text of the file as it may stand on a terminal.
fn plain(text: &str) -> ForeignText {
    ForeignText::from(text)
}

fn unknown(key: &str) -> String {
    let hint = if find(key).is_ok() {
        Some(format!("[thresholds.{key}]"))
    } else {
        nearest(key, KEYS).map(ToOwned::to_owned)
    };
    let hint = hint.map(|h| format!("did you mean {h}? ")).unwrap_or_default();
    format!("{}: there is no such key; {hint}the keys are {}", plain(key), KEYS.join(", "))
}

/// The words of a value in the file.
fn source<'t>(text: &'t str, value: &Spanned<DeValue<'_>>) -> &'t str {
    text.get(value.span()).unwrap_or_default()
}

fn seconds(text: &str, value: &Spanned<DeValue<'_>>) -> Result<Duration, Fault> {
    let number = matches!(value.get_ref(), DeValue::Integer(_) | DeValue::Float(_));
    let said = source(text, value).replace('_', "");
    let parsed =
        if number { interval(&said) } else { Err("is a number of seconds, without quotes".to_owned()) };
    parsed.or_else(|why| fault(value.span(), format!("interval: {why}")))
}

fn word<'v>(key: &str, value: &'v Spanned<DeValue<'_>>, known: &[&str]) -> Result<&'v str, Fault> {
    let one_of =
        format!("is one of {}", known.iter().map(|k| format!("\"{k}\"")).collect::<Vec<_>>().join(", "));
    let Some(said) = value.get_ref().as_str() else { return fault(value.span(), format!("{key}: {one_of}")) };
    if known.contains(&said) {
        return Ok(said);
    }
    let hint = nearest(said, known.iter().copied()).map(|n| format!("; did you mean \"{n}\"?"));
    fault(
        value.span(),
        format!("{key}: \"{}\" is not known{}; it {one_of}", plain(said), hint.unwrap_or_default()),
    )
}

fn theme(value: &Spanned<DeValue<'_>>) -> Result<Builtin, Fault> {
    let said = word("theme", value, &Builtin::ALL.map(Builtin::name))?;
    Ok(Builtin::from_name(said).unwrap_or_default())
}

fn color(value: &Spanned<DeValue<'_>>) -> Result<ColorWhen, Fault> {
    let said = word("color", value, &["auto", "always", "never"])?;
    ColorWhen::from_str(said, false).or_else(|why| fault(value.span(), why))
}

fn rules(value: &Spanned<DeValue<'_>>) -> Result<Vec<&'static RuleSpec>, Fault> {
    let DeValue::Array(list) = value.get_ref() else {
        return fault(value.span(), "skip: is a list of rules: [\"RULE\", …]");
    };
    let rule = |item: &Spanned<DeValue<'_>>| match item.get_ref().as_str() {
        Some(name) => find(name).or_else(|e| fault(item.span(), format!("skip: {}", plain(&e.to_string())))),
        None => fault(item.span(), "skip: a rule is named in quotes"),
    };
    list.iter().map(rule).collect()
}

fn thresholds(text: &str, table: &DeTable<'_>) -> Result<Thresholds, Fault> {
    let said = |e: &ThresholdError| plain(&e.to_string()).to_string();
    let mut all = Thresholds::defaults().or_else(|e| fault(0..0, said(&e)))?;
    for (rule, section) in table {
        let DeValue::Table(numbers) = section.get_ref() else {
            let name = plain(rule.get_ref());
            return fault(rule.span(), format!("thresholds.{name}: is a table of numbers"));
        };
        if numbers.is_empty() {
            all.check_rule(rule.get_ref()).or_else(|e| fault(rule.span(), said(&e)))?;
        }
        for (key, value) in numbers {
            let source = source(text, value);
            all.put_text(rule.get_ref(), key.get_ref(), source).or_else(|e| fault(key.span(), said(&e)))?;
        }
    }
    // Whether the numbers make sense together is known to the rules alone.
    match RuleBook::new(all.clone()) {
        Ok(_) => Ok(all),
        Err(e) => fault(senseless_at(&e, table), said(&e)),
    }
}

/// Where the file has the number that makes no sense: the first one that the reason names, else its table.
fn senseless_at(error: &ThresholdError, table: &DeTable<'_>) -> Range<usize> {
    let ThresholdError::Senseless { rule, why } = error else { return 0..0 };
    let section = table.iter().find(|(name, _)| name.get_ref() == rule);
    let Some((name, section)) = section else { return 0..0 };
    let DeValue::Table(numbers) = section.get_ref() else { return name.span() };
    let named = numbers.keys().filter(|key| why.contains(key.get_ref().as_ref())).map(Spanned::span);
    named.min_by_key(|span| span.start).unwrap_or_else(|| name.span())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (usize, String) {
        let Fault { at, why } = Config::parse(text).err().unwrap_or_else(|| panic!("{text:?} was taken"));
        (text[..at.start].matches('\n').count() + 1, why)
    }

    #[test]
    fn a_file_says_what_it_says_and_no_more() {
        let config = Config::parse("").unwrap();
        assert!(config.interval.is_none() && config.skip.is_empty() && config.thresholds.is_none());
        let text = "interval = 2.5\ntheme = \"light\"\ncolor = \"never\"\nskip = [\"orphan-limit\"]\n\
                    [thresholds.close-wait-leak]\nwarning = 50\ncritical_fd_ratio = 1\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.interval, Some(Duration::from_millis(2500)));
        assert_eq!((config.theme, config.color), (Some(Builtin::Light), Some(ColorWhen::Never)));
        let judging: Vec<_> = config.rules().unwrap().ids().collect();
        assert!(!judging.contains(&"orphan-limit") && judging.contains(&"close-wait-leak"));
        let mut own = Thresholds::defaults().unwrap();
        own.set("close-wait-leak.warning=50").unwrap();
        own.set("close-wait-leak.critical_fd_ratio=1").unwrap();
        assert_eq!(config.thresholds().unwrap(), own);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line_its_key_and_the_nearest() {
        let cases: &[(&str, usize, &[&str])] = &[
            ("\nintervall = 2", 2, &["intervall: there is no such key", "did you mean interval?"]),
            ("[close-wait-leak]\nwarning = 5", 1, &["did you mean [thresholds.close-wait-leak]?"]),
            ("interval = \"2\"", 1, &["interval: is a number of seconds"]),
            ("interval = 0.01", 1, &["interval: must be from 0.1 to 3600 seconds"]),
            ("interval = nan", 1, &["interval: must be from"]),
            ("theme = \"drak\"", 1, &["theme: \"drak\" is not known", "did you mean \"dark\"?"]),
            ("theme = 3", 1, &["theme: is one of \"dark\", \"light\", \"mono\""]),
            ("color = \"pink\"", 1, &["color: \"pink\"", "\"auto\", \"always\", \"never\""]),
            ("skip = \"x\"", 1, &["skip: is a list of rules"]),
            ("skip = [\n 1]", 2, &["skip: a rule is named in quotes"]),
            (
                "skip = [\n\"orphan-limit\",\n\"orphans-limit\"]",
                3,
                &["orphans-limit", "did you mean orphan-limit"],
            ),
            ("thresholds = 3", 1, &["thresholds: is a table"]),
            ("[thresholds]\ndead-peer = 3", 2, &["thresholds.dead-peer: is a table of numbers"]),
            ("[thresholds.dead-pear]\ntimeouts = 3", 2, &["dead-pear", "did you mean dead-peer?"]),
            ("[thresholds.dead-pear]", 1, &["dead-pear", "did you mean dead-peer?"]),
            ("[thresholds.sysctl-tcp-mem]\nx = 3", 2, &["sysctl-tcp-mem has no numbers"]),
            ("[thresholds.dead-peer]\n\ntimeout = 3", 3, &["dead-peer.timeout", "did you mean timeouts?"]),
            ("[thresholds.dead-peer]\ntimeouts = \"3\"", 2, &["dead-peer", "timeouts", "type"]),
            ("[thresholds.dead-peer]\ntimeouts = 2020-01-01", 2, &["dead-peer", "timeouts"]),
            (
                "[thresholds.fd-exhaustion]\n# low\nwarning_ratio = 0.99",
                3,
                &["fd-exhaustion", "warning_ratio (0.99) is above critical_ratio (0.95)"],
            ),
            ("a = 1\na = 2", 2, &["is not TOML", "duplicate"]),
            ("interval = 1\n[", 2, &["is not TOML"]),
        ];
        for (text, line, words) in cases {
            let (at, why) = refused(text);
            assert_eq!(at, *line, "{text:?}: {why}");
            for word in *words {
                assert!(why.contains(word), "{text:?} should say {word:?}: {why}");
            }
        }
    }

    #[test]
    fn what_a_file_holds_never_commands_the_terminal() {
        for text in [
            "\"\\u001b[2J\" = 1",
            "theme = \"\\u001b[2J\"",
            "skip = [\"\\u001b[2J\"]",
            "[thresholds.\"\\u001b\"]\nx=1",
        ] {
            let (_, why) = refused(text);
            assert!(!why.contains('\u{1b}'), "{why:?}");
        }
    }

    #[test]
    fn the_usual_place_is_that_of_the_base_directories() {
        let with = |vars: &[(&str, &str)]| {
            usual_path(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v)))
        };
        let (xdg, home) = (("XDG_CONFIG_HOME", "/x"), ("HOME", "/home/a"));
        assert_eq!(with(&[xdg, home]), Some("/x/tcptop/config.toml".into()));
        assert_eq!(with(&[home]), Some("/home/a/.config/tcptop/config.toml".into()));
        assert_eq!(
            with(&[("XDG_CONFIG_HOME", "x"), home]),
            Some("/home/a/.config/tcptop/config.toml".into())
        );
        assert_eq!(with(&[("HOME", "")]), None);
    }
}
