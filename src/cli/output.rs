//! The report, in the format and to the file that was asked for.

use std::io::{self, BufWriter, IsTerminal, Write};

use super::args::{Format, Lint};
use super::ask;
use super::failure::Failure;
use super::repository;
use super::terminal::{use_color, use_unicode, width};
use crate::config::Config;
use crate::kernel::builtin;
#[cfg(feature = "live")]
use crate::live;
use crate::replace::replace;
use crate::report::{self, Document, Guard, PassedOver, Spelling};

pub(super) fn write_report(
    lint: &Lint,
    config: &Config,
    document: &Document,
    live: &ask::Live,
) -> Result<(), Failure> {
    match &lint.output {
        // As everywhere, '-' is the standard stream.
        Some(path) if path.as_os_str() != "-" => {
            let mut text = Vec::new();
            print(lint, config, document, live, &mut text, false)
                .and_then(|()| replace(path, &text))
                .map_err(|error| Failure::Output(path.display().to_string(), error))
        }
        _ => {
            let mut out = BufWriter::new(io::stdout().lock());
            print(lint, config, document, live, &mut out, io::stdout().is_terminal())?;
            Ok(out.flush()?)
        }
    }
}

/// Where the C files are, as the user says.
pub(super) fn sources(config: &Config) -> report::Sources {
    let pair = |text: &String| text.split_once('=').map(|(from, to)| (from.to_owned(), to.to_owned()));
    let remap = config.remap_path.iter().filter_map(pair).collect();
    report::Sources { roots: config.source_root.clone(), remap, rule_pages: None }
}

/// Prints the report so that a service that reads the lines finds no commands in it but those of its own format.
fn print(
    lint: &Lint,
    config: &Config,
    document: &Document,
    live: &ask::Live,
    out: &mut impl Write,
    terminal: bool,
) -> io::Result<()> {
    let spelling = match lint.format {
        Format::Github => return print_format(lint, config, document, live, out, terminal),
        Format::Full | Format::Concise | Format::Markdown => Spelling::Text,
        Format::Json | Format::Sarif | Format::Gitlab => Spelling::Json,
        Format::Junit | Format::Html => Spelling::Markup,
    };
    let mut out = Guard::new(out, spelling);
    print_format(lint, config, document, live, &mut out, terminal)?;
    out.finish()
}

/// What lay among the inputs and was not judged: one line each with `verbose`, else how many sources there are that nothing is said of.
fn passed_over(document: &Document, lint: &Lint, out: &mut impl Write) -> io::Result<()> {
    if lint.verbose {
        for passed in &document.passed_over {
            writeln!(out, "{}: {}", passed.path, passed.words)?;
        }
        return Ok(());
    }
    let sources = document.passed_over.iter().filter(|passed| passed.why == PassedOver::NotCompiled).count();
    // Where there is nothing else, the input's error says it.
    if sources > 0 && !lint.quiet && document.objects.iter().any(|object| object.error.is_none()) {
        let plural = if sources == 1 { "" } else { "s" };
        writeln!(
            out,
            "{sources} BPF source{plural} without an object not compiled; --compile compiles what is in folders"
        )?;
    }
    Ok(())
}

fn print_format(
    lint: &Lint,
    config: &Config,
    document: &Document,
    live: &ask::Live,
    out: &mut impl Write,
    terminal: bool,
) -> io::Result<()> {
    #[cfg(not(feature = "live"))]
    let ask::Live = live;
    let sources = sources(config);
    let pages = || config.rule_pages.clone().or_else(repository::rule_pages);
    let repository = || repository::find(sources.clone(), pages());
    match lint.format {
        Format::Sarif => report::sarif(document, &repository(), out),
        Format::Github => report::github(document, &repository(), out),
        Format::Gitlab => report::gitlab(document, &repository(), out),
        Format::Junit => report::junit(document, &repository(), out),
        Format::Markdown => report::markdown(document, &repository(), out),
        Format::Html => report::html(document, &repository(), out),
        Format::Json => report::json(document, out),
        Format::Concise => {
            passed_over(document, lint, out)?;
            report::concise(document, out)?;
            #[cfg(feature = "live")]
            if let Some(live) = live {
                live::concise(live, document, out)?;
            }
            Ok(())
        }
        Format::Full => {
            let style = report::Style {
                color: use_color(lint.look.color, terminal),
                unicode: use_unicode(),
                width: width(terminal),
            };
            // FORCE_HYPERLINK decides where it is set.
            let links = terminal || std::env::var_os("FORCE_HYPERLINK").is_some();
            let links = links && supports_hyperlinks::on(supports_hyperlinks::Stream::Stdout);
            let sources = report::Sources { rule_pages: pages().filter(|_| links), ..sources.clone() };
            passed_over(document, lint, out)?;
            if lint.verbose {
                let assumed = &document.assumptions;
                let without_kernel = match document.kernels.len() {
                    0 => format!(
                        "; no kernel named: an error means that every kernel from {} that has the ops type refuses",
                        builtin::range()
                    ),
                    _ => String::new(),
                };
                writeln!(
                    out,
                    "assuming: {} with {}-byte pages where the kernel does not tell, libbpf {}{without_kernel}",
                    assumed.arch, assumed.page_size, assumed.libbpf
                )?;
                let taken = document.kernels.iter().filter(|kernel| kernel.config.assumed.is_some());
                let taken: Vec<&str> = taken.map(|kernel| kernel.name.as_str()).collect();
                if !taken.is_empty() {
                    writeln!(
                        out,
                        "assuming: the configuration that Debian gives {} ('scx-lint kernel info' lists it, --kconfig FILE replaces it)",
                        taken.join(", ")
                    )?;
                }
            }
            if lint.verbose {
                for object in document.objects.iter().filter(|object| !object.values.is_empty()) {
                    writeln!(out, "{}: user space sets {}", object.title(), object.values.join(", "))?;
                }
            }
            report::full(document, &style, &sources, out)?;
            #[cfg(feature = "live")]
            if let Some(live) = live {
                live::full(live, document, &style, &sources, lint.verbose, out)?;
            }
            Ok(())
        }
    }
}
