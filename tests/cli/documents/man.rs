//! The man pages: clap's part from the command line, and the sections that it does not know.

use std::path::Path;

use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};
use tarsy_db::internals::KEYS;
use tarsy_db::{Cli, ExitCode};

use crate::support::document::compare_or_write;
use crate::support::{apply, test};

/// Variables beside those of the settings, with their meaning.
const VARIABLES: [(&str, &str); 5] = [
    ("TARSY_DB_CONFIG", "the settings file"),
    ("PGHOST, PGPORT, PGUSER, PGPASSWORD and others of libpq", "what the URL of a server leaves out"),
    ("NO_COLOR, TERM", "output without colour, if NO_COLOR has a value or TERM is `dumb`"),
    ("TMPDIR", "where private copies of a SQLite source are made"),
    ("SQLITE_TMPDIR", "where SQLite has its temporary files"),
];

const FILES: [(&str, &str); 5] = [
    ("./.env", "read for DATABASE_URL where neither a flag nor a variable has it, as TARSy's backend does"),
    ("./tarsy-db.toml", "the settings file, if `--config` and TARSY_DB_CONFIG name no other"),
    ("./history.db", "the database, if nothing names another"),
    ("~/.pgpass", "passwords of servers, as for psql"),
    ("~/.pg_service.conf", "services of libpq; certificates are in ~/.postgresql"),
];

/// A macro without arguments.
const NONE: [&str; 0] = [];

const COMMANDS_OF_THE_DATABASES: [&str; 3] = ["psql(1)", "pg_dump(1)", "sqlite3(1)"];

#[apply(test)]
fn man_pages_are_those_of_the_command_line() {
    let mut command = <Cli as clap::CommandFactory>::command().disable_help_subcommand(true);
    command.build();
    let pages: Vec<_> = std::iter::once(&command).chain(command.get_subcommands()).collect();
    let names: Vec<_> = pages.iter().map(|page| name_of(page)).collect();
    for (page, name) in pages.iter().zip(&names) {
        let others = names.iter().filter(|other| *other != name).map(|other| format!("{other}(1)"));
        let see_also: Vec<_> = others.chain(COMMANDS_OF_THE_DATABASES.map(str::to_owned)).collect();
        compare_or_write(
            &Path::new("completions/man").join(format!("{name}.1")),
            rendered(page, name, &see_also).as_bytes(),
        );
    }
}

/// `tarsy-db-prune`.
fn name_of(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).replace(' ', "-")
}

fn rendered(command: &clap::Command, name: &str, see_also: &[String]) -> String {
    let mut page = Vec::new();
    let source = format!("tarsy-db {}", env!("CARGO_PKG_VERSION"));
    let manual = Man::new(command.clone()).title(name).date("").source(source);
    manual.render_title(&mut page).expect("a page can be rendered");
    manual.render_name_section(&mut page).expect("a page can be rendered");
    manual.render_synopsis_section(&mut page).expect("a page can be rendered");
    manual.render_description_section(&mut page).expect("a page can be rendered");
    manual.render_options_section(&mut page).expect("a page can be rendered");
    if command.has_subcommands() {
        manual.render_subcommands_section(&mut page).expect("a page can be rendered");
    }
    String::from_utf8(page).expect("a page is text") + &own_sections(command, see_also).to_roff()
}

/// The sections that a reader of a manual looks for, after the options.
fn own_sections(command: &clap::Command, see_also: &[String]) -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["EXIT STATUS"]);
    for code in ExitCode::ALL {
        describe(&mut page, bold(code.number().to_string()), code.meaning());
    }
    page.control("SH", ["ENVIRONMENT"]);
    for key in KEYS {
        describe(&mut page, bold(key.environment), key.meaning);
    }
    for (variable, meaning) in VARIABLES {
        describe(&mut page, bold(variable), meaning);
    }
    page.control("SH", ["FILES"]);
    for (file, meaning) in FILES {
        describe(&mut page, italic(file), meaning);
    }
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    if let Some((_, examples)) = examples.split_once("Examples:\n").or_else(|| examples.split_once("Example:\n")) {
        page.control("SH", ["EXAMPLES"]).control("nf", NONE).text([roman(examples)]).control("fi", NONE);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([roman(see_also.join(", "))]);
    page
}

/// A term and what it means, from Markdown.
fn describe(page: &mut Roff, term: Inline, markdown: &str) {
    page.control("TP", NONE).text([term]).text(inlines(markdown));
}

/// Text of Markdown without its links, and with code in bold.
fn inlines(markdown: &str) -> Vec<Inline> {
    let link = regex_lite::Regex::new(r"\[([^]]*)\]\([^)]*\)").expect("a sound expression");
    let text = link.replace_all(markdown, "$1");
    let parts = text.split('`').enumerate();
    parts.map(|(number, part)| if number % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

#[apply(test)]
fn markdown_becomes_text_without_links() {
    let expected = vec![roman("run "), bold("init"), roman(", see the page")];
    assert_eq!(inlines("run `init`, see [the page](page.md#part)"), expected);
}
