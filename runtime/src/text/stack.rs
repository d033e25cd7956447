//! The text of a stack: one line a frame, innermost first.

use std::fmt::Write;

use probebook_compiler::types::StackMode;

use super::escape::push_escaped;
use crate::value::{Frame, FrameSymbol, Stack};

const INDENT: &str = "        ";

/// bpftrace's modes, documented at `kstack` and `stack_mode`: a newline, then the frames.
pub(super) fn push(out: &mut String, stack: &Stack) {
    out.push('\n');
    for frame in stack.frames.iter() {
        if frame.address == u64::MAX {
            let _ = writeln!(out, "{INDENT}<unwind failure>");
            break;
        }
        match stack.mode {
            StackMode::Bpftrace => push_named(out, frame),
            StackMode::Perf => push_perf(out, frame, stack.user),
            StackMode::Raw => _ = writeln!(out, "{:x}", frame.address),
            StackMode::BuildId => push_build_id(out, frame),
        }
    }
}

/// `name+offset@file:line`, inlined functions on lines of their own above it.
fn push_named(out: &mut String, frame: &Frame) {
    let Some(symbol) = &frame.symbol else {
        let _ = writeln!(out, "{INDENT}{:#x}", frame.address);
        return;
    };
    for inlined in &symbol.inlined {
        let _ = write!(out, "{INDENT}[inlined] ");
        push_escaped(out, inlined.as_bytes());
        out.push('\n');
    }
    out.push_str(INDENT);
    push_symbol(out, symbol);
    if let Some(location) = &symbol.location {
        out.push('@');
        push_escaped(out, location.as_bytes());
    }
    out.push('\n');
}

/// `address name+offset (file)` as `perf script` has it.
fn push_perf(out: &mut String, frame: &Frame, user: bool) {
    let address = frame.address;
    let Some(symbol) = &frame.symbol else {
        let unknown = if user { " ([unknown])" } else { "" };
        let _ = writeln!(out, "\t{address:x} {address:#x}{unknown}");
        return;
    };
    for inlined in &symbol.inlined {
        let name = inlined.split_once('@').map_or(inlined.as_str(), |(name, _)| name);
        let _ = write!(out, "\t{address:x} ");
        push_escaped(out, name.as_bytes());
        out.push_str(" (inlined)\n");
    }
    let _ = write!(out, "\t{address:x} ");
    push_symbol(out, symbol);
    if user {
        let module = if symbol.module.is_empty() { "[unknown]" } else { &symbol.module };
        out.push_str(" (");
        push_escaped(out, module.as_bytes());
        out.push(')');
    }
    out.push('\n');
}

fn push_build_id(out: &mut String, frame: &Frame) {
    let _ = match &frame.symbol {
        Some(symbol) => writeln!(out, "{} {:#04x}", symbol.module, symbol.offset),
        None => writeln!(out, "{:x}", frame.address),
    };
}

fn push_symbol(out: &mut String, symbol: &FrameSymbol) {
    push_escaped(out, symbol.name.as_bytes());
    let _ = write!(out, "+{}", symbol.offset);
}
