//! The arguments. What is not here does not work yet.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::error::ErrorKind;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use super::config::Config;
use super::filter::FilterArgs;
use super::usage;
use crate::diagnose::knowledge::{self, Document, ENGLISH};
use crate::diagnose::{RuleSpec, Severity, find};
use crate::engine::INTERVALS;
use crate::lab::scenarios::SCENARIOS;
use crate::model::Protocols;
use crate::query::{Column as _, ColumnId, Sort, Spec};
use crate::source::{Target, Wanted};
use crate::tui::text::wrap;

/// What is wrong with TCP on this machine, why, and what to do.
#[derive(Parser, Debug)]
#[command(name = "tcptop", version, about, max_term_width = 100, disable_help_subcommand = true)]
#[expect(clippy::struct_excessive_bools, reason = "options that are there or not")]
pub(super) struct Args {
    /// IPv4 sockets only
    #[arg(short = '4', global = true, help_heading = "What to look at")]
    v4: bool,
    /// IPv6 sockets only, those that carry IPv4 included
    #[arg(short = '6', global = true, help_heading = "What to look at")]
    v6: bool,
    /// TCP sockets; this is what is looked at if neither is named
    #[arg(short, long, global = true, help_heading = "What to look at")]
    tcp: bool,
    /// UDP sockets: the screen begins with them, list and report show them instead of TCP, check judges what concerns them;
    /// both with -t
    #[arg(short, long, global = true, help_heading = "What to look at")]
    udp: bool,
    /// The network namespace of a name, process id or path, or all; without it, the one that tcptop runs in
    #[arg(long, global = true, value_name = "NAME|PID|PATH|all", help_heading = "What to look at")]
    pub(super) netns: Option<Target>,
    /// Names instead of addresses and ports, from this machine's own resolver and `/etc/services`: on the screen, in list
    /// and in report. What has no name stays a number, after two seconds at the latest, and so do the ports that the kernel
    /// gives to clients
    #[arg(short, long, global = true, overrides_with = "numeric", help_heading = "What to look at")]
    pub(super) resolve: bool,
    /// Numbers, which is the default; takes back --resolve
    #[arg(short, long, global = true, overrides_with = "resolve", help_heading = "What to look at")]
    numeric: bool,
    /// Thresholds, rules to leave out, and how the screen looks, as in config.example.toml; without it,
    /// tcptop/config.toml in `$XDG_CONFIG_HOME` or ~/.config, if there is one
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// What the user's file says
    #[arg(skip)]
    pub(super) file: Config,
    /// Colours and bold text; auto means on a terminal, unless `NO_COLOR` is set [default: auto]
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    color: Option<ColorWhen>,
    /// Seconds between two looks of the live screen [default: 1]
    #[arg(long, value_name = "SEC", value_parser = interval)]
    interval: Option<Duration>,
    /// Never loads a BPF program. Without this the live screen of a machine with thousands of sockets loads one, where it may
    /// and where that says what `sock_diag` says: it reads connections at a third of the cost, and writes nothing
    #[arg(long)]
    pub(super) no_bpf: bool,
    /// Forbids whatever would change something: closing sockets
    #[arg(long, global = true)]
    pub(super) read_only: bool,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// Seconds, with a fraction if need be, within what the engine can do.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "is not a number of seconds".to_owned())?;
    let (least, most) = (INTERVALS.start().as_secs_f64(), INTERVALS.end().as_secs_f64());
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|d| INTERVALS.contains(d))
        .ok_or_else(|| format!("must be from {least} to {most} seconds"))
}

