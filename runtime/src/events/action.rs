//! Does what an event asks for.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use jiff::Zoned;
use probebook_compiler::helpers;
use probebook_compiler::plan::{EVENT_HEADER_SIZE, EventPlan, Origin, Plan, Stream};
use probebook_compiler::syntax::ast::Span;
use probebook_compiler::types::Type;

use super::command;
use super::losses::LossCounters;
use super::ring::Pace;
use super::sink::{MapPrint, RuntimeError, Severity, Sink, TextSource};
use crate::decode::decode;
use crate::maps::{self, LiveMap, MapError};
use crate::text::{self, EventFormat, FormatError, TextOptions};
use crate::value::Resolve;

/// An event that the plan describes in a way that makes no sense: a bug of the compiler.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    #[error("event {index} has a format that cannot be used: {source}")]
    Format { index: usize, source: FormatError },
    #[error("event {index} speaks of map {map}, which the plan does not have")]
    Map { index: usize, map: usize },
}

/// What the events of a trace mean, compiled once.
pub struct Actions {
    actions: Vec<Action>,
    options: TextOptions,
    max_cat_bytes: u64,
    allow_unsafe: bool,
    /// Text is put together here.
    buffer: String,
    /// Addresses of watchpoints to be taken away, and who asked for it.
    unwatched: Vec<(u64, Span)>,
    /// Commands that came up when the trace was to end.
    skipped_commands: u64,
}

/// Calls back with what resolves the values of a map.
pub type ResolveFor<'a> = dyn Fn(&LiveMap, &mut dyn FnMut(&dyn Resolve)) + 'a;

/// What an action may use.
pub struct Context<'a> {
    pub resolve: &'a dyn Resolve,
    /// Resolves for a map, whose formats may be those of an earlier cell.
    pub resolve_for: &'a ResolveFor<'a>,
    pub losses: &'a mut LossCounters,
    /// Unwinds what an event of `dw_ustack` holds.
    pub unwind: &'a dyn Fn(&[u8]),
    /// Whether no command is to be started any more, and a running one is to end.
    pub is_interrupted: &'a dyn Fn() -> bool,
}

enum Action {
    Printf {
        format: EventFormat,
        stream: Stream,
    },
    Print {
        ty: Type,
    },
    PrintMap {
        map: Arc<LiveMap>,
        top: u32,
        div: u32,
    },
    PrintMapValue {
        map: Arc<LiveMap>,
    },
    Clear {
        map: Arc<LiveMap>,
    },
    Zero {
        map: Arc<LiveMap>,
    },
    Time {
        format: String,
    },
    Join {
        separator: String,
        capacity: usize,
    },
    Cat {
        format: EventFormat,
    },
    System {
        format: EventFormat,
    },
    Unwatch {
        span: Span,
    },
    Unwind,
    /// Comes on another way.
    Packet,
    RuntimeError {
        message: String,
        helper: Option<&'static str>,
        origin: Origin,
    },
}

impl Actions {
    /// `maps` are those of the plan.
    pub fn new(
        plan: &Plan,
        maps: &[Arc<LiveMap>],
        options: TextOptions,
        allow_unsafe: bool,
    ) -> Result<Actions, ActionError> {
        let actions = plan.events.iter().enumerate().map(|(index, event)| compile(index, event, maps));
        Ok(Actions {
            actions: actions.collect::<Result<_, _>>()?,
            options,
            max_cat_bytes: plan.settings.max_cat_bytes,
            allow_unsafe,
            buffer: String::new(),
            unwatched: Vec::new(),
            skipped_commands: 0,
        })
    }

    /// What `unwatch` was called for since the last call: probes are the trace's.
    pub fn take_unwatched(&mut self) -> Vec<(u64, Span)> {
        std::mem::take(&mut self.unwatched)
    }

