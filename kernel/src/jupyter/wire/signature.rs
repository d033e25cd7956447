//! Message authentication: HMAC-SHA256 over four frames, each signature valid once.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How many signatures are remembered to recognise a replay; `jupyter_client` keeps as many.
const REMEMBERED: usize = 1 << 16;

/// Why a message is not from somebody who holds the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not hexadecimal digits of the right number.
    #[error("malformed signature")]
    Malformed,
    /// Made with another key, or over other frames.
    #[error("wrong signature")]
    Wrong,
    /// The very same message came before.
    #[error("replayed message")]
    Replayed,
}

/// Signs and verifies with the connection file's key. With an empty key it does neither.
pub struct Signer {
    keyed: Option<Hmac<Sha256>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    digests: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Signer {
    /// A signer for a key; an empty key turns signing off.
    pub fn new(key: &str) -> Self {
        let keyed = if key.is_empty() {
            None
        } else {
            // HMAC takes keys of any length, so this cannot fail.
            Hmac::new_from_slice(key.as_bytes()).ok()
        };
        Self { keyed, seen: Mutex::default() }
    }

    /// The signature of these frames in hexadecimal, empty without a key.
    pub fn sign<F: AsRef<[u8]>>(&self, frames: &[F]) -> String {
        match self.digest(frames) {
            Some(mac) => to_hex(&mac.finalize().into_bytes()),
            None => String::new(),
        }
    }

    /// Checks a signature and notes that it has been used.
    ///
    /// # Errors
    /// [`SignatureError`] says what is wrong with it.
    pub fn verify<F: AsRef<[u8]>>(&self, signature: &[u8], frames: &[F]) -> Result<(), SignatureError> {
        let Some(mac) = self.digest(frames) else {
            return Ok(());
        };
        let digest = from_hex(signature).ok_or(SignatureError::Malformed)?;
        mac.verify_slice(&digest).map_err(|_| SignatureError::Wrong)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.first_time(digest) { Ok(()) } else { Err(SignatureError::Replayed) }
    }

    fn digest<F: AsRef<[u8]>>(&self, frames: &[F]) -> Option<Hmac<Sha256>> {
        let mut mac = self.keyed.clone()?;
        for frame in frames {
            mac.update(frame.as_ref());
        }
        Some(mac)
    }
}

impl Seen {
    fn first_time(&mut self, digest: [u8; 32]) -> bool {
        if !self.digests.insert(digest) {
            return false;
        }
        self.order.push_back(digest);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
        true
    }
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(digit).collect()
}

fn from_hex(digits: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = u8::try_from(value(*high)? * 16 + value(*low)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 2 of RFC 4231, section 4.3, cut into frames.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let signer = Signer::new("Jefe");
        let frames = ["what do ya", " want ", "for no", "thing?"];
        assert_eq!(signer.sign(&frames), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn only_the_right_signature_passes_and_only_once() {
        let signer = Signer::new("key");
        let frames = ["a", "b", "c", "d"];
        let signature = signer.sign(&frames);
        assert_eq!(Signer::new("other").verify(signature.as_bytes(), &frames), Err(SignatureError::Wrong));
        assert_eq!(signer.verify(signature.as_bytes(), &frames), Ok(()));
        assert_eq!(signer.verify(signature.as_bytes(), &frames), Err(SignatureError::Replayed));
        for malformed in ["", "zz", &"g".repeat(64)] {
            assert_eq!(signer.verify(malformed.as_bytes(), &frames), Err(SignatureError::Malformed));
        }
    }

    #[test]
    fn an_empty_key_accepts_everything() {
        let signer = Signer::new("");
        assert_eq!(signer.sign(&["a"]), "");
        assert_eq!(signer.verify(b"anything", &["a"]), Ok(()));
        assert_eq!(signer.verify(b"anything", &["a"]), Ok(()));
    }

    #[test]
    fn old_signatures_are_forgotten() {
        let mut seen = Seen::default();
        let digest = |n: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            digest
        };
        assert!((0..=REMEMBERED).all(|n| seen.first_time(digest(n))));
        assert_eq!(seen.digests.len(), REMEMBERED);
        assert!(!seen.first_time(digest(1)));
        assert!(seen.first_time(digest(0)));
    }
}
