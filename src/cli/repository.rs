//! Where the repository is that the reports of services speak of.

use std::env;
use std::path::{Path, PathBuf};

use crate::config::is_page;
use crate::report::{Repository, Sources};

/// The repository around the current folder: what the CI service says, else the folder with `.git`, else the current one.
pub(super) fn find(sources: Sources, rule_pages: Option<String>) -> Repository {
    let cwd = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let named = ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"]
        .iter()
        .filter_map(|name| env::var_os(name).filter(|value| !value.is_empty()))
        .map(PathBuf::from)
        .find(|root| root.is_absolute() && cwd.starts_with(root));
    let root = named.or_else(|| above(&cwd, ".git")).unwrap_or_else(|| cwd.clone());
    Repository { root, cwd, sources, rule_pages }
}

/// The nearest folder, going up, that has an entry of that name.
pub(super) fn above(folder: &Path, name: &str) -> Option<PathBuf> {
    folder.ancestors().find(|folder| folder.join(name).exists()).map(Path::to_owned)
}

/// Address of the rules' page: what the environment says (the GitHub action knows where it comes from), else that of this
/// version, where the package or who built it (`SCX_LINT_REPOSITORY`) says where its repository is.
pub(super) fn rule_pages() -> Option<String> {
    if let Some(pages) = env::var("SCX_LINT_RULE_PAGES").ok().filter(|pages| is_page(pages)) {
        return Some(pages);
    }
    let repository = match env!("CARGO_PKG_REPOSITORY") {
        "" => option_env!("SCX_LINT_REPOSITORY").unwrap_or_default(),
        repository => repository,
    };
    (!repository.is_empty())
        .then(|| format!("{repository}/blob/v{}/docs/rules.md", env!("CARGO_PKG_VERSION")))
}
