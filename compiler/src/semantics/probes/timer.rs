//! Timed and counted probes: `interval`, `profile`, `software`, `hardware`.

use crate::diagnostics::Diagnostic;
use crate::plan::{Attach, HardwareEvent, ProfileRate, ProgramKind, SoftwareEvent};

use super::{Expanded, ProbeContext, ProbeType, Request};

pub const INTERVAL: ProbeType = ProbeType {
    name: "interval",
    aliases: &["i"],
    variants: &["interval:count", "interval:us:count", "interval:ms:count", "interval:s:count", "interval:hz:rate"],
    documentation: "Fires at a fixed interval, on one CPU.",
    expand: interval,
};

pub const PROFILE: ProbeType = ProbeType {
    name: "profile",
    aliases: &["p"],
    variants: &["profile:count", "profile:us:count", "profile:ms:count", "profile:s:count", "profile:hz:rate"],
    documentation: "Fires at a fixed interval, on every CPU.",
    expand: profile,
};

pub const SOFTWARE: ProbeType = ProbeType {
    name: "software",
    aliases: &["s"],
    variants: &["software:event:", "software:event:count"],
    documentation: "Fires after every `count` software events of the kernel.",
    expand: software,
};

pub const HARDWARE: ProbeType = ProbeType {
    name: "hardware",
    aliases: &["h"],
    variants: &["hardware:event:", "hardware:event:count"],
    documentation: "Fires after every `count` events of the processor's counters.",
    expand: hardware,
};

/// Name, alias, `PERF_COUNT_SW_*`, default count.
const SOFTWARE_EVENTS: &[(&str, &str, u64, u64)] = &[
    ("cpu-clock", "cpu", 0, 1_000_000),
    ("task-clock", "task-clock", 1, 1_000_000),
    ("page-faults", "faults", 2, 100),
    ("context-switches", "cs", 3, 1_000),
    ("cpu-migrations", "cpu-migrations", 4, 1),
    ("minor-faults", "minor-faults", 5, 100),
    ("major-faults", "major-faults", 6, 1),
    ("alignment-faults", "alignment-faults", 7, 1),
    ("emulation-faults", "emulation-faults", 8, 1),
    ("dummy", "dummy", 9, 1),
    ("bpf-output", "bpf-output", 10, 1),
];

/// Name, alias, `PERF_COUNT_HW_*`, default count.
const HARDWARE_EVENTS: &[(&str, &str, u64, u64)] = &[
    ("cpu-cycles", "cycles", 0, 1_000_000),
    ("instructions", "instructions", 1, 1_000_000),
    ("cache-references", "cache-references", 2, 1_000_000),
    ("cache-misses", "cache-misses", 3, 1_000_000),
    ("branch-instructions", "branches", 4, 100_000),
    ("branch-misses", "branch-misses", 5, 100_000),
    ("bus-cycles", "bus-cycles", 6, 100_000),
    ("frontend-stalls", "frontend-stalls", 7, 1_000_000),
    ("backend-stalls", "backend-stalls", 8, 1_000_000),
    ("ref-cycles", "ref-cycles", 9, 1_000_000),
];

/// Every name of the events of `software` or `hardware`.
pub fn event_names(provider: &str) -> impl Iterator<Item = &'static str> {
    let events = if provider == "hardware" { HARDWARE_EVENTS } else { SOFTWARE_EVENTS };
    events.iter().flat_map(|(long, short, ..)| [*long].into_iter().chain((long != short).then_some(*short)))
}

type Outcome = Result<Vec<Expanded>, Box<Diagnostic>>;

fn interval(request: &Request) -> Outcome {
    let period_ns = match rate(request, &INTERVAL)? {
        ProfileRate::PeriodNs(period) => period,
        ProfileRate::Hertz(hertz) => 1_000_000_000 / hertz,
    };
    Ok(one(request, "interval", Attach::Interval { period_ns }))
}

fn profile(request: &Request) -> Outcome {
    let rate = rate(request, &PROFILE)?;
    Ok(one(request, "profile", Attach::Profile { rate }))
}

