//! Kfuncs that the verifier knows by name (`special_kfunc_list`).

/// A kfunc that the verifier knows by name.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    ObjNew,
    PercpuObjNew,
    ObjDrop,
    PercpuObjDrop,
    RefcountAcquire,
    ListPushFront,
    ListPushBack,
    ListAdd,
    ListPopFront,
    ListPopBack,
    ListDel,
    ListFront,
    ListBack,
    ListIsFirst,
    ListIsLast,
    ListEmpty,
    RbtreeAdd,
    RbtreeRemove,
    RbtreeFirst,
    RbtreeRoot,
    RbtreeLeft,
    RbtreeRight,
    CastToKernCtx,
    RdonlyCast,
    RcuReadLock,
    RcuReadUnlock,
    PreemptDisable,
    PreemptEnable,
    DynptrFromSkb,
    DynptrFromXdp,
    DynptrFromSkbMeta,
    DynptrFromFile,
    DynptrFileDiscard,
    DynptrSlice,
    DynptrSliceRdwr,
    DynptrClone,
    Throw,
    WqSetCallback,
    TaskWorkSchedule,
    IterCssTaskNew,
    SessionCookie,
    SessionIsReturn,
    GetKmemCache,
    LocalIrqSave,
    LocalIrqRestore,
    ResSpinLock,
    ResSpinUnlock,
    ResSpinLockIrqsave,
    ResSpinUnlockIrqrestore,
    Trap,
    XdpPullData,
}

impl Special {
    /// By its name in vmlinux.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "bpf_obj_new" | "bpf_obj_new_impl" => Self::ObjNew,
            "bpf_percpu_obj_new" | "bpf_percpu_obj_new_impl" => Self::PercpuObjNew,
            "bpf_obj_drop" | "bpf_obj_drop_impl" => Self::ObjDrop,
            "bpf_percpu_obj_drop" | "bpf_percpu_obj_drop_impl" => Self::PercpuObjDrop,
            "bpf_refcount_acquire" | "bpf_refcount_acquire_impl" => Self::RefcountAcquire,
            "bpf_list_push_front" | "bpf_list_push_front_impl" => Self::ListPushFront,
            "bpf_list_push_back" | "bpf_list_push_back_impl" => Self::ListPushBack,
            "bpf_list_add" => Self::ListAdd,
            "bpf_list_pop_front" => Self::ListPopFront,
            "bpf_list_pop_back" => Self::ListPopBack,
            "bpf_list_del" => Self::ListDel,
            "bpf_list_front" => Self::ListFront,
            "bpf_list_back" => Self::ListBack,
            "bpf_list_is_first" => Self::ListIsFirst,
            "bpf_list_is_last" => Self::ListIsLast,
            "bpf_list_empty" => Self::ListEmpty,
            "bpf_rbtree_add" | "bpf_rbtree_add_impl" => Self::RbtreeAdd,
            "bpf_rbtree_remove" => Self::RbtreeRemove,
            "bpf_rbtree_first" => Self::RbtreeFirst,
            "bpf_rbtree_root" => Self::RbtreeRoot,
            "bpf_rbtree_left" => Self::RbtreeLeft,
            "bpf_rbtree_right" => Self::RbtreeRight,
            "bpf_cast_to_kern_ctx" => Self::CastToKernCtx,
            "bpf_rdonly_cast" => Self::RdonlyCast,
            "bpf_rcu_read_lock" => Self::RcuReadLock,
            "bpf_rcu_read_unlock" => Self::RcuReadUnlock,
            "bpf_preempt_disable" => Self::PreemptDisable,
            "bpf_preempt_enable" => Self::PreemptEnable,
            "bpf_dynptr_from_skb" => Self::DynptrFromSkb,
            "bpf_dynptr_from_xdp" => Self::DynptrFromXdp,
            "bpf_dynptr_from_skb_meta" => Self::DynptrFromSkbMeta,
            "bpf_dynptr_from_file" => Self::DynptrFromFile,
            "bpf_dynptr_file_discard" => Self::DynptrFileDiscard,
            "bpf_dynptr_slice" => Self::DynptrSlice,
            "bpf_dynptr_slice_rdwr" => Self::DynptrSliceRdwr,
            "bpf_dynptr_clone" => Self::DynptrClone,
            "bpf_throw" => Self::Throw,
            "bpf_wq_set_callback" | "bpf_wq_set_callback_impl" => Self::WqSetCallback,
            "bpf_task_work_schedule_signal"
            | "bpf_task_work_schedule_signal_impl"
            | "bpf_task_work_schedule_resume"
            | "bpf_task_work_schedule_resume_impl" => Self::TaskWorkSchedule,
            "bpf_iter_css_task_new" => Self::IterCssTaskNew,
            "bpf_session_cookie" => Self::SessionCookie,
            "bpf_session_is_return" => Self::SessionIsReturn,
            "bpf_get_kmem_cache" => Self::GetKmemCache,
            "bpf_local_irq_save" => Self::LocalIrqSave,
            "bpf_local_irq_restore" => Self::LocalIrqRestore,
            "bpf_res_spin_lock" => Self::ResSpinLock,
            "bpf_res_spin_unlock" => Self::ResSpinUnlock,
            "bpf_res_spin_lock_irqsave" => Self::ResSpinLockIrqsave,
            "bpf_res_spin_unlock_irqrestore" => Self::ResSpinUnlockIrqrestore,
            "__bpf_trap" => Self::Trap,
            "bpf_xdp_pull_data" => Self::XdpPullData,
            _ => return None,
        })
    }

    /// Puts a node into a list (`is_bpf_list_push_kfunc`).
    pub fn is_list_push(self) -> bool {
        matches!(self, Self::ListPushFront | Self::ListPushBack | Self::ListAdd)
    }

    /// About lists (`is_bpf_list_api_kfunc`).
    pub fn is_list(self) -> bool {
        self.is_list_push()
            || matches!(
                self,
                Self::ListPopFront
                    | Self::ListPopBack
                    | Self::ListDel
                    | Self::ListFront
                    | Self::ListBack
                    | Self::ListIsFirst
                    | Self::ListIsLast
                    | Self::ListEmpty
            )
    }

    /// About trees (`is_bpf_rbtree_api_kfunc`).
    pub fn is_rbtree(self) -> bool {
        matches!(
            self,
            Self::RbtreeAdd
                | Self::RbtreeRemove
                | Self::RbtreeFirst
                | Self::RbtreeRoot
                | Self::RbtreeLeft
                | Self::RbtreeRight
        )
    }

    /// Allocates an object of the program's.
    pub fn is_new(self) -> bool {
        matches!(self, Self::ObjNew | Self::PercpuObjNew)
    }

    /// Gives an object of the program's back.
    pub fn is_drop(self) -> bool {
        matches!(self, Self::ObjDrop | Self::PercpuObjDrop)
    }

    /// About a `bpf_res_spin_lock` (`is_bpf_res_spin_lock_kfunc`).
    pub fn is_res_spin_lock(self) -> bool {
        matches!(
            self,
            Self::ResSpinLock
                | Self::ResSpinUnlock
                | Self::ResSpinLockIrqsave
                | Self::ResSpinUnlockIrqrestore
        )
    }

    /// Takes a `bpf_res_spin_lock`, and fails on a path of its own.
    pub fn takes_res_spin_lock(self) -> bool {
        matches!(self, Self::ResSpinLock | Self::ResSpinLockIrqsave)
    }
}
