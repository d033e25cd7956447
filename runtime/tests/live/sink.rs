//! A sink that remembers.

use probebook_compiler::syntax::ast::Span;
use probebook_runtime::events::{LossReport, MapPrint, Severity, Sink, TextSource};
use probebook_runtime::value::Value;

#[derive(Default)]
pub struct Recorder {
    pub text: String,
    pub messages: Vec<(Severity, String)>,
    pub values: Vec<Value>,
    pub map_values: Vec<(String, Value, Value)>,
    pub maps: Vec<MapPrint>,
    pub losses: Vec<LossReport>,
    pub texts: usize,
}

impl Sink for Recorder {
    fn text(&mut self, _source: TextSource, text: &[u8]) {
        self.texts += 1;
        self.text.push_str(&String::from_utf8_lossy(text));
    }

    fn message(&mut self, severity: Severity, text: &str, _place: Option<Span>) {
        self.messages.push((severity, text.to_owned()));
    }

    fn value(&mut self, value: Value) {
        self.values.push(value);
    }

    fn map_value(&mut self, map: &str, key: Value, value: Value) {
        self.map_values.push((map.to_owned(), key, value));
    }

    fn map(&mut self, print: MapPrint) {
        self.maps.push(print);
    }

    fn loss(&mut self, report: LossReport) {
        self.losses.push(report);
    }
}
