//! Variables of the kernel by their addresses (`check_pseudo_btf_id`).

use crate::btf::{Kind as BtfKind, TypeId};
use crate::errno::Errno;
use crate::kernel::exceptions::Fact;
use crate::kernel::{Home, Lookup};
use crate::verifier::bpf_check::checker::Checker;
use crate::verifier::bpf_check::refusal::{Step, Stop, Why};
use crate::verifier::bpf_check::reg::{BtfOf, Flags, Kind, Reg};

impl Checker<'_, '_> {
    /// A variable or function of the kernel by its address (`check_pseudo_btf_id`): what the register holds.
    ///
    /// # Errors
    /// It is refused, or not modelled.
    pub fn kernel_variable(&mut self, home: Home, var: TypeId) -> Step<Reg> {
        if let Some(known) = self.records.variables.get(&(home, var)) {
            return Ok(*known);
        }
        let made = self.make_variable(home, var)?;
        self.records.variables.insert((home, var), made);
        Ok(made)
    }

    fn make_variable(&self, home: Home, var: TypeId) -> Step<Reg> {
        let btf = self.kernel.btf_of(home);
        let Some(ty) = btf.get(var) else { return Err(Stop::unmodelled("a variable that is not known")) };
        let memory = |size| Reg::new(Kind::Mem(size), Flags::RDONLY);
        if ty.kind() == BtfKind::Func {
            return Ok(memory(0));
        }
        if ty.kind() != BtfKind::Var {
            let message = format!("pseudo btf_id {} in ldimm64 isn't KIND_VAR or KIND_FUNC", var.0);
            return Err(Stop::einval(Why::Instruction, message));
        }
        match self.kernel.knows(Fact::AllSymbols) {
            Lookup::Found(()) => {}
            Lookup::Absent => {
                let name = btf.name(&ty);
                let message = format!("ldimm64 failed to find the address for kernel symbol '{name}'.");
                return Err(Stop::refused(Why::Instruction, Errno::ENOENT, message));
            }
            Lookup::Unknown(reason) => return Err(Stop::Unknown(reason)),
        }
        let section = btf.names().find(".data..percpu", BtfKind::DataSec);
        let percpu = section.and_then(|id| btf.get(id)).and_then(|ty| ty.data_sec());
        let Some(percpu) = percpu.filter(|_| home == Home::Vmlinux) else {
            return Err(Stop::unmodelled("whether a variable is there once for each CPU"));
        };
        let is_percpu = percpu.vars().any(|info| info.ty == var);
        let Some((id, of)) = btf.resolve(ty.target()) else {
            return Err(Stop::unmodelled("a variable that is not known"));
        };
        let object = self.type_at(BtfOf::Kernel(home), id);
        if is_percpu {
            return Ok(Reg::new(Kind::BtfId(object), Flags::PERCPU));
        }
        if of.composite().is_some() {
            return Ok(Reg::new(Kind::BtfId(object), Flags::NONE));
        }
        match btf.size_of(id) {
            Some(size) => Ok(memory(size as u32)),
            None => {
                let name = btf.name(&of);
                let message = format!("ldimm64 unable to resolve the size of type '{name}': -22");
                Err(Stop::einval(Why::Instruction, message))
            }
        }
    }
}
