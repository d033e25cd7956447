//! bpftrace text in, BPF program and a plan for it out.
//!
//! Pure: no I/O, no `bpf(2)`. What must be known of the running system is asked of
//! [`kernel_info::KernelInfo`].

pub mod c_compiler;
pub mod codegen;
pub mod diagnostics;
pub mod files;
pub mod helpers;
pub mod ir;
pub mod ir_text;
pub mod kernel_info;
pub mod pipeline;
pub mod plan;
pub mod semantics;
pub mod stdlib;
pub mod syntax;
pub mod types;
pub mod user_info;