    /// Does what one event asks for. Events that nobody could have sent are told as errors.
    pub fn handle(&mut self, event: &[u8], context: &mut Context<'_>, sink: &mut dyn Sink) -> Pace {
        let index = event.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes) as usize);
        let arguments = event.get(EVENT_HEADER_SIZE as usize..).unwrap_or_default();
        let Some((index, action)) = index.and_then(|index| Some((index, self.actions.get(index)?))) else {
            sink.message(Severity::Error, &format!("unknown event of {} bytes", event.len()), None);
            return Pace::Quick;
        };
        self.buffer.clear();
        match action {
            Action::Printf { format, stream } => {
                format.render(arguments, context.resolve, &self.options, &mut self.buffer);
                say(&self.buffer, stream, sink);
            }
            Action::Print { ty } => sink.value(decode(ty, arguments, context.resolve)),
            Action::PrintMap { map, top, div } => print_map(map, (*top, *div), index, context, sink),
            Action::PrintMapValue { map } => {
                let key = arguments.get(..map.plan().key_size as usize).unwrap_or(arguments);
                match maps::entry(map, key, context.resolve) {
                    Ok((key, value)) => sink.map_value(&map.name(), key, value),
                    Err(error) => sink.message(Severity::Error, &error.to_string(), None),
                }
            }
            Action::Clear { map } => tell(maps::clear(map), sink),
            Action::Zero { map } => tell(maps::zero(map), sink),
            Action::Time { format } => {
                sink.text(TextSource::Time, text::time(format, &Zoned::now()).as_bytes());
            }
            Action::Join { separator, capacity } => {
                join(&mut self.buffer, arguments, separator, *capacity);
                sink.text(TextSource::Join, self.buffer.as_bytes());
            }
            Action::Cat { format } => {
                format.render(arguments, context.resolve, &self.options, &mut self.buffer);
                cat(&self.buffer, self.max_cat_bytes, sink);
            }
            Action::System { format } => {
                format.render(arguments, context.resolve, &self.options, &mut self.buffer);
                match (context.is_interrupted)() {
                    true => self.skipped_commands += 1,
                    false => system(&self.buffer, self.allow_unsafe, context.is_interrupted, sink),
                }
            }
            Action::Packet => {}
            Action::Unwind => (context.unwind)(event),
            Action::Unwatch { span } => {
                self.unwatched.extend(arguments.first_chunk().map(|bytes| (u64::from_ne_bytes(*bytes), *span)));
            }
            Action::RuntimeError { message, helper, origin } => {
                let code = arguments.first_chunk().map_or(0, |bytes| i64::from_ne_bytes(*bytes));
                let helper = helper.map(|helper| (helper, code));
                sink.runtime_error(&RuntimeError { message, helper }, origin);
            }
        }
        action.pace()
    }

    /// Tells of the commands that were not run.
    pub fn report_skipped(&mut self, sink: &mut dyn Sink) {
        let count = std::mem::take(&mut self.skipped_commands);
        if count > 0 {
            let text = format!("{count} commands of system() were not run, because the trace had been ended");
            sink.message(Severity::Warning, &text, None);
        }
    }
}

impl Action {
    fn pace(&self) -> Pace {
        match self {
            Action::Printf { .. } | Action::Print { .. } | Action::PrintMapValue { .. } => Pace::Quick,
            Action::Time { .. } | Action::Join { .. } | Action::RuntimeError { .. } | Action::Unwatch { .. } => {
                Pace::Quick
            }
            Action::Packet => Pace::Quick,
            Action::PrintMap { .. } | Action::Clear { .. } | Action::Zero { .. } => Pace::Slow,
            Action::Cat { .. } | Action::System { .. } | Action::Unwind => Pace::Slow,
        }
    }
}

