//! Which statements may be left out or run in vain: those without an effect.

use crate::codegen::walk;
use crate::ir::{Expr, Helper, Stmt};

/// Whether statements change nothing that outlives the run of the program: they read, compute, write to
/// their own memory, or end the program.
pub fn leaves_no_trace(stmts: &[Stmt]) -> bool {
    let own = |address: &Expr| match address {
        Expr::Slot(_) => true,
        Expr::Offset { base, .. } => matches!(**base, Expr::Slot(_)),
        _ => false,
    };
    let harmless = |stmt: &Stmt| match stmt {
        Stmt::At(_) | Stmt::Set(..) | Stmt::Evaluate(_) | Stmt::If { .. } => true,
        Stmt::Loop { .. } | Stmt::Break | Stmt::Return(_) => true,
        Stmt::Store { address: to, .. } | Stmt::Copy { to, .. } => own(to),
        Stmt::Zero { to, .. } | Stmt::Bytes { to, .. } => own(to),
        _ => false,
    };
    let calls = |expr: &Expr| match expr {
        Expr::Helper { id, .. } => !id.is_constant() && !is_clock(*id) && !only_reads(*id),
        Expr::Call { .. } | Expr::CallC { .. } => true,
        _ => false,
    };
    stmts.iter().all(|stmt| harmless(stmt) && walk::bodies(stmt).into_iter().all(leaves_no_trace))
        && !walk::any(stmts, &calls)
}

fn is_clock(id: Helper) -> bool {
    matches!(id, Helper::KTIME_GET_NS | Helper::KTIME_GET_BOOT_NS | Helper::KTIME_GET_TAI_NS | Helper::JIFFIES64)
}

/// Helpers that write to nothing but memory of the caller's, of which `leaves_no_trace` knows that it is a slot.
fn only_reads(id: Helper) -> bool {
    matches!(
        id,
        Helper::MAP_LOOKUP_ELEM
            | Helper::GET_CURRENT_COMM
            | Helper::GET_NUMA_NODE_ID
            | Helper::PROBE_READ_USER
            | Helper::PROBE_READ_KERNEL
            | Helper::PROBE_READ_USER_STR
            | Helper::PROBE_READ_KERNEL_STR
            | Helper::GET_NS_CURRENT_PID_TGID
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{MapIndex, Scalar, Slot, Var};

    fn helper(id: Helper) -> Stmt {
        Stmt::Set(Var(0), Expr::Helper { id, arguments: vec![], returns: Scalar::I64 })
    }

    fn store(address: Expr) -> Stmt {
        Stmt::Store { ty: Scalar::I64, address, value: Expr::int(1) }
    }

    #[test]
    fn what_is_written_elsewhere_leaves_a_trace() {
        assert!(leaves_no_trace(&[helper(Helper::GET_CURRENT_COMM), store(Expr::Slot(Slot(0)).offset(8))]));
        assert!(!leaves_no_trace(&[store(Expr::MapValue { map: MapIndex(0), offset: 0 })]));
        assert!(!leaves_no_trace(&[helper(Helper::RINGBUF_OUTPUT)]));
        assert!(!leaves_no_trace(&[Stmt::Loop { body: vec![helper(Helper::MAP_UPDATE_ELEM)] }]));
        assert!(leaves_no_trace(&[Stmt::Return(None)]));
        let call = Expr::CallC { symbol: "f".to_owned(), arguments: vec![], returns: None };
        assert!(!leaves_no_trace(&[Stmt::Evaluate(call)]), "nobody knows what C does");
    }
}
