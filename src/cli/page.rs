//! The manual page.

use std::io;

use clap::Command;
use clap_mangen::Man;

/// The manual page of the program with the options of every command, in roff.
pub(super) fn man(mut command: Command) -> io::Result<Vec<u8>> {
    command.build();
    let commands: Vec<Command> = command.get_subcommands().filter(|c| !c.is_hide_set()).cloned().collect();
    let man = Man::new(command);
    let mut roff = Vec::new();
    man.render_title(&mut roff)?;
    man.render_name_section(&mut roff)?;
    man.render_synopsis_section(&mut roff)?;
    man.render_description_section(&mut roff)?;
    man.render_options_section(&mut roff)?;
    man.render_subcommands_section(&mut roff)?;
    for command in commands {
        let title = format!("tcptop {}", command.get_name());
        // What every command takes was said once.
        let command = command.mut_args(|a| if a.is_global_set() { a.hide(true) } else { a });
        let has_more = command.get_after_long_help().is_some();
        let man = Man::new(command);
        roff.extend_from_slice(format!(".SH \"{}\"\n", title.to_uppercase()).as_bytes());
        man.render_synopsis_section(&mut roff)?;
        man.render_options_section(&mut roff)?;
        if has_more {
            man.render_extra_section(&mut roff)?;
        }
    }
    man.render_version_section(&mut roff)?;
    Ok(roff)
}
