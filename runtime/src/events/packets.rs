//! Packets that programs have the kernel copy, written to pcap files
//! (<https://www.tcpdump.org/manpages/pcap-savefile.5.html>).

use std::fs::File;
use std::io::{self, BufWriter, Write};

use aya::maps::perf::{PerfBufferError, PerfEvent, PerfEventArrayBuffer};
use aya::maps::{Map, MapData, MapError as AyaError, PerfEventArray};
use probebook_compiler::plan::{EventPlan, PACKET_HEADER_SIZE, Plan};

use crate::maps::{LiveMap, duplicate};
use crate::text::reason;

/// Pages of each CPU's buffer; a packet may have 64 KiB.
const PAGES: usize = 64;
/// Times in nanoseconds, numbers in this machine's byte order.
const MAGIC: u32 = 0xa1b2_3c4d;
const LONGEST: u32 = 65_535;
/// `LINKTYPE_RAW`: IP packets with nothing before them.
const RAW_IP: u32 = 101;

/// Packets cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    #[error("the packet file {path} could not be made: {}", reason(.source))]
    File { path: String, source: io::Error },
    #[error("the buffers for packets could not be made: {0}")]
    Map(#[from] AyaError),
    #[error("the buffer for packets of CPU {cpu} could not be made: {source}")]
    Buffer { cpu: u32, source: PerfBufferError },
}

/// The files of one trace, and the buffers that packets come in.
pub struct Packets {
    buffers: Vec<PerfEventArrayBuffer<MapData>>,
    writers: Writers,
}

struct Writers {
    files: Vec<(String, BufWriter<File>)>,
    /// For each event of the plan: which file, and how many bytes are left out.
    events: Vec<Option<(usize, usize)>>,
    /// What went wrong, until it is told.
    failure: Option<String>,
    lost: u64,
}

impl Packets {
    /// Makes the files that the plan names, and a buffer for each CPU.
    pub fn new(plan: &Plan, map: &LiveMap, cpus: &[u32]) -> Result<Packets, PacketError> {
        let writers = Writers::new(&plan.events)?;
        let mut array = PerfEventArray::try_from(Map::from_map_data(duplicate(map)?)?)?;
        let open =
            |cpu: &u32| array.open(*cpu, Some(PAGES)).map_err(|source| PacketError::Buffer { cpu: *cpu, source });
        Ok(Packets { buffers: cpus.iter().map(open).collect::<Result<_, _>>()?, writers })
    }

    /// Writes what has arrived; `boot_time` makes wall-clock time of the packets' stamps. Gives how
    /// many packets were lost since the last call, and what else went wrong.
    pub fn drain(&mut self, boot_time: i64) -> (u64, Option<String>) {
        let mut joined = Vec::new();
        for buffer in &mut self.buffers {
            buffer.for_each(|event| match event {
                PerfEvent::Lost { count } => self.writers.lost += count,
                PerfEvent::Sample { head, tail: &[] } => self.writers.packet(head, boot_time),
                PerfEvent::Sample { head, tail } => {
                    joined.clear();
                    joined.extend_from_slice(head);
                    joined.extend_from_slice(tail);
                    self.writers.packet(&joined, boot_time);
                }
            });
        }
        self.writers.flush();
        (std::mem::take(&mut self.writers.lost), self.writers.failure.take())
    }
}

impl Writers {
    fn new(plans: &[EventPlan]) -> Result<Writers, PacketError> {
        let mut files: Vec<(String, BufWriter<File>)> = Vec::new();
        let mut events = Vec::with_capacity(plans.len());
        for plan in plans {
            let EventPlan::Packet { path, offset } = plan else {
                events.push(None);
                continue;
            };
            let index = match files.iter().position(|(known, _)| known == path) {
                Some(index) => index,
                None => {
                    let failed = |source| PacketError::File { path: path.clone(), source };
                    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
                    file.write_all(&file_header()).and_then(|()| file.flush()).map_err(failed)?;
                    files.push((path.clone(), file));
                    files.len() - 1
                }
            };
            events.push(Some((index, *offset as usize)));
        }
        Ok(Writers { files, events, failure: None, lost: 0 })
    }

    /// One packet behind its header; what follows it is padding.
    fn packet(&mut self, sample: &[u8], boot_time: i64) {
        let word = |at: usize| {
            let bytes = sample.get(at..at + 8).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
        };
        let (event, stamp, length) = (word(0) as u32, word(8), word(16) as usize);
        let data = sample.get(PACKET_HEADER_SIZE as usize..).unwrap_or_default();
        let data = data.get(..length).unwrap_or(data);
        let Some(Some((file, offset))) = self.events.get(event as usize) else { return };
        let data = data.get(*offset..).unwrap_or_default();
        let Some((path, file)) = self.files.get_mut(*file) else { return };
        let written = file.write_all(&record_header(boot_time.saturating_add_unsigned(stamp), data.len()));
        if let Err(error) = written.and_then(|()| file.write_all(data)) {
            self.failure = Some(format!("packets could not be written to {path}: {}", reason(&error)));
        }
    }

    fn flush(&mut self) {
        for (path, file) in &mut self.files {
            if let Err(error) = file.flush() {
                self.failure = Some(format!("packets could not be written to {path}: {}", reason(&error)));
            }
        }
    }
}

fn file_header() -> [u8; 24] {
    let mut header = [0; 24];
    let (major, minor) = (2u32, 4u32);
    // The two halves of the version are 16 bits each; time zone and accuracy are always 0.
    let version = if cfg!(target_endian = "little") { minor << 16 | major } else { major << 16 | minor };
    for (place, word) in header.chunks_exact_mut(4).zip([MAGIC, version, 0, 0, LONGEST, RAW_IP]) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    header
}

/// Seconds, nanoseconds, bytes that follow, bytes that there were.
fn record_header(time: i64, length: usize) -> [u8; 16] {
    let mut header = [0; 16];
    let (seconds, nanoseconds) = (time.div_euclid(1_000_000_000), time.rem_euclid(1_000_000_000));
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    for (place, word) in header.chunks_exact_mut(4).zip([seconds as u32, nanoseconds as u32, length, length]) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_lie_behind_their_headers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.pcap").display().to_string();
        let plans = [EventPlan::Clear { map: 0 }, EventPlan::Packet { path: path.clone(), offset: 2 }];
        let mut writers = Writers::new(&plans).unwrap();
        let mut sample = Vec::new();
        [1u64, 5, 6].iter().for_each(|word| sample.extend(word.to_ne_bytes()));
        sample.extend(b"eth45packed"[..6].iter().chain(b"padding"));
        writers.packet(&sample, 3_000_000_007);
        writers.flush();
        let file = std::fs::read(path).unwrap();
        assert_eq!(file.len(), 24 + 16 + 4);
        assert_eq!(file[..4], MAGIC.to_ne_bytes());
        assert_eq!(file[24..28], 3u32.to_ne_bytes());
        assert_eq!(file[28..32], 12u32.to_ne_bytes());
        assert_eq!(&file[40..], b"h45p");
        assert!(writers.failure.is_none());
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let plans = [EventPlan::Packet { path: "/no/such/folder/x.pcap".into(), offset: 0 }];
        let error = Writers::new(&plans).err().unwrap().to_string();
        assert!(error.contains("/no/such/folder/x.pcap"), "{error}");
    }
}
