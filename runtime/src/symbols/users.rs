//! User names by number.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use nix::unistd::{Uid, User};

#[derive(Default)]
pub(super) struct Users {
    names: Mutex<HashMap<u64, String>>,
}

impl Users {
    /// The name, or the number as text if there is none.
    pub fn name(&self, uid: u64) -> String {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.entry(uid).or_insert_with(|| look_up(uid)).clone()
    }
}

fn look_up(uid: u64) -> String {
    let user = u32::try_from(uid).ok().and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_others_their_number() {
        let users = Users::default();
        assert_eq!(users.name(0), "root");
        assert_eq!(users.name(4_000_000_007), "4000000007");
    }
}
