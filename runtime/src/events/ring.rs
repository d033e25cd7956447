//! The ring buffer of one trace: how large it is, and reading what lies in it.

use std::time::{Duration, Instant};

use aya::maps::{Map, MapData, MapError as AyaError, RingBuf};

use crate::maps::{LiveMap, duplicate};

const DEFAULT_BYTES: u32 = 4 << 20;
/// Where a loop sends events as fast as it can; takes 3 ms longer to make.
const BURST_BYTES: u32 = 16 << 20;
/// Room for some hundred errors.
pub const ERROR_BYTES: u32 = 64 << 10;
/// A single drain ends after this, so that an interrupt is noticed in a flood of events.
const LONGEST_DRAIN: Duration = Duration::from_millis(20);
/// The clock is looked at once in so many quick events.
const EVENTS_BETWEEN_LOOKS: u32 = 256;

/// Reads events. Programs do not wake us; whoever owns this looks in from time to time.
pub struct Ring {
    buffer: RingBuf<MapData>,
    /// Errors that found the buffer full.
    errors: Option<RingBuf<MapData>>,
}

/// How long an event has kept its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Quick,
    /// Perhaps long: a command was run, a file or a map was read.
    Slow,
}

/// What a drain found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    pub events: u64,
    /// The buffer was not yet empty.
    pub more: bool,
}

impl Ring {
    pub fn new(map: &LiveMap, errors: Option<&LiveMap>) -> Result<Ring, AyaError> {
        let open = |map: &LiveMap| RingBuf::try_from(Map::from_map_data(duplicate(map)?)?);
        Ok(Ring { buffer: open(map)?, errors: errors.map(open).transpose()? })
    }

    /// Hands over what has arrived, in order; before that, the errors that overtake it.
    pub fn drain(&mut self, mut handle: impl FnMut(&[u8]) -> Pace) -> Drained {
        let start = Instant::now();
        let mut drained = Drained::default();
        for _ in 0..EVENTS_BETWEEN_LOOKS {
            let Some(event) = self.errors.as_mut().and_then(RingBuf::next) else { break };
            handle(&event);
            drained.events += 1;
        }
        drained.more = drained.events == u64::from(EVENTS_BETWEEN_LOOKS);
        let mut until_look = EVENTS_BETWEEN_LOOKS;
        while let Some(event) = self.buffer.next() {
            let pace = handle(&event);
            drop(event);
            drained.events += 1;
            until_look -= 1;
            if until_look == 0 || pace == Pace::Slow {
                until_look = EVENTS_BETWEEN_LOOKS;
                if start.elapsed() > LONGEST_DRAIN {
                    drained.more = true;
                    break;
                }
            }
        }
        drained
    }
}

/// The size of the ring buffer in bytes: a power of two of at least one page.
pub fn size(pages: Option<u32>, bursts: bool) -> u32 {
    const PAGE: u32 = 4096;
    match pages {
        Some(pages) => pages.clamp(1, 1 << 18).next_power_of_two() * PAGE,
        None if bursts => BURST_BYTES,
        None => DEFAULT_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(size(Some(1), true), 4096);
        assert_eq!(size(Some(65), false), 128 * 4096);
        assert_eq!(size(None, false), 4 << 20);
        assert_eq!(size(Some(u32::MAX), false), 1 << 30);
    }
}
