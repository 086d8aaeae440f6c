//! Live mode on the command line: which kernels are asked, and what the static side says of them.

use crate::kernel::Target;
use crate::kernel::target;
use crate::live::args::config_beside;
#[cfg(feature = "live")]
use crate::{checks::Options, kernel::Kernel, live};

use super::args::Lint;
use super::failure::Failure;

/// What real kernels did with the inputs, where they were asked.
#[cfg(feature = "live")]
pub(super) type Live = Option<live::Live>;
/// No kernel can be asked.
#[cfg(not(feature = "live"))]
#[derive(Debug)]
pub(super) struct Live;
/// No kernel was asked.
#[cfg(not(feature = "live"))]
pub(super) const NOBODY: Live = Live;

/// An object that was linted, kept for a kernel to load.
#[cfg_attr(not(feature = "live"), allow(dead_code))]
#[derive(Debug)]
pub(super) struct Sample {
    /// Index into the report's `objects`.
    pub(super) object: usize,
    /// Path as the report shows it.
    pub(super) path: String,
    /// The path, and which of a file's objects it is.
    pub(super) title: String,
    /// File name, which libbpf names the object after.
    pub(super) file_name: String,
    /// The object.
    pub(super) data: Vec<u8>,
}

/// Refuses what cannot be done, before a kernel is asked for minutes.
pub(super) fn check(lint: &Lint) -> Result<(), Failure> {
    #[cfg(not(feature = "live"))]
    if lint.live.is_wanted() {
        return Err(Failure::NoLive);
    }
    #[cfg(feature = "live")]
    live::check_files(&lint.live)?;
    Ok(())
}

/// The kernels that will be asked, as targets: that of this machine first, then every image. `None` for one whose types
/// cannot be read, which live mode then says in its own words.
pub(super) fn targets(lint: &Lint) -> Vec<Option<Target>> {
    let host = lint.live.attach.then(|| target::load("host").ok().and_then(|mut host| host.pop()));
    let images = lint.live.vm.iter().map(|image| {
        let name = image.to_string_lossy();
        let mut target = target::from_file(&name, std::fs::read(image).ok()?).ok()?;
        // What the guest will see: the option, else the file beside the image, else what the image holds.
        let config = lint.kconfig.clone().or_else(|| config_beside(image));
        target.kconfig = config.and_then(|path| target::read_kconfig(&path).ok()).or(target.kconfig);
        Some(target)
    });
    host.into_iter().chain(images).collect()
}

/// Asks the kernels. `kernels` are those of [`targets`].
#[cfg(feature = "live")]
pub(super) fn ask(
    lint: &Lint,
    samples: &[Sample],
    kernels: &[Option<&Kernel<'_>>],
    options: &dyn Fn(&str) -> Options,
) -> Result<Live, Failure> {
    if !lint.live.is_wanted() {
        return Ok(None);
    }
    let inputs: Vec<live::Input<'_>> = samples
        .iter()
        .map(|sample| live::Input {
            object: sample.object,
            path: &sample.path,
            title: &sample.title,
            file_name: &sample.file_name,
            data: &sample.data,
        })
        .collect();
    Ok(Some(live::run(&lint.live, &inputs, kernels, lint.kconfig.as_deref(), lint.quiet, options)?))
}
