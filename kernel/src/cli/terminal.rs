//! A trace's output on the terminal or in a file, as text or as JSON lines.

use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use probebook_compiler::diagnostics::{Diagnostic, Sources, render};
use probebook_compiler::plan::Origin;
use probebook_compiler::syntax::ast::Span;
use probebook_runtime::events::{LossKind, LossReport, MapPrint, RuntimeError, Severity, Sink, TextSource};
use probebook_runtime::text::{self, TextOptions, json};
use probebook_runtime::value::Value;

use super::arguments::{Buffering, Format};
use crate::engine::loss_text;

/// The sink of `probebook run`.
pub struct Terminal<'a> {
    out: BufWriter<Box<dyn Write>>,
    format: Format,
    buffering: Buffering,
    options: TextOptions,
    sources: &'a Sources,
    /// Output that waits for the number of probes to be told.
    held: Option<Vec<u8>>,
    last_flush: Instant,
    /// Why output can no longer be delivered: nobody reads any more, or the disk is full.
    failure: Option<io::Error>,
    /// Whether warnings are shown.
    pub warnings: bool,
    /// Somebody looks at it: what `cat` reads must not act on their terminal.
    pub is_watched: bool,
}

/// How long output may wait in a buffer.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

impl<'a> Terminal<'a> {
    pub fn new(
        out: Box<dyn Write>,
        format: Format,
        buffering: Buffering,
        options: TextOptions,
        sources: &'a Sources,
    ) -> Self {
        let out = BufWriter::with_capacity(1 << 16, out);
        Terminal {
            out,
            format,
            buffering,
            options,
            sources,
            held: None,
            last_flush: Instant::now(),
            failure: None,
            warnings: true,
            is_watched: false,
        }
    }

    /// Whether output can no longer be delivered.
    pub fn is_closed(&self) -> bool {
        self.failure.is_some()
    }

    /// What has kept output from where it should go, unless nobody wanted to read more.
    pub fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written
            && self.failure.is_none()
        {
            self.failure = Some(error);
        }
    }

    /// Keeps output back until [`Terminal::attached`].
    pub fn hold(&mut self) {
        self.held = Some(Vec::new());
    }

    /// What was kept back; what follows is kept back too.
    pub fn take_held(&mut self) -> Vec<u8> {
        self.held.replace(Vec::new()).unwrap_or_default()
    }

    /// Tells the number of probes, if it is to be told, and lets the output go.
    pub fn attached(&mut self, count: Option<usize>) {
        let held = self.held.take().unwrap_or_default();
        if let Some(count) = count {
            match self.format {
                Format::Json => self.write(json::attached_probes(count as u64).as_bytes()),
                Format::Text => {
                    super::complain(&format!("Attached {count} probe{}\n", if count == 1 { "" } else { "s" }));
                }
            }
        }
        // bpftrace's own tests wait for this line.
        if std::env::var_os("__BPFTRACE_NOTIFY_PROBES_ATTACHED").is_some() {
            self.write(b"__BPFTRACE_NOTIFY_PROBES_ATTACHED\n");
        }
        self.write(&held);
        self.flush();
    }

    /// Writes out what has waited long enough.
    pub fn flush_if_due(&mut self) {
        if self.last_flush.elapsed() >= FLUSH_AFTER {
            self.flush();
        }
    }

    /// All events are there; maps follow.
    pub fn end_of_events(&mut self) {
        if self.format == Format::Text {
            self.write(text::SEPARATOR.as_bytes());
        }
    }

    pub fn flush(&mut self) {
        let flushed = self.out.flush();
        self.note(flushed);
        self.last_flush = Instant::now();
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(held) = &mut self.held {
            held.extend_from_slice(bytes);
            return;
        }
        let written = self.out.write_all(bytes);
        self.note(written);
        let line_ended = bytes.contains(&b'\n');
        match self.buffering {
            Buffering::None => self.flush(),
            Buffering::Line if line_ended => self.flush(),
            _ => self.flush_if_due(),
        }
    }

    fn message_text(&self, severity: Severity, text: &str, place: Option<Span>) -> String {
        let label = place.map(|span| format!("{}: ", self.range(span))).unwrap_or_default();
        match severity {
            Severity::Warning => format!("{label}WARNING: {text}\n"),
            Severity::Error => format!("{label}ERROR: {text}\n"),
        }
    }

    /// `stdin:1:9-62`
    fn range(&self, span: Span) -> String {
        let (line, column) = self.sources.position(span);
        let end = self.sources.position(Span { start: span.end, ..span });
        let name = self.sources.get(span.source).map_or("?", |source| source.name.as_str());
        if end.0 == line { format!("{name}:{line}:{column}-{}", end.1) } else { format!("{name}:{line}-{}", end.0) }
    }

    fn position(&self, span: Span) -> json::Position<'a> {
        let sources = self.sources;
        let (line, column) = sources.position(span);
        let filename = sources.get(span.source).map_or("?", |source| source.name.as_str());
        json::Position { filename, line, column }
    }

    /// A message with the lines of the script that it speaks of.
    fn complain_at(&mut self, severity: Severity, text: &str, span: Span) {
        let diagnostic = match severity {
            Severity::Warning if !self.warnings => return,
            Severity::Warning => Diagnostic::warning("runtime", span, text),
            Severity::Error => Diagnostic::error("runtime", span, text),
        };
        self.flush();
        super::complain(&render::to_bpftrace_text(&diagnostic, self.sources));
    }
}