/// A number of sockets.
fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "is not a number of sockets, such as 20".to_owned())
}

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum ColorWhen {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// One look at the machine: states, limits, peers, listeners, ports; with --udp, UDP sockets and what they drop
    Report(ReportArgs),
    /// The socket table
    List(ListArgs),
    /// Closes matching TCP sockets after showing them; for root
    #[command(name = "kill")]
    Kill(KillArgs),
    /// What is wrong: findings, and an exit code for monitoring
    Check(CheckArgs),
    /// Makes a real fault in a private network namespace and opens the screen, or COMMAND, inside it
    Lab(LabArgs),
    /// A program of a scenario
    #[command(hide = true)]
    LabActor {
        /// What it does
        role: String,
    },
    /// What a rule, state, limit or sysctl means, how to confirm it, what to do, what not to do
    Explain(ExplainArgs),
    /// Prints the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the manual page, in roff
    Man,
}

#[derive(ClapArgs, Debug)]
pub(super) struct LabArgs {
    /// The fault; without one, lists them
    #[arg(value_parser = scenarios(), hide_possible_values = true)]
    pub(super) scenario: Option<String>,
    /// What to run inside instead of the screen, after `--`
    #[arg(last = true, requires = "scenario")]
    pub(super) command: Vec<OsString>,
}

fn scenarios() -> PossibleValuesParser {
    PossibleValuesParser::new(SCENARIOS.iter().map(|s| PossibleValue::new(s.name).help(s.summary)))
}

#[derive(ClapArgs, Debug)]
pub(super) struct ReportArgs {
    /// For programs
    #[arg(long)]
    pub(super) json: bool,
    /// How long to observe, in seconds: what counters and drops do meanwhile, and rules that need more than one look [default:
    /// one look, with --udp one second]
    #[arg(long, value_name = "SEC", value_parser = interval)]
    pub(super) interval: Option<Duration>,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
}

#[derive(ClapArgs, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "options that are there or not")]
#[command(
    after_help = "The kernel ends the connections; the programs keep their descriptors and get an error. A listener listens \
    no more, and the port that a program bound stays taken while that program keeps the descriptor. What is still there \
    afterwards is said, with the reason.\n\nExit code: 0 when what may be closed is closed, when nothing matches, and for \
    --dry-run; 1 when something is still there, or when everything that matches is left alone: a listener without \
    --listeners, this session, what the kernel cannot close."
)]
pub(super) struct KillArgs {
    /// Closes without asking
    #[arg(long)]
    pub(super) yes: bool,
    /// Shows what would be closed, and closes nothing
    #[arg(long, conflicts_with = "yes")]
    pub(super) dry_run: bool,
    /// Closes listeners, too
    #[arg(long)]
    pub(super) listeners: bool,
    /// Closes the connection that this session runs over, too
    #[arg(long)]
    pub(super) own_session: bool,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
}

#[derive(ClapArgs, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "options that are there or not")]
#[command(after_long_help = columns_help())]
pub(super) struct ListArgs {
    /// For programs: one JSON object
    #[arg(long, conflicts_with_all = ["csv", "jsonl"])]
    pub(super) json: bool,
    /// For programs: a JSON object a line, one for each socket, as in --json
    #[arg(long, conflicts_with = "csv")]
    pub(super) jsonl: bool,
    /// Looks again after so many seconds, until it is stopped
    #[arg(long, visible_alias = "interval", value_name = "SEC", value_parser = interval)]
    pub(super) watch: Option<Duration>,
    /// For programs: a header and a line a socket
    #[arg(long)]
    pub(super) csv: bool,
    /// For people: aligned columns, also where standard output is no terminal; there the usual format is a header with the
    /// names of the columns and a line a socket, tabs between the values, - for none and ? for not known
    #[arg(long, conflicts_with_all = ["json", "jsonl", "csv"])]
    pub(super) text: bool,
    /// What to show of each socket, separated by commas; the names are below `--help`
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', value_parser = column)]
    pub(super) columns: Option<Vec<ColumnId>>,
    /// By which column to sort, and in which direction if not the usual one
    #[arg(long, value_name = "COL[:asc|desc]", value_parser = Sort::<ColumnId>::parse, default_value = "state")]
    pub(super) sort: Sort<ColumnId>,
    /// Shows only the first N sockets
    #[arg(long, value_name = "N", value_parser = count)]
    pub(super) limit: Option<usize>,
    /// Asks the kernel for `tcp_info` of each socket that is shown
    #[arg(long)]
    pub(super) info: bool,
    /// Reads keepalive, user timeout and linger from the sockets themselves, through a duplicate of their descriptors; needs
    /// a FILTER. A close in that moment is delayed by some microseconds. Refused where `net_cls` or `net_prio` are in use
    #[arg(long, requires = "filter")]
    pub(super) probe_options: bool,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
}

