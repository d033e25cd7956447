//! What all pictures share: colours, text, scales, and drawing onto an SVG.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, IntoFont, RGBColor, ShapeStyle};

/// Width of every picture, in pixels.
pub const WIDTH: i32 = 640;

const BACKGROUND: RGBColor = RGBColor(255, 255, 255);
const GRID: RGBColor = RGBColor(232, 234, 237);
const AXIS: RGBColor = RGBColor(154, 160, 166);
const TEXT: RGBColor = RGBColor(32, 33, 36);
const MUTED: RGBColor = RGBColor(95, 99, 104);
/// Blue of the palette by Okabe and Ito, which people with any colour vision can tell from grey.
pub const ACCENT: RGBColor = RGBColor(0, 114, 178);

/// plotters writes font sizes divided by this.
const FONT_SIZE_DIVISOR: f64 = 1.24;

/// How a text looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Title,
    Label,
    /// As small as a note, but as dark as a label.
    Caption,
    Note,
}

impl Look {
    /// Font size in pixels.
    fn size(self) -> f64 {
        match self {
            Look::Title => 14.0,
            Look::Label => 12.0,
            Look::Caption | Look::Note => 11.0,
        }
    }
}

/// A rectangle on the picture, y downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
}

impl Frame {
    pub fn width(&self) -> i32 {
        self.right - self.left
    }

    pub fn height(&self) -> i32 {
        self.bottom - self.top
    }
}

/// Something to draw on. Drawing into a string cannot fail, so the backend's results are not
/// looked at.
pub struct Picture<'a> {
    backend: SVGBackend<'a>,
}

/// An SVG document of [`WIDTH`] and this height.
pub fn picture(height: i32, draw: impl FnOnce(&mut Picture<'_>)) -> String {
    let mut svg = String::new();
    let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
    let mut picture = Picture { backend: SVGBackend::with_string(&mut svg, size) };
    picture.rectangle(Frame { left: 0, top: 0, right: WIDTH, bottom: height }, BACKGROUND);
    draw(&mut picture);
    let _ = picture.backend.present();
    drop(picture);
    svg
}

impl Picture<'_> {
    pub fn rectangle(&mut self, frame: Frame, color: RGBColor) {
        let Frame { left, top, right, bottom } = frame;
        let _ = self.backend.draw_rect((left, top), (right, bottom), &ShapeStyle::from(color), true);
    }

    pub fn line(&mut self, points: Vec<(i32, i32)>, color: RGBColor, width: u32) {
        let _ = self.backend.draw_path(points, &ShapeStyle::from(color).stroke_width(width));
    }

    pub fn dot(&mut self, center: (i32, i32), radius: u32) {
        let _ = self.backend.draw_circle(center, radius, &ShapeStyle::from(ACCENT), true);
    }

    /// `anchor` is the point of the text that lies at `(x, y)`; vertically it is its middle.
    pub fn text(&mut self, (x, y): (i32, i32), anchor: HPos, look: Look, text: &str) {
        let style = if look == Look::Title { FontStyle::Bold } else { FontStyle::Normal };
        let color = if look == Look::Note { MUTED } else { TEXT };
        let font = ("sans-serif", look.size() * FONT_SIZE_DIVISOR, style).into_font();
        let font = font.color(&color);
        let style = font.pos(Pos::new(anchor, VPos::Center));
        let _ = self.backend.draw_text(text, &style, (x, y));
    }

    /// Text on one line that is left out if hardly any of it has room.
    pub fn caption(&mut self, frame: Frame, text: &str) {
        let room = frame.width() - 8;
        if room >= text_width(text, Look::Caption).min(40) {
            let text = fitted(text, room, Look::Caption);
            let middle = (frame.top + frame.bottom) / 2;
            self.text((frame.left + 4, middle), HPos::Left, Look::Caption, &text);
        }
    }

    /// A vertical scale with its lines across the frame; what it leaves free at its right.
    pub fn vertical_axis(&mut self, frame: Frame, scale: &Scale, quantity: &str) -> Frame {
        let widest = scale.ticks().map(|tick| text_width(&number(tick), Look::Note)).max();
        let left = frame.left.max(16 + widest.unwrap_or(0) + 8);
        let frame = Frame { left, ..frame };
        self.text((16, frame.top - 18), HPos::Left, Look::Note, quantity);
        for tick in scale.ticks() {
            let y = scale.place(tick, frame.bottom, frame.top);
            let color = if tick == 0.0 { AXIS } else { GRID };
            self.line(vec![(frame.left, y), (frame.right, y)], color, 1);
            self.text((frame.left - 8, y), HPos::Right, Look::Note, &short(tick));
        }
        frame
    }

    pub fn baseline(&mut self, frame: Frame) {
        self.line(vec![(frame.left, frame.bottom), (frame.right, frame.bottom)], AXIS, 1);
    }

    /// The line that vertical extents are counted from.
    pub fn upright(&mut self, x: i32, top: i32, bottom: i32) {
        self.line(vec![(x, top), (x, bottom)], AXIS, 1);
    }

    /// A mark below the frame, with its label, which stays in the picture.
    pub fn horizontal_tick(&mut self, x: i32, frame: Frame, label: &str) {
        self.line(vec![(x, frame.bottom), (x, frame.bottom + 4)], AXIS, 1);
        let last = WIDTH - 2 - text_width(label, Look::Note) / 2;
        self.text((x.min(last), frame.bottom + 14), HPos::Center, Look::Note, label);
    }

    /// A title at the top left of a panel, a remark at its top right.
    pub fn heading(&mut self, top: i32, title: &str, remark: &str) {
        let room = WIDTH - 32 - text_width(remark, Look::Note) - 16;
        self.text((16, top + 18), HPos::Left, Look::Title, &fitted(title, room, Look::Title));
        self.text((WIDTH - 16, top + 18), HPos::Right, Look::Note, remark);
    }

    pub fn note(&mut self, bottom: i32, note: &str) {
        self.text((16, bottom - 12), HPos::Left, Look::Note, note);
    }
}

