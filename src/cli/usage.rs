//! Mistakes in the arguments: what is wrong, and what there is.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _};

use super::args::Args;
use crate::model::ForeignText;
use crate::query::filter::keywords;

/// The definition of the command that these arguments are for: of the program itself where none is named.
fn command_of(arguments: impl Iterator<Item = OsString>) -> Command {
    let mut whole = Args::command();
    whole.build();
    let takes_value = |option: &str| {
        let same = |arg: &&clap::Arg| {
            let short = arg.get_short().is_some_and(|c| option == format!("-{c}"));
            short || option.strip_prefix("--").is_some_and(|name| arg.get_long() == Some(name))
        };
        whole.get_arguments().find(same).is_some_and(|arg| arg.get_action().takes_values())
    };
    let mut value = false;
    let named = arguments.skip(1).map(|a| a.to_string_lossy().into_owned()).find(|argument| {
        let is_word = !argument.starts_with('-') && !value;
        value = takes_value(argument);
        is_word
    });
    named.and_then(|name| whole.find_subcommand(name).cloned()).unwrap_or(whole)
}

/// What to say of a word that stands where a filter begins and was most likely meant for a command.
pub(super) fn meant(word: &str) -> Option<String> {
    let commands = Args::command();
    let name = commands.get_subcommands().map(Command::get_name).find(|name| {
        strsim::osa_distance(name, word) <= 1 + name.len() / 6 && !keywords().any(|known| known == word)
    })?;
    let word = ForeignText::from(word);
    Some(format!("{word} is no command and begins no filter; did you mean tcptop {name}?"))
}

/// A usage error of the command that was called.
pub(super) fn error(kind: ErrorKind, why: impl std::fmt::Display) -> clap::Error {
    command_of(std::env::args_os()).error(kind, why)
}

/// The same error, saying of an unknown option which ones there are.
pub(super) fn explained(error: clap::Error) -> clap::Error {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(given))
            if error.kind() == ErrorKind::UnknownArgument && given.starts_with('-') =>
        {
            let near = match error.get(ContextKind::SuggestedArg) {
                Some(ContextValue::String(near)) => format!("; did you mean {near}?"),
                _ => String::new(),
            };
            let command = command_of(std::env::args_os());
            let first = std::env::args_os().nth(1).unwrap_or_default();
            // A command that exists is not meant for another.
            let names_none = command.get_name() == Args::command().get_name();
            if let Some(why) = meant(&first.to_string_lossy()).filter(|_| names_none) {
                return self::error(ErrorKind::ValueValidation, why);
            }
            let options = options(&command).join(", ");
            let why =
                format!("there is no option {}{near}\nOptions: {options}", ForeignText::from(given.as_str()));
            command.clone().error(ErrorKind::UnknownArgument, why)
        }
        _ => error,
    }
}

/// The options of a command as they are typed.
fn options(command: &Command) -> Vec<String> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional());
    shown
        .flat_map(|arg| {
            let others = arg.get_visible_aliases().unwrap_or_default();
            let long: Vec<_> = arg.get_long().into_iter().chain(others).map(|l| format!("--{l}")).collect();
            // Few have no long name.
            let short = arg.get_short().filter(|_| long.is_empty()).map(|c| format!("-{c}"));
            long.into_iter().chain(short)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(line: &str) -> String {
        command_of(line.split(' ').map(OsString::from)).get_name().to_owned()
    }

    #[test]
    fn the_command_is_found_behind_options_and_their_values() {
        assert_eq!(named("tcptop list --bogus"), "list");
        assert_eq!(named("tcptop -4 --netns list check"), "check");
        assert_eq!(named("tcptop --netns=list check"), "check");
        assert_eq!(named("tcptop --config list"), "tcptop");
        assert_eq!(named("tcptop state established"), "tcptop");
        assert_eq!(named("tcptop sport = 1 list"), "tcptop");
    }

    #[test]
    fn options_are_those_of_the_command_and_of_all() {
        let of_list = options(&command_of(["tcptop", "list"].map(OsString::from).into_iter()));
        for option in ["--columns", "--jsonl", "--netns", "-4", "--help"] {
            assert!(of_list.iter().any(|o| o == option), "{option} in {of_list:?}");
        }
        assert!(!of_list.iter().any(|o| o == "--fail-on"));
    }
}
