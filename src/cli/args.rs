//! The arguments. What is not here does not work yet.

use std::io::IsTerminal as _;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::query::{Column as _, ColumnId, Sort, Spec};
use crate::source::Wanted;

/// What is wrong with TCP on this machine, why, and what to do.
#[derive(Parser, Debug)]
#[command(name = "tcptop", version, about, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Args {
    /// IPv4 sockets only
    #[arg(short = '4', global = true, help_heading = "What to look at")]
    v4: bool,
    /// IPv6 sockets only, those that carry IPv4 included
    #[arg(short = '6', global = true, help_heading = "What to look at")]
    v6: bool,
    /// Colours and bold text; auto means on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = ColorWhen::Auto)]
    color: ColorWhen,
    #[command(subcommand)]
    pub(super) command: Command,
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
    /// One look at the machine: states, limits, peers, listeners, ports
    Report(ReportArgs),
    /// The socket table
    List(ListArgs),
    /// Prints the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the manual page, in roff
    Man,
}

#[derive(ClapArgs, Debug)]
pub(super) struct ReportArgs {
    /// For programs
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(ClapArgs, Debug)]
#[command(after_long_help = columns_help())]
pub(super) struct ListArgs {
    /// For programs: one JSON object
    #[arg(long, conflicts_with = "csv")]
    pub(super) json: bool,
    /// For programs: a header and a line a socket
    #[arg(long)]
    pub(super) csv: bool,
    /// What to show of each socket, separated by commas; the names are below `--help`
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', value_parser = column)]
    pub(super) columns: Option<Vec<ColumnId>>,
    /// By which column to sort, and in which direction if not the usual one
    #[arg(long, value_name = "COL[:asc|desc]", value_parser = Sort::<ColumnId>::parse, default_value = "state")]
    pub(super) sort: Sort<ColumnId>,
    /// Shows only the first N sockets
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// Asks the kernel for `tcp_info` of each socket that is shown
    #[arg(long)]
    pub(super) info: bool,
}

fn column(name: &str) -> Result<ColumnId, String> {
    ColumnId::from_name(name).map_err(|e| e.to_string())
}

fn columns_help() -> String {
    let line = |spec: Spec| {
        let also = match spec.aliases {
            [] => String::new(),
            aliases => format!(" [also: {}]", aliases.join(", ")),
        };
        format!("\n  {:<12}{}{also}", spec.name, spec.help)
    };
    ColumnId::all().iter().map(|c| line(c.spec())).fold("Columns:".to_owned(), |help, line| help + &line)
}

impl Args {
    /// The families that were asked for; both options together are both families.
    pub(super) const fn families(&self) -> Wanted {
        match (self.v4, self.v6) {
            (true, false) => Wanted::V4,
            (false, true) => Wanted::V6,
            _ => Wanted::Both,
        }
    }

    /// Whether standard output may be styled.
    pub(super) fn styled(&self) -> bool {
        match self.color {
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
    fn families_can_be_named_before_and_after_the_command() {
        assert_eq!(families(&["report"]), Wanted::Both);
        assert_eq!(families(&["-4", "report"]), Wanted::V4);
        assert_eq!(families(&["list", "-6"]), Wanted::V6);
        assert_eq!(families(&["-4", "list", "-6"]), Wanted::Both);
    }
}