/// A linear scale whose ends and steps are round numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// From at most `low` to at least `high` in up to `steps` steps of whole numbers.
    pub fn new(low: f64, high: f64, steps: u32) -> Scale {
        let high = if high > low { high } else { low + 1.0 };
        let rough = (high - low) / f64::from(steps.max(1));
        let magnitude = 10f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * magnitude >= rough);
        let step = (factor.unwrap_or(10.0) * magnitude).max(1.0);
        Scale { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + use<> {
        let Scale { low, high, step } = *self;
        let count = ((high - low) / step).round().min(100.0) as u32;
        (0..=count).map(move |index| low + f64::from(index) * step)
    }

    /// The pixel of a value, if `low` lies at `from` and `high` at `to`.
    pub fn place(&self, value: f64, from: i32, to: i32) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        from + (share * f64::from(to - from)).round() as i32
    }
}

/// A number for people, its digits in groups; an absurdly long one is shortened.
pub fn number(number: f64) -> String {
    if number.abs() < 1e12 { grouped(number.round() as i64) } else { short(number) }
}

/// A number on a scale: from a million on with a decimal suffix.
fn short(number: f64) -> String {
    const UNITS: [(f64, &str); 5] = [(1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")];
    let Some((unit, suffix)) = UNITS.iter().find(|(unit, _)| number.abs() >= *unit) else {
        return grouped(number.round() as i64);
    };
    let digits = format!("{:.2}", number.abs() / unit);
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let sign = if number < 0.0 { "\u{2212}" } else { "" };
    format!("{sign}{digits}{suffix}")
}

fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    if number < 0 {
        text.push('\u{2212}');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text that may stand in XML, on one line. What XML cannot hold at all (XML 1.0, 2.2) is replaced;
/// markup is escaped by the SVG backend.
pub fn printable(text: &str) -> String {
    let allowed = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => '\u{fffd}',
        c => c,
    };
    text.chars().map(allowed).collect()
}

/// The text, its middle left out if it is wider than `room` pixels.
pub fn fitted(text: &str, room: i32, look: Look) -> String {
    if text_width(text, look) <= room {
        return text.to_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    let mut kept = characters.len();
    loop {
        kept = kept.saturating_sub(1);
        let head = kept.div_ceil(2);
        let tail = characters.len() - (kept - head);
        let shortened: String =
            characters.iter().take(head).chain(std::iter::once(&'…')).chain(characters.iter().skip(tail)).collect();
        if kept == 0 || text_width(&shortened, look) <= room {
            return shortened;
        }
    }
}

/// About how wide a text is in a wide sans-serif font: which font a viewer has is not known here.
pub fn text_width(text: &str, look: Look) -> i32 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' | '(' | ')' | '[' | ']' | ' ' | '/' => 0.40,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 1.0,
        c if c.is_ascii_uppercase() => 0.72,
        c if c.is_ascii() => 0.63,
        c if c < '\u{1100}' => 0.75,
        _ => 1.1,
    };
    let bold = if look == Look::Title { 1.1 } else { 1.0 };
    (text.chars().map(em).sum::<f64>() * look.size() * bold).ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        let ticks = |low, high| Scale::new(low, high, 5).ticks().collect::<Vec<_>>();
        assert_eq!(ticks(0.0, 7.0), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(ticks(0.0, 1.0), [0.0, 1.0], "counts have no fractions");
        assert_eq!(ticks(-50.0, 120.0), [-50.0, 0.0, 50.0, 100.0, 150.0]);
        assert_eq!(ticks(3.0, 3.0), [3.0, 4.0]);
        assert_eq!(Scale::new(0.0, 8.0, 4).place(2.0, 100, 20), 80);
    }

    #[test]
    fn numbers_are_readable() {
        let shown = [0.0, 999.0, 1e3, -1234567.0, 1.8e19].map(number);
        assert_eq!(shown, ["0", "999", "1,000", "−1,234,567", "18E"]);
        assert_eq!([5e5, -1.25e7, 2e9, 8e6].map(short), ["500,000", "−12.5M", "2G", "8M"]);
    }

    #[test]
    fn long_texts_lose_their_middle() {
        let path = "/usr/lib/x86_64-linux-gnu/libc.so.6";
        let short = fitted(path, 120, Look::Label);
        assert!(short.starts_with("/usr/l") && short.ends_with("so.6") && short.contains('…'));
        assert!(text_width(&short, Look::Label) <= 120);
        assert_eq!(fitted("a", 120, Look::Label), "a");
        assert_eq!(fitted("abc", 1, Look::Label), "…");
    }
}
