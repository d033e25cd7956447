//! Packets: copied by the kernel, written to a file that tcpdump reads.

use crate::ir::{Expr as Ir, Helper, Op, Scalar, Stmt};
use crate::plan::{EventPlan, PACKET_HEADER_SIZE};
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::types::Type;

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[Entry {
    name: "skboutput",
    signatures: &["int64 skboutput(const string path, struct sk_buff *skb, uint64 length, const uint64 offset)"],
    documentation: "Writes a packet to a pcap file of raw IP packets: its first `length` bytes, without the first `offset` of them (14 leave an Ethernet header out). 0, or a negative error.",
    example: "fentry:__dev_queue_xmit { @[skboutput(\"sent.pcap\", args.skb, args.skb.len, 14)] = count(); }",
    mode: Mode::Asynchronous,
    probes: &["fentry", "fexit", "rawtracepoint"],
    kernel: Some("5.5"),
    arguments: (4, Some(4)),
    lower: Lower::Value(output),
    ..Entry::BASE
}];

/// `BPF_F_CURRENT_CPU`, and where in the flags the length is (`BPF_F_CTXLEN_MASK`).
const CURRENT_CPU: i64 = 0xffff_ffff;
const LENGTH_SHIFT: i64 = 32;
const LONGEST: i64 = 0xf_ffff;

fn output(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [path, packet, length, offset] = call.arguments else { return Ok(Operand::void(call.span)) };
    let path = lowerer.constant_text(path, "the path given to skboutput()")?;
    let packet = lowerer.value_argument(packet)?;
    let packet = lowerer.typed_pointer(packet)?;
    if packet.is_unknown() {
        return lowerer.unknown(&packet).map(|()| Operand::void(call.span));
    }
    if !matches!(packet.ty, Type::Pointer { .. }) {
        let message = format!("skboutput() takes a pointer to a struct sk_buff, not {}", packet.ty);
        return Err(lowerer.error("type-mismatch", packet.span, message));
    }
    let packet = lowerer.register(packet)?;
    let length = lowerer.value_argument(length)?;
    let length = lowerer.integer(length)?;
    let length = lowerer.bind(Scalar::I64, Ir::binary(Op::And, length, Ir::int(LONGEST)));
    let offset = lowerer.value_argument(offset)?;
    let offset = lowerer.constant_u32(offset, "the offset given to skboutput()")?;
    let header = Ir::Slot(lowerer.new_slot(PACKET_HEADER_SIZE, 8));
    lowerer.header(EventPlan::Packet { path, offset }, &header);
    let now = lowerer.helper(Helper::KTIME_GET_BOOT_NS, vec![]);
    lowerer.emit(Stmt::Store { ty: Scalar::I64, address: header.clone().offset(8), value: now });
    lowerer.emit(Stmt::Store { ty: Scalar::I64, address: header.clone().offset(16), value: length.clone() });
    let cpus = lowerer.info.possible_cpus();
    let buffers = Ir::Map(lowerer.plan.packets(cpus));
    let flags = Ir::binary(Op::Or, Ir::binary(Op::Shl, length, Ir::int(LENGTH_SHIFT)), Ir::int(CURRENT_CPU));
    let size = Ir::int(i64::from(PACKET_HEADER_SIZE));
    lowerer.emit(Stmt::At(call.span));
    let result = lowerer.helper(Helper::SKB_OUTPUT, vec![packet, buffers, flags, header, size]);
    Ok(Operand::scalar(Type::I64, result, call.span))
}
