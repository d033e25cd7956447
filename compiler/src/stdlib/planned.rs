//! Entries of the specification that are declared but not there yet.
//!
//! Using one gives a diagnostic with its position; completion leaves them out.

use super::Entry;

pub const ENTRIES: &[Entry] = &[Entry {
    name: "skboutput",
    signatures: &["uint32 skboutput(const string path, struct sk_buff *skb, uint64 length, const uint64 offset)"],
    documentation: "Writes a packet to a pcap file.",
    arguments: (0, None),
    ..Entry::BASE
}];