fn compile(index: usize, event: &EventPlan, maps: &[Arc<LiveMap>]) -> Result<Action, ActionError> {
    let map = |map: usize| maps.get(map).cloned().ok_or(ActionError::Map { index, map });
    let format = |format: &str, arguments: &[Type]| {
        EventFormat::new(format, arguments).map_err(|source| ActionError::Format { index, source })
    };
    Ok(match event {
        EventPlan::Printf { format: text, arguments, stream } => {
            Action::Printf { format: format(text, arguments)?, stream: stream.clone() }
        }
        EventPlan::Print { value } => Action::Print { ty: value.clone() },
        EventPlan::PrintMap { map: number, top, div } => Action::PrintMap { map: map(*number)?, top: *top, div: *div },
        EventPlan::PrintMapValue { map: number } => Action::PrintMapValue { map: map(*number)? },
        EventPlan::Clear { map: number } => Action::Clear { map: map(*number)? },
        EventPlan::Zero { map: number } => Action::Zero { map: map(*number)? },
        EventPlan::Time { format } => Action::Time { format: format.clone() },
        EventPlan::Join { separator, capacity, .. } => {
            Action::Join { separator: separator.clone(), capacity: *capacity as usize }
        }
        EventPlan::Cat { format: text, arguments } => Action::Cat { format: format(text, arguments)? },
        EventPlan::System { format: text, arguments } => Action::System { format: format(text, arguments)? },
        EventPlan::Packet { .. } => Action::Packet,
        EventPlan::Unwind => Action::Unwind,
        EventPlan::Unwatch { span } => Action::Unwatch { span: *span },
        EventPlan::RuntimeError { message, helper, origin } => {
            Action::RuntimeError { message: message.clone(), helper: helper.map(helpers::name), origin: origin.clone() }
        }
    })
}

fn say(text: &str, stream: &Stream, sink: &mut dyn Sink) {
    let (severity, origin) = match stream {
        Stream::Stdout => return sink.text(TextSource::Printf, text.as_bytes()),
        Stream::Warning(origin) => (Severity::Warning, origin),
        Stream::Error(origin) => (Severity::Error, origin),
    };
    sink.message(severity, text, Some(origin.span));
    sink.expanded_from(severity, &origin.calls);
}

fn tell(result: Result<(), MapError>, sink: &mut dyn Sink) {
    if let Err(error) = result {
        sink.message(Severity::Error, &error.to_string(), None);
    }
}

fn print_map(map: &LiveMap, (top, div): (u32, u32), site: usize, context: &mut Context<'_>, sink: &mut dyn Sink) {
    // So that the snapshot knows of all keys that were lost up to here.
    if let Ok(reports) = context.losses.read() {
        reports.into_iter().for_each(|report| sink.loss(report));
    }
    (context.resolve_for)(map, &mut |resolve| match maps::snapshot(map, resolve) {
        Ok(snapshot) => sink.map(MapPrint { snapshot, top, div, site: Some(site) }),
        Err(error) => sink.message(Severity::Error, &error.to_string(), None),
    });
}

/// Puts the strings of an argument list together: a count, a pad, then the strings' memory.
fn join(out: &mut String, arguments: &[u8], separator: &str, capacity: usize) {
    let count = arguments.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes) as usize);
    let strings = arguments.get(8..).unwrap_or_default().chunks(capacity.max(1));
    for (index, memory) in strings.take(count).enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        let end = memory.iter().position(|byte| *byte == 0).unwrap_or(memory.len());
        text::push_escaped(out, memory.get(..end).unwrap_or_default());
    }
    out.push('\n');
}

fn cat(path: &str, limit: u64, sink: &mut dyn Sink) {
    let mut content = Vec::new();
    match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut content)) {
        Ok(_) => sink.text(TextSource::Cat, &content),
        Err(error) => {
            let text = format!("failed to open file '{path}' ({})", text::reason(&error));
            sink.message(Severity::Error, &text, None);
        }
    }
}

fn system(script: &str, allowed: bool, is_interrupted: &dyn Fn() -> bool, sink: &mut dyn Sink) {
    if !allowed {
        let text = "system() is not allowed in safe mode: it runs commands as this user; allow it with --unsafe";
        return sink.message(Severity::Error, text, None);
    }
    let outcome = command::run(script, |chunk| sink.text(TextSource::System, chunk), is_interrupted);
    if let Err(error) = outcome {
        sink.message(Severity::Error, &format!("could not run '{script}': {}", text::reason(&error)), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_strings_end_at_their_nul_and_at_the_count() {
        let mut event = vec![2, 0, 0, 0, 0, 0, 0, 0];
        event.extend(b"ls\0xx-l\0xx???\0x");
        let mut text = String::new();
        join(&mut text, &event, "+", 5);
        assert_eq!(text, "ls+-l\n");
    }
}