#[derive(ClapArgs, Debug)]
#[command(
    after_help = "Exit codes: 0 nothing at or above --fail-on, 1 warnings, 2 critical, 3 could not examine.\n\
    A mistake in the arguments is 2, too, with nothing on standard output."
)]
pub(super) struct CheckArgs {
    /// For programs: one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// How long to observe, in seconds
    #[arg(long, value_name = "SEC", default_value = "1", value_parser = interval)]
    pub(super) interval: Duration,
    /// The severity from which the exit code is not 0
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Warning)]
    pub(super) fail_on: FailOn,
    /// Judges this rule only; can be given several times
    #[arg(long, value_name = "ID", value_parser = find)]
    pub(super) rule: Vec<&'static RuleSpec>,
    /// Leaves this rule out; can be given several times
    #[arg(long, value_name = "ID", value_parser = find)]
    pub(super) skip: Vec<&'static RuleSpec>,
    /// Another number for a rule; can be given several times
    #[arg(long, value_name = "RULE.NUMBER=VALUE")]
    pub(super) set: Vec<String>,
    /// The evidence of each finding, and what could not be judged
    #[arg(short, long, conflicts_with = "json")]
    pub(super) verbose: bool,
}

/// From which severity a check fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum FailOn {
    Warning,
    Critical,
}

impl FailOn {
    /// The severity of that name.
    pub(super) const fn severity(self) -> Severity {
        match self {
            Self::Warning => Severity::Warning,
            Self::Critical => Severity::Critical,
        }
    }
}

#[derive(ClapArgs, Debug)]
pub(super) struct ExplainArgs {
    /// A rule, a TCP state, a limit or a sysctl; without it, the list of names
    #[arg(value_name = "RULE|STATE|SYSCTL", value_parser = document)]
    pub(super) name: Option<&'static Document>,
}

fn document(name: &str) -> Result<&'static Document, String> {
    knowledge::find(ENGLISH, name).map_err(|near| match &*near {
        [] => "there is no such name; `tcptop explain` lists all".to_owned(),
        near => {
            format!("there is no such name; did you mean {}? `tcptop explain` lists all", near.join(", "))
        }
    })
}

fn column(name: &str) -> Result<ColumnId, String> {
    ColumnId::from_name(name).map_err(|e| e.to_string())
}

/// Width of what stands behind a name in the help, so that the whole has eighty columns.
const HELP_WIDTH: u16 = 62;

fn columns_help() -> String {
    let line = |spec: Spec| {
        let also = match spec.aliases {
            [] => String::new(),
            aliases => format!(" [also: {}]", aliases.join(", ")),
        };
        let help = wrap(&format!("{}{also}", spec.help), HELP_WIDTH).join(&format!("\n{:18}", ""));
        format!("\n  {:<16}{help}", spec.name)
    };
    ColumnId::all().iter().map(|c| line(c.spec())).fold("Columns:".to_owned(), |help, line| help + &line)
}