impl Sink for Terminal<'_> {
    fn text(&mut self, source: TextSource, text: &[u8]) {
        match self.format {
            Format::Text if self.is_watched && source == TextSource::Cat => {
                let mut shown = String::new();
                text::push_escaped(&mut shown, text);
                self.write(shown.as_bytes());
            }
            Format::Text => self.write(text),
            Format::Json => {
                let kind = match source {
                    TextSource::Printf => "printf",
                    TextSource::Time => "time",
                    TextSource::Join => "join",
                    TextSource::Cat => "cat",
                    TextSource::System | TextSource::Child => "syscall",
                };
                let text = String::from_utf8_lossy(text);
                let text = if kind == "join" { text.trim_end_matches('\n') } else { &text };
                self.write(json::message(kind, text).as_bytes());
            }
        }
    }

    fn message(&mut self, severity: Severity, text: &str, place: Option<Span>) {
        if severity == Severity::Warning && !self.warnings {
            return;
        }
        match (self.format, place) {
            (Format::Json, Some(span)) => {
                let kind = if severity == Severity::Error { "errorf" } else { "warnf" };
                let line = json::positioned(kind, text, self.position(span));
                self.write(line.as_bytes());
            }
            _ => {
                self.flush();
                super::complain(&self.message_text(severity, text, place));
            }
        }
    }

    fn runtime_error(&mut self, error: &RuntimeError<'_>, origin: &Origin) {
        match (self.format, error.helper) {
            (Format::Text, _) => {
                self.complain_at(Severity::Warning, &error.to_string(), origin.span);
                self.expanded_from(Severity::Warning, &origin.calls);
            }
            (Format::Json, Some((helper, code))) => {
                let retcode = i32::try_from(code).unwrap_or(0);
                let line = json::helper_error(&error.cause(), helper, retcode, self.position(origin.span));
                self.write(line.as_bytes());
            }
            (Format::Json, None) => {
                let line = json::positioned("runtime_error", error.message, self.position(origin.span));
                self.write(line.as_bytes());
            }
        }
    }

    fn expanded_from(&mut self, severity: Severity, calls: &[Span]) {
        if self.format == Format::Text {
            calls.iter().for_each(|call| self.complain_at(severity, "expanded from", *call));
        }
    }

    fn value(&mut self, value: Value) {
        let text = match self.format {
            Format::Text => text::print(&value, &self.options),
            Format::Json => json::value(&value, &self.options),
        };
        self.write(text.as_bytes());
    }

    fn map_value(&mut self, _map: &str, _key: Value, value: Value) {
        self.value(value);
    }

    fn map(&mut self, print: MapPrint) {
        let MapPrint { snapshot, top, div, .. } = print;
        let text = match self.format {
            Format::Text => text::map(&snapshot, top, div, &self.options),
            Format::Json => json::map(&snapshot, top, div, &self.options),
        };
        self.write(text.as_bytes());
    }

    fn loss(&mut self, report: LossReport) {
        let text = loss_text(&report);
        match (self.format, &report.kind) {
            (Format::Json, LossKind::Events) => self.write(json::lost_events(report.new).as_bytes()),
            _ => {
                self.flush();
                super::complain(&format!("{text}\n"));
            }
        }
    }
}