/// A probe that is called what was written, but for a plain duration: that is told in microseconds.
fn one(request: &Request, provider: &'static str, attach: Attach) -> Vec<Expanded> {
    let period = match attach {
        Attach::Interval { period_ns } | Attach::Profile { rate: ProfileRate::PeriodNs(period_ns) } => period_ns,
        _ => 0,
    };
    let name = match request.parts.as_slice() {
        [_] if period > 0 => format!("{provider}:us:{}", period / 1_000),
        parts => [&[provider.to_owned()], parts].concat().join(":"),
    };
    let mut context = ProbeContext::new(ProgramKind::PerfEvent, provider, name);
    context.arguments = super::Arguments::Registers;
    vec![Expanded { attach, context, span: request.point.span }]
}

/// In nanoseconds.
const SHORTEST_PERIOD: u64 = 1_000;

/// `unit:count` or a plain duration.
fn rate(request: &Request, ty: &ProbeType) -> Result<ProfileRate, Box<Diagnostic>> {
    let (unit, count) = match request.parts.as_slice() {
        [count] => ("ns", count),
        [unit, count] => (unit.as_str(), count),
        _ => return Err(request.wrong_form(ty)),
    };
    let count = parse_count(count).ok_or_else(|| request.wrong_form(ty))?;
    let scale = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "hz" => 0,
        other => {
            let diagnostic = request.error("invalid-probe", format!("invalid unit of {}: {other}", ty.name));
            return Err(Box::new(diagnostic.hint("the units are us, ms, s and hz")));
        }
    };
    if count == 0 {
        return Err(request.error("invalid-probe", format!("the count of {} must be above 0", ty.name)));
    }
    match count.checked_mul(scale) {
        _ if scale == 0 => Ok(ProfileRate::Hertz(count)),
        Some(period) if period < SHORTEST_PERIOD => {
            let message = format!(
                "Invalid rate of {} probe. Minimum is {SHORTEST_PERIOD} or 1us. Found: {period} nanoseconds",
                ty.name
            );
            let diagnostic = request.error("invalid-probe", message);
            Err(Box::new(diagnostic.hint("a number without a unit means nanoseconds: write 10ms, or ms:10")))
        }
        Some(period) => Ok(ProfileRate::PeriodNs(period)),
        None => Err(request.error("invalid-probe", format!("{count} {unit} is too long"))),
    }
}

/// `100`, `1e6`, `1_000`, `10ms`
fn parse_count(text: &str) -> Option<u64> {
    let text = text.replace('_', "");
    if let Some((mantissa, exponent)) = text.split_once(['e', 'E']) {
        let power = 10u64.checked_pow(exponent.parse().ok()?)?;
        return mantissa.parse::<u64>().ok()?.checked_mul(power);
    }
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split)?;
    let scale = match unit {
        "" | "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

fn software(request: &Request) -> Outcome {
    let (&(name, _, config, default_period), period) = counted(request, &SOFTWARE, SOFTWARE_EVENTS)?;
    let event = SoftwareEvent { name, config, default_period };
    Ok(one(request, "software", Attach::Software { event, period }))
}

fn hardware(request: &Request) -> Outcome {
    let (&(name, _, config, default_period), period) = counted(request, &HARDWARE, HARDWARE_EVENTS)?;
    let event = HardwareEvent { name, config, default_period };
    Ok(one(request, "hardware", Attach::Hardware { event, period }))
}

type Counted = (&'static str, &'static str, u64, u64);

fn counted<'a>(
    request: &Request,
    ty: &ProbeType,
    events: &'a [Counted],
) -> Result<(&'a Counted, u64), Box<Diagnostic>> {
    let (name, count) = match request.parts.as_slice() {
        [name] => (name, ""),
        [name, count] => (name, count.as_str()),
        _ => return Err(request.wrong_form(ty)),
    };
    let Some(event) = events.iter().find(|(long, short, ..)| long == name || short == name) else {
        return Err(request.not_found(&format!("{} event", ty.name), name, events.iter().map(|(long, ..)| *long)));
    };
    if count.is_empty() {
        return Ok((event, event.3));
    }
    match parse_count(count) {
        Some(period) if period > 0 => Ok((event, period)),
        _ => Err(request.wrong_form(ty)),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_count;

    #[test]
    fn counts_may_be_scientific_or_durations() {
        assert_eq!(parse_count("1e6"), Some(1_000_000));
        assert_eq!(parse_count("10ms"), Some(10_000_000));
        assert_eq!(parse_count("1_000"), Some(1_000));
        assert_eq!(parse_count("x"), None);
        assert_eq!(parse_count(""), None);
    }
}