impl Args {
    /// The arguments of the command line, or a usage error.
    pub(super) fn checked() -> Self {
        let args = Self::try_parse().unwrap_or_else(|e| usage::explained(e).exit());
        if args.interval.is_some() && args.command.is_some() {
            let why = "--interval before a command is for the live screen, which has none";
            usage::error(ErrorKind::ArgumentConflict, why).exit();
        }
        if args.command.is_some() && !args.filter.text().is_empty() {
            let why = "a filter comes after its command: tcptop list state established";
            usage::error(ErrorKind::ArgumentConflict, why).exit();
        }
        if let Some(why) = args.no_udp() {
            usage::error(ErrorKind::ArgumentConflict, why).exit();
        }
        if args.resolve && !matches!(args.command, None | Some(Command::List(_) | Command::Report(_))) {
            let why = "--resolve is for the screen, for list and for report";
            usage::error(ErrorKind::ArgumentConflict, why).exit();
        }
        args
    }

    /// Why UDP was asked for in vain.
    const fn no_udp(&self) -> Option<&'static str> {
        match self.command {
            _ if !self.udp => None,
            None | Some(Command::List(_) | Command::Report(_) | Command::Check(_)) => None,
            Some(Command::Kill(_)) => Some(
                "--udp is not for kill, which closes TCP connections: a UDP socket is closed by the process that holds it; \
                 tcptop list --udp --columns local,process names that",
            ),
            Some(_) => Some("--udp is for the screen, for list, for report and for check"),
        }
    }

    /// The time between two looks of the live screen.
    pub(super) fn interval(&self) -> Duration {
        self.interval.or(self.file.interval).unwrap_or(Duration::from_secs(1))
    }

    /// Whether the command looks at this machine or speaks of it, so that the user's file matters.
    pub(super) const fn reads_the_file(&self) -> bool {
        use Command::{Check, Explain, Kill, List, Report};
        matches!(self.command, None | Some(Check(_) | Explain(_) | Kill(_) | List(_) | Report(_)))
    }

    fn color(&self) -> ColorWhen {
        self.color.or(self.file.color).unwrap_or(ColorWhen::Auto)
    }

    /// The families that were asked for; both options together are both families.
    pub(super) const fn families(&self) -> Wanted {
        match (self.v4, self.v6) {
            (true, false) => Wanted::V4,
            (false, true) => Wanted::V6,
            _ => Wanted::Both,
        }
    }

    /// The tables that were asked for.
    pub(super) const fn protocols(&self) -> Protocols {
        Protocols { tcp: self.tcp || !self.udp, udp: self.udp }
    }

    /// Whose faults are looked for: those of every protocol, unless UDP alone was asked for.
    pub(super) const fn judged(&self) -> Protocols {
        if self.udp && !self.tcp { Protocols::UDP } else { Protocols::BOTH }
    }

    /// Whether colours were asked for or refused; `None` leaves it to the environment.
    pub(super) fn color_wanted(&self) -> Option<bool> {
        match self.color() {
            ColorWhen::Always => Some(true),
            ColorWhen::Never => Some(false),
            ColorWhen::Auto => None,
        }
    }

    /// Whether standard output may be styled.
    pub(super) fn styled(&self) -> bool {
        match self.color() {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => {
                let says = |name| std::env::var_os(name).unwrap_or_default();
                std::io::stdout().is_terminal() && says("NO_COLOR").is_empty() && says("TERM") != "dumb"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    fn families(args: &[&str]) -> Wanted {
        Args::try_parse_from([&["tcptop"], args].concat()).unwrap().families()
    }

    #[test]
    fn tcp_is_looked_at_unless_udp_alone_is_named() {
        let of = |args: &[&str]| Args::try_parse_from([&["tcptop"], args].concat()).unwrap().protocols();
        assert_eq!(of(&["list"]), Protocols::TCP);
        assert_eq!(of(&["list", "-u"]), Protocols::UDP);
        assert_eq!(of(&["-t", "list", "--udp"]), Protocols::BOTH);
    }

    #[test]
    fn families_can_be_named_before_and_after_the_command() {
        assert_eq!(families(&["report"]), Wanted::Both);
        assert_eq!(families(&["-4", "report"]), Wanted::V4);
        assert_eq!(families(&["list", "-6"]), Wanted::V6);
        assert_eq!(families(&["-4", "list", "-6"]), Wanted::Both);
    }
}
