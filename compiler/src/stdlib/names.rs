//! Names for numbers: errors, signals, system calls.

use syscalls::Sysno;

use crate::semantics::lower::{Lowered, Lowerer, Operand, text_literal};
use crate::types::Type;

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "strerror",
        signatures: &["strerror_t strerror(int error)"],
        documentation: "The text of an error number, as strerror(3) gives it.",
        example: "tracepoint:syscalls:sys_exit_openat /args.ret < 0/ { @[strerror(-args.ret)] = count(); }",
        mode: Mode::Asynchronous,
        arguments: (1, Some(1)),
        lower: Lower::Value(error_text),
        ..Entry::BASE
    },
    Entry {
        name: "signal_name",
        signatures: &["string signal_name(int sig)"],
        documentation: "What a signal is called, as strsignal(3) says it: `Interrupt` for 2.",
        example: "tracepoint:signal:signal_deliver { @[signal_name(args.sig)] = count(); }",
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| named(lowerer, call, &SIGNALS)),
        ..Entry::BASE
    },
    Entry {
        name: "syscall_name",
        signatures: &["string syscall_name(int number)"],
        documentation: "The name of a system call of this architecture: `read` for 0 on x86_64.",
        example: "tracepoint:raw_syscalls:sys_enter { @[syscall_name(args.id)] = count(); }",
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| named(lowerer, call, &SYSTEM_CALLS)),
        ..Entry::BASE
    },
];

/// Numbers from 0 and their names.
struct Names {
    name: fn(u32) -> Option<String>,
    /// One more than the highest number.
    count: fn() -> u32,
    /// What stands for every other number.
    unknown: &'static str,
}

/// Signals are numbered 0 to 64.
const SIGNALS: Names = Names { name: signal_text, count: || 65, unknown: "N/A" };
const SYSTEM_CALLS: Names =
    Names { name: system_call, count: || Sysno::last().id() as u32 + 1, unknown: "Unknown syscall" };

/// The first real-time signal that programs may use; glibc keeps 32 and 33 for itself.
const FIRST_REAL_TIME: u32 = 34;

/// The texts of strsignal(3) for the signals 1 to 31 of Linux.
const SIGNAL_TEXTS: [&str; 31] = [
    "Hangup",
    "Interrupt",
    "Quit",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Aborted",
    "Bus error",
    "Floating point exception",
    "Killed",
    "User defined signal 1",
    "Segmentation fault",
    "User defined signal 2",
    "Broken pipe",
    "Alarm clock",
    "Terminated",
    "Stack fault",
    "Child exited",
    "Continued",
    "Stopped (signal)",
    "Stopped",
    "Stopped (tty input)",
    "Stopped (tty output)",
    "Urgent I/O condition",
    "CPU time limit exceeded",
    "File size limit exceeded",
    "Virtual timer expired",
    "Profiling timer expired",
    "Window changed",
    "I/O possible",
    "Power failure",
    "Bad system call",
];

/// The signals' names without `SIG`, from 1.
const SIGNAL_NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// The number of a signal by its name, `SIGKILL` or `kill`.
pub fn signal_number(name: &str) -> Option<i64> {
    let upper = name.to_ascii_uppercase();
    let short = match upper.strip_prefix("SIG").unwrap_or(&upper) {
        "POLL" => "IO",
        "IOT" => "ABRT",
        short => short,
    };
    SIGNAL_NAMES.iter().position(|known| *known == short).map(|index| index as i64 + 1)
}

/// `SIGHUP`, `SIGINT` …
pub fn signal_names() -> impl Iterator<Item = String> {
    SIGNAL_NAMES.iter().map(|name| format!("SIG{name}"))
}

fn signal_text(number: u32) -> Option<String> {
    if number >= (SIGNALS.count)() {
        return None;
    }
    let known = number.checked_sub(1).and_then(|index| SIGNAL_TEXTS.get(index as usize));
    Some(match (known, number.checked_sub(FIRST_REAL_TIME)) {
        (Some(text), _) => (*text).to_string(),
        (None, Some(index)) => format!("Real-time signal {index}"),
        (None, None) => format!("Unknown signal {number}"),
    })
}

fn system_call(number: u32) -> Option<String> {
    Sysno::new(number as usize).map(|call| call.name().to_string())
}

fn error_text(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let argument = lowerer.value_argument(argument)?;
    let operand = lowerer.expr(argument)?;
    match &operand.ty {
        Type::Void => lowerer.unknown(&operand).map(|()| operand),
        ty if ty.is_integer() => {
            let number = lowerer.register(operand)?;
            Ok(Operand::scalar(Type::ErrorName, number, call.span))
        }
        other => {
            let message = format!("strerror() takes an error number, not {other}");
            Err(lowerer.error("type-mismatch", operand.span, message))
        }
    }
}

/// Looks a number up: now if it is a constant, else in a table that the program carries along.
fn named(lowerer: &mut Lowerer, call: &CallSite, names: &Names) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let argument = lowerer.value_argument(argument)?;
    let operand = lowerer.expr(argument)?;
    match (&operand.ty, operand.constant()) {
        (Type::Void, _) => return lowerer.unknown(&operand).map(|()| operand),
        (ty, Some(number)) if ty.is_integer() => {
            let text = u32::try_from(number).ok().and_then(names.name);
            return Ok(text_literal(text.unwrap_or_else(|| names.unknown.to_string()), call.span));
        }
        (ty, _) if ty.is_integer() => {}
        (other, _) => {
            let message = format!("{}() takes a number, not {other}", call.name);
            return Err(lowerer.error("type-mismatch", operand.span, message));
        }
    }
    let number = lowerer.register(operand)?;
    Ok(lowerer.text_from_table((0..(names.count)()).map(names.name), names.unknown, number, call.span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_texts() {
        assert_eq!(signal_number("SIGKILL"), Some(9));
        assert_eq!(signal_number("term"), Some(15));
        assert_eq!(signal_number("SIGNOSUCH"), None);
        assert_eq!(signal_text(9).as_deref(), Some("Killed"));
        assert_eq!(signal_text(33).as_deref(), Some("Unknown signal 33"));
        assert_eq!(signal_text(34).as_deref(), Some("Real-time signal 0"));
        assert_eq!(signal_text(65), None);
    }
}
