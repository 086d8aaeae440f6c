//! All rules with their checks.

use super::context::Context;
use crate::finding::Outcome;
use crate::rule::Rule;

/// What a rule does.
pub(super) type Check = fn(&Context<'_, '_>, &mut Outcome);

/// Every rule with its check, by family: the order of lists and reports.
pub(super) static REGISTRY: [(&Rule, Check); 106] = [
    (&super::missing_btf::MISSING_BTF, super::missing_btf::check),
    (&super::malformed_btf::MALFORMED_BTF, super::malformed_btf::check),
    (&super::missing_line_info::MISSING_LINE_INFO, super::missing_line_info::check),
    (&super::no_struct_ops::NO_STRUCT_OPS, super::no_struct_ops::check),
    (&super::no_sched_ext::NO_SCHED_EXT, super::no_sched_ext::check),
    (&super::legacy_maps::LEGACY_MAPS, super::legacy_maps::check),
    (&super::non_gpl_license::NON_GPL_LICENSE, super::non_gpl_license::check),
    (&super::refused_symbol::REFUSED_SYMBOL, super::refused_symbol::check),
    (&super::invalid_relocation::INVALID_RELOCATION, super::invalid_relocation::check),
    (&super::unresolved_extern::UNRESOLVED_EXTERN, super::unresolved_extern::check),
    (&super::unfilled_scx_constants::UNFILLED_SCX_CONSTANTS, super::unfilled_scx_constants::check),
    (&super::foreign_byte_order::FOREIGN_BYTE_ORDER, super::foreign_byte_order::check),
    (&super::unnamed_parameter::UNNAMED_PARAMETER, super::unnamed_parameter::check),
    (&super::forward_declared_kptr::FORWARD_DECLARED_KPTR, super::forward_declared_kptr::check),
    (&super::several_arenas_in_object::SEVERAL_ARENAS_IN_OBJECT, super::several_arenas_in_object::check),
    (&super::multiple_arenas::MULTIPLE_ARENAS, super::multiple_arenas::check),
    (&super::missing_arena::MISSING_ARENA, super::missing_arena::check),
    (&super::arena_not_always_mapped::ARENA_NOT_ALWAYS_MAPPED, super::arena_not_always_mapped::check),
    (&super::invalid_arena_definition::INVALID_ARENA_DEFINITION, super::invalid_arena_definition::check),
    (
        &super::arena_globals_without_arena::ARENA_GLOBALS_WITHOUT_ARENA,
        super::arena_globals_without_arena::check,
    ),
    (&super::arena_globals_too_large::ARENA_GLOBALS_TOO_LARGE, super::arena_globals_too_large::check),
    (&super::several_arenas_in_program::SEVERAL_ARENAS_IN_PROGRAM, super::several_arenas_in_program::check),
    (&super::cast_without_arena::CAST_WITHOUT_ARENA, super::cast_without_arena::check),
    (
        &super::invalid_address_space_cast::INVALID_ADDRESS_SPACE_CAST,
        super::invalid_address_space_cast::check,
    ),
    (
        &super::arena_argument_without_arena::ARENA_ARGUMENT_WITHOUT_ARENA,
        super::arena_argument_without_arena::check,
    ),
    (
        &super::arena_argument_as_kernel_pointer::ARENA_ARGUMENT_AS_KERNEL_POINTER,
        super::arena_argument_as_kernel_pointer::check,
    ),
    (&super::unsupported_arena_access::UNSUPPORTED_ARENA_ACCESS, super::unsupported_arena_access::check),
    (&super::invalid_struct_ops_member::INVALID_STRUCT_OPS_MEMBER, super::invalid_struct_ops_member::check),
    (
        &super::unreferenced_struct_ops_program::UNREFERENCED_STRUCT_OPS_PROGRAM,
        super::unreferenced_struct_ops_program::check,
    ),
    (&super::unknown_struct_ops_type::UNKNOWN_STRUCT_OPS_TYPE, super::unknown_struct_ops_type::check),
    (&super::unknown_ops_member::UNKNOWN_OPS_MEMBER, super::unknown_ops_member::check),
    (&super::mismatched_ops_member::MISMATCHED_OPS_MEMBER, super::mismatched_ops_member::check),
    (&super::changed_op_signature::CHANGED_OP_SIGNATURE, super::changed_op_signature::check),
    (&super::stubless_member::STUBLESS_MEMBER, super::stubless_member::check),
    (
        &super::program_in_several_members::PROGRAM_IN_SEVERAL_MEMBERS,
        super::program_in_several_members::check,
    ),
    (&super::optional_ops_quirk::OPTIONAL_OPS_QUIRK, super::optional_ops_quirk::check),
    (&super::invalid_ops_name::INVALID_OPS_NAME, super::invalid_ops_name::check),
    (&super::unknown_ops_flag::UNKNOWN_OPS_FLAG, super::unknown_ops_flag::check),
    (&super::ops_value_out_of_range::OPS_VALUE_OUT_OF_RANGE, super::ops_value_out_of_range::check),
    (&super::enq_last_without_enqueue::ENQ_LAST_WITHOUT_ENQUEUE, super::enq_last_without_enqueue::check),
    (
        &super::per_node_idle_without_builtin_idle::PER_NODE_IDLE_WITHOUT_BUILTIN_IDLE,
        super::per_node_idle_without_builtin_idle::check,
    ),
    (&super::sub_sched_in_cpu_form::SUB_SCHED_IN_CPU_FORM, super::sub_sched_in_cpu_form::check),
    (&super::sub_sched_without_parent::SUB_SCHED_WITHOUT_PARENT, super::sub_sched_without_parent::check),
    (&super::hard_coded_hotplug_seq::HARD_CODED_HOTPLUG_SEQ, super::hard_coded_hotplug_seq::check),
    (&super::no_hotplug_callbacks::NO_HOTPLUG_CALLBACKS, super::no_hotplug_callbacks::check),
    (&super::deprecated_op::DEPRECATED_OP, super::deprecated_op::check),
    (&super::deprecated_ops_flag::DEPRECATED_OPS_FLAG, super::deprecated_ops_flag::check),
    (&super::sleepable_op::SLEEPABLE_OP, super::sleepable_op::check),
    (&super::missing_attach_target::MISSING_ATTACH_TARGET, super::missing_attach_target::check),
    (&super::missing_program_type::MISSING_PROGRAM_TYPE, super::missing_program_type::check),
    (&super::missing_tracing_support::MISSING_TRACING_SUPPORT, super::missing_tracing_support::check),
    (&super::oversized_program::OVERSIZED_PROGRAM, super::oversized_program::check),
    (&super::too_many_subprograms::TOO_MANY_SUBPROGRAMS, super::too_many_subprograms::check),
    (&super::deep_call_chain::DEEP_CALL_CHAIN, super::deep_call_chain::check),
    (&super::stack_overflow::STACK_OVERFLOW, super::stack_overflow::check),
    (&super::unknown_helper::UNKNOWN_HELPER, super::unknown_helper::check),
    (&super::disallowed_helper::DISALLOWED_HELPER, super::disallowed_helper::check),
    (&super::timer_under_preempt_rt::TIMER_UNDER_PREEMPT_RT, super::timer_under_preempt_rt::check),
    (&super::malformed_instruction::MALFORMED_INSTRUCTION, super::malformed_instruction::check),
    (&super::unreachable_instruction::UNREACHABLE_INSTRUCTION, super::unreachable_instruction::check),
    (&super::invalid_context_access::INVALID_CONTEXT_ACCESS, super::invalid_context_access::check),
    (
        &super::nullable_argument_dereference::NULLABLE_ARGUMENT_DEREFERENCE,
        super::nullable_argument_dereference::check,
    ),
    (&super::direct_task_write::DIRECT_TASK_WRITE, super::direct_task_write::check),
    (&super::kernel_object_write::KERNEL_OBJECT_WRITE, super::kernel_object_write::check),
    (&super::too_many_maps::TOO_MANY_MAPS, super::too_many_maps::check),
    (&super::too_many_kfuncs::TOO_MANY_KFUNCS, super::too_many_kfuncs::check),
    (
        &super::nullable_result_dereference::NULLABLE_RESULT_DEREFERENCE,
        super::nullable_result_dereference::check,
    ),
    (&super::failing_init::FAILING_INIT, super::failing_init::check),
    (&super::call_under_spin_lock::CALL_UNDER_SPIN_LOCK, super::call_under_spin_lock::check),
    (&super::refused_by_verifier::REFUSED_BY_VERIFIER, super::refused_by_verifier::check),
    (&super::unreleased_reference::UNRELEASED_REFERENCE, super::unreleased_reference::check),
    (&super::sleep_under_lock::SLEEP_UNDER_LOCK, super::sleep_under_lock::check),
    (&super::disallow_during_fork::DISALLOW_DURING_FORK, super::disallow_during_fork::check),
    (&super::endless_loop::ENDLESS_LOOP, super::endless_loop::check),
    (&super::unusable_jump_table::UNUSABLE_JUMP_TABLE, super::unusable_jump_table::check),
    (&super::newer_libbpf::NEWER_LIBBPF, super::newer_libbpf::check),
    (&super::sleepable_tracepoint::SLEEPABLE_TRACEPOINT, super::sleepable_tracepoint::check),
    (&super::kept_kptr_as_error::KEPT_KPTR_AS_ERROR, super::kept_kptr_as_error::check),
    (&super::missing_kfunc::MISSING_KFUNC, super::missing_kfunc::check),
    (&super::mismatched_kfunc::MISMATCHED_KFUNC, super::mismatched_kfunc::check),
    (&super::unguarded_weak_kfunc::UNGUARDED_WEAK_KFUNC, super::unguarded_weak_kfunc::check),
    (&super::kfunc_outside_its_ops::KFUNC_OUTSIDE_ITS_OPS, super::kfunc_outside_its_ops::check),
    (&super::cpu_form_kfunc::CPU_FORM_KFUNC, super::cpu_form_kfunc::check),
    (&super::sleepable_kfunc::SLEEPABLE_KFUNC, super::sleepable_kfunc::check),
    (
        &super::idle_kfunc_without_builtin_idle::IDLE_KFUNC_WITHOUT_BUILTIN_IDLE,
        super::idle_kfunc_without_builtin_idle::check,
    ),
    (
        &super::flavored_kfunc_never_resolves::FLAVORED_KFUNC_NEVER_RESOLVES,
        super::flavored_kfunc_never_resolves::check,
    ),
    (&super::deprecated_kfunc::DEPRECATED_KFUNC, super::deprecated_kfunc::check),
    (
        &super::tid_lookup_without_its_flag::TID_LOOKUP_WITHOUT_ITS_FLAG,
        super::tid_lookup_without_its_flag::check,
    ),
    (&super::misused_enq_flags::MISUSED_ENQ_FLAGS, super::misused_enq_flags::check),
    (&super::throw_without_unwinder::THROW_WITHOUT_UNWINDER, super::throw_without_unwinder::check),
    (&super::unprotected_rcu_kfunc::UNPROTECTED_RCU_KFUNC, super::unprotected_rcu_kfunc::check),
    (&super::missing_ksym::MISSING_KSYM, super::missing_ksym::check),
    (&super::mismatched_ksym::MISMATCHED_KSYM, super::mismatched_ksym::check),
    (&super::unknown_kconfig::UNKNOWN_KCONFIG, super::unknown_kconfig::check),
    (&super::invalid_map_definition::INVALID_MAP_DEFINITION, super::invalid_map_definition::check),
    (&super::unknown_map_type::UNKNOWN_MAP_TYPE, super::unknown_map_type::check),
    (&super::unknown_map_flag::UNKNOWN_MAP_FLAG, super::unknown_map_flag::check),
    (&super::sleepable_map_use::SLEEPABLE_MAP_USE, super::sleepable_map_use::check),
    (
        &super::special_field_in_mapped_data::SPECIAL_FIELD_IN_MAPPED_DATA,
        super::special_field_in_mapped_data::check,
    ),
    (&super::unsupported_percpu_data::UNSUPPORTED_PERCPU_DATA, super::unsupported_percpu_data::check),
    (
        &super::unresolved_core_relocation::UNRESOLVED_CORE_RELOCATION,
        super::unresolved_core_relocation::check,
    ),
    (&super::ambiguous_core_relocation::AMBIGUOUS_CORE_RELOCATION, super::ambiguous_core_relocation::check),
    (&super::invalid_core_relocation::INVALID_CORE_RELOCATION, super::invalid_core_relocation::check),
    (&super::iterator_size_drift::ITERATOR_SIZE_DRIFT, super::iterator_size_drift::check),
    (&super::truncated_enum64::TRUNCATED_ENUM64, super::truncated_enum64::check),
    (&super::implicit_kfunc_arguments::IMPLICIT_KFUNC_ARGUMENTS, super::implicit_kfunc_arguments::check),
];

