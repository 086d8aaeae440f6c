//! Live mode on the command line: which kernels are asked, and what the static side says of them.

use crate::kernel::ConfigOrigin;
use crate::kernel::Target;
use crate::kernel::cache::Cache;
use crate::kernel::target;
use crate::live::args::config_beside;
use crate::load::Values;
use crate::report::Document;
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
    /// File name, which libbpf names the object after.
    pub(super) file_name: String,
    /// The object.
    pub(super) data: Vec<u8>,
    /// What user space is said to set.
    pub(super) values: Values,
    /// What is foreseen on each of the report's kernels.
    pub(super) foreseen: Vec<Document>,
}

/// Refuses what cannot be done, before a kernel is asked for minutes.
pub(super) fn check(lint: &Lint) -> Result<(), Failure> {
    #[cfg(not(feature = "live"))]
    if lint.live.is_wanted() {
        return Err(Failure::NoLive);
    }
    // A configuration without a kernel that it is of. Both may stand in the configuration file, where it waits for kernels.
    let is_of_none = lint.kconfig.is_some() && lint.kernel.is_empty() && !lint.live.is_wanted();
    if is_of_none && !lint.choice.dump_config && lint.choice.read()?.kernels.is_empty() {
        return Err(Failure::KconfigOfNoKernel);
    }
    #[cfg(feature = "live")]
    live::check_files(&lint.live)?;
    Ok(())
}

/// The kernels that will be asked, as targets: that of this machine first, then every image. `None` for one whose types
/// cannot be read, which live mode then says in its own words.
pub(super) fn targets(lint: &Lint, cache: Option<&Cache>) -> Vec<Option<Target>> {
    let host = lint.live.attach.then(|| target::load("host").ok().and_then(|mut host| host.pop()));
    let images = lint.live.vm.iter().map(|image| {
        let name = image.to_string_lossy();
        let mut target = target::from_file_with(&name, target::read_file(image).ok()?, cache).ok()?;
        // What the guest will see: the option, else the file beside the image, else what the image holds.
        let config = lint.kconfig.clone().or_else(|| config_beside(image));
        if let Some(text) = config.and_then(|path| target::read_kconfig(&path).ok()) {
            target.set_config(text, ConfigOrigin::Named);
        }
        Some(target)
    });
    host.into_iter().chain(images).collect()
}

/// Asks the kernels. `asked` are those of [`targets`], and `reported` those that the report is about.
#[cfg(feature = "live")]
pub(super) fn ask(
    lint: &Lint,
    document: &Document,
    samples: &[Sample],
    asked: &[Option<Kernel<'_>>],
    reported: &[&Kernel<'_>],
    options: &dyn Fn(&str) -> Options,
) -> Result<Live, Failure> {
    if !lint.live.is_wanted() {
        return Ok(None);
    }
    let inputs: Vec<live::Input<'_>> = samples
        .iter()
        .map(|sample| {
            let object = &document.objects[sample.object];
            live::Input {
                object: sample.object,
                path: &object.path,
                title: object.title(),
                file_name: &sample.file_name,
                data: &sample.data,
                values: &sample.values,
                name: &object.name,
                loader: object.loader,
                foreseen: &sample.foreseen,
            }
        })
        .collect();
    let number = |kernel: &Kernel<'_>| reported.iter().position(|known| std::ptr::addr_eq(*known, kernel));
    let asked: Vec<Option<live::Asked<'_>>> = asked
        .iter()
        .map(|kernel| kernel.as_ref().map(|kernel| live::Asked { kernel, number: number(kernel) }))
        .collect();
    Ok(Some(live::run(&lint.live, &inputs, &asked, lint.kconfig.as_deref(), lint.quiet, options)?))
}
