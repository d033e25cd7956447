//! Headers of which scripts want only what is known by heart, so that no compiler is asked for them.

type Constants = &'static [(&'static str, &'static str)];

/// C11 7.20.2: limits of integers.
const LIMITS: Constants = &[
    ("INT8_MIN", "-128"),
    ("INT8_MAX", "127"),
    ("UINT8_MAX", "255"),
    ("INT16_MIN", "-32768"),
    ("INT16_MAX", "32767"),
    ("UINT16_MAX", "65535"),
    ("INT32_MIN", "-2147483648"),
    ("INT32_MAX", "2147483647"),
    ("UINT32_MAX", "4294967295"),
    ("INT64_MIN", "-9223372036854775808"),
    ("INT64_MAX", "9223372036854775807"),
    ("UINT64_MAX", "18446744073709551615"),
    ("SIZE_MAX", "18446744073709551615"),
];
const NULL: Constants = &[("NULL", "((void *)0)")];

/// What a header defines beyond types that every script has; `None`: it has to be read.
pub fn macros(header: &str) -> Option<Constants> {
    match header {
        "stdint.h" | "inttypes.h" => Some(LIMITS),
        "stddef.h" => Some(NULL),
        "stdbool.h" | "sys/types.h" => Some(&[]),
        _ => None,
    }
}