/// All rules, by family.
pub static RULES: [&Rule; REGISTRY.len()] = {
    let mut rules = [REGISTRY[0].0; REGISTRY.len()];
    let mut at = 1;
    while at < rules.len() {
        rules[at] = REGISTRY[at].0;
        at += 1;
    }
    rules
};

/// The rule of that name.
pub fn find(name: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_one_rule() {
        for rule in RULES {
            assert!(std::ptr::eq(find(rule.name).unwrap(), rule), "{} is registered twice", rule.name);
        }
    }

    #[test]
    fn every_file_of_a_rule_is_registered() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/checks");
        let mut defined = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let Ok(source) = std::fs::read_to_string(&path) else { continue };
            if source.lines().any(|line| line == "rule! {") {
                defined.push(path.file_stem().unwrap().to_str().unwrap().replace('_', "-"));
            }
        }
        let mut registered: Vec<_> = RULES.iter().map(|rule| rule.name.to_owned()).collect();
        defined.sort_unstable();
        registered.sort_unstable();
        assert_eq!(defined, registered);
    }

    /// A row that takes the rule of one file and the check of another would compile.
    #[test]
    fn a_rule_is_checked_by_its_own_file() {
        let source = include_str!("registry.rs").split("#[cfg(test)]").next().unwrap();
        let paths = source.split("super::").skip(1).filter_map(|path| path.split_once("::"));
        let mut rules = Vec::new();
        let mut checks = Vec::new();
        for (module, rest) in paths {
            if rest.starts_with("check,") || rest.starts_with("check)") {
                checks.push(module.to_owned());
            } else if let Some(name) = rest.split(',').next().filter(|name| *name == module.to_uppercase()) {
                rules.push(name.to_lowercase());
            }
        }
        assert_eq!(rules, checks);
        assert_eq!(rules.len(), REGISTRY.len());
    }

    #[test]
    fn pages_have_the_sections_that_explain_promises() {
        for rule in RULES {
            let page = rule.page();
            for heading in ["## Why it matters", "## Fix", "## Sources"] {
                assert!(page.contains(heading), "{}: {heading}", rule.name);
            }
            assert!(page.lines().next().unwrap().ends_with('.'), "{}: first line is no sentence", rule.name);
        }
    }
}
