//! The machine that a kernel is for: its architecture and the size of its pages, read off its types.

use super::arch::{Arch, USUAL_ARCH, USUAL_PAGE};
use super::kernel::Kernel;
use super::lookup::Lookup;
use crate::btf::Kind;
use crate::elf::ByteOrder;

/// The member of a struct by which an architecture is told.
const MARKS: [(Arch, &str, &str); 6] = [
    (Arch::X86_64, "pt_regs", "r15"),
    (Arch::Arm64, "user_pt_regs", "pstate"),
    (Arch::Riscv64, "pt_regs", "epc"),
    (Arch::Powerpc64, "user_pt_regs", "nip"),
    (Arch::S390x, "pt_regs", "orig_gpr2"),
    (Arch::Loongarch64, "pt_regs", "csr_era"),
];

impl Kernel<'_> {
    /// The architecture it is for: the registers that its types speak of, else what its image says.
    pub fn arch(&self) -> Lookup<Arch> {
        let shows = |of: &str, member: &str| {
            self.find(of, Kind::Struct).is_some_and(|id| self.member(id, member).is_some())
        };
        let read = || {
            let mut marks = MARKS.iter().filter(|(_, of, member)| shows(of, member));
            marks.next().map(|(arch, ..)| *arch).or(self.arch_of_image)
        };
        match *self.arch.get_or_init(read) {
            Some(arch) => Lookup::Found(arch),
            None => Lookup::Unknown("neither the kernel's types nor its image tell the architecture".into()),
        }
    }

    /// Its architecture, or the usual one where nothing tells.
    pub fn arch_or_usual(&self) -> Arch {
        self.arch().found().unwrap_or(USUAL_ARCH)
    }

    /// It is known to be for another machine than the usual one.
    pub fn is_foreign(&self) -> bool {
        self.arch().found().is_some_and(|arch| arch != USUAL_ARCH)
    }

    /// The size of its pages, bytes: a ring buffer's positions begin a page each (`struct bpf_ringbuf`).
    pub fn page_size(&self) -> Lookup<u64> {
        let position = || self.member(self.find("bpf_ringbuf", Kind::Struct)?, "consumer_pos");
        let size = position().map(|member| u64::from(member.bit_offset) / 8);
        match size.filter(|size| size.is_power_of_two() && (1 << 12..=1 << 18).contains(size)) {
            Some(size) => Lookup::Found(size),
            None if self.is_foreign() => {
                Lookup::Unknown("the kernel's types do not tell the size of its pages".into())
            }
            None => Lookup::Found(USUAL_PAGE),
        }
    }

    /// The name of its architecture with the byte order that its types are in, and its page size where that is not the
    /// usual one: `arm64, 16 KiB pages`. `None` for an ordinary kernel.
    pub fn foreign_words(&self) -> Option<String> {
        let arch = self.arch().found()?;
        let name = self.arch_name(arch);
        match self.page_size() {
            Lookup::Found(USUAL_PAGE) if arch == USUAL_ARCH => None,
            Lookup::Found(USUAL_PAGE) => Some(name),
            Lookup::Found(size) => Some(format!("{name}, {} KiB pages", size >> 10)),
            _ => Some(format!("{name}, pages of unknown size")),
        }
    }

    /// The architecture's name, `ppc64le` where the types are in that order.
    pub fn arch_name(&self, arch: Arch) -> String {
        let little = arch == Arch::Powerpc64 && self.btf().byte_order() == ByteOrder::Little;
        format!("{}{}", arch.as_str(), if little { "le" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::build::{Builder, Field};
    use crate::kernel::Target;

    fn kernel_of(add: impl FnOnce(&mut Builder)) -> Target {
        let mut btf = Builder::new();
        add(&mut btf);
        Target { name: "made".to_owned(), btf: btf.finish(), ..Target::default() }
    }

    fn ask(target: &Target) -> (Option<Arch>, Option<u64>, Option<String>) {
        let kernel = Kernel::new(target).unwrap();
        (kernel.arch().found(), kernel.page_size().found(), kernel.foreign_words())
    }

    fn ringbuf(btf: &mut Builder, page: u32) {
        let long = btf.int("unsigned long", 8, false);
        btf.composite("bpf_ringbuf", page * 3, &[Field::new("consumer_pos", long, page * 8)]);
    }

    #[test]
    fn registers_tell_the_architecture_and_ring_buffers_the_pages() {
        for (arch, of, member) in MARKS {
            let target = kernel_of(|btf| {
                let long = btf.int("unsigned long", 8, false);
                btf.composite(of, 8, &[Field::new(member, long, 0)]);
                ringbuf(btf, 4096);
            });
            assert_eq!(ask(&target).0, Some(arch));
            assert_eq!(ask(&target).2.is_none(), arch == Arch::X86_64);
        }
        let target = kernel_of(|btf| {
            let long = btf.int("unsigned long", 8, false);
            btf.composite("user_pt_regs", 8, &[Field::new("pstate", long, 0)]);
            ringbuf(btf, 16384);
        });
        let words = Some("arm64, 16 KiB pages".to_owned());
        assert_eq!(ask(&target), (Some(Arch::Arm64), Some(16384), words));
    }

    #[test]
    fn what_is_not_told_is_usual_unless_the_machine_is_foreign() {
        let mut target = kernel_of(|_| {});
        assert_eq!(ask(&target), (None, Some(4096), None));
        target.arch = Some(Arch::Arm64);
        assert_eq!(ask(&target), (Some(Arch::Arm64), None, Some("arm64, pages of unknown size".into())));
        let odd = kernel_of(|btf| ringbuf(btf, 4096 + 8));
        assert_eq!(ask(&odd).1, Some(4096));
    }
}
