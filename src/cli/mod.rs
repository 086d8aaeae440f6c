//! The command line: what was typed, and what is done about it.

mod args;
mod ask;
mod errnos;
mod examine;
mod explain;
mod failure;
mod inspect;
mod kernel;
mod lint;
mod main;
mod output;
mod progress;
mod repository;
mod rules;
mod settings;
mod shell;
mod stdout;
mod terminal;
mod values;

pub use main::main;
