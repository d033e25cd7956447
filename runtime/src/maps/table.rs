//! Which maps a session has, by what they are for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use probebook_compiler::plan::{MapPlan, MapRole, UserMap};

use super::memory::{Budget, Reservation};
use super::{LiveMap, MapError, MapInfo, contents, live};
use crate::symbols::Formats;

/// The maps of a session. Those of single traces are not in here.
pub struct MapTable {
    maps: Mutex<Maps>,
    budget: Arc<Budget>,
    cpus: u32,
}

#[derive(Default)]
struct Maps {
    user: BTreeMap<String, Arc<LiveMap>>,
    /// By kind (user or kernel), limit of frames, and whether these are build IDs.
    stacks: BTreeMap<(bool, u32, bool), Arc<LiveMap>>,
}

/// A stack that is no longer in its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RemovedStack {
    pub user: bool,
    pub limit: u32,
    pub build_ids: bool,
    pub id: u32,
}

/// The maps of a plan, in its order. Those that are new become the session's with
/// [`MapTable::keep_stacks`] and [`MapTable::keep_user_maps`]; without them they vanish.
pub struct Prepared {
    pub maps: Vec<Arc<LiveMap>>,
}

impl MapTable {
    /// `cpus`: possible CPUs; `limit`: bytes that all maps may take.
    pub fn new(cpus: u32, limit: Option<u64>) -> MapTable {
        MapTable { maps: Mutex::default(), budget: Arc::new(Budget::new(limit)), cpus }
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Possible CPUs.
    pub(super) fn cpus(&self) -> u32 {
        self.cpus
    }

    /// Takes memory for a map that is not in the table.
    pub(super) fn reserve(&self, name: &str, entries: u32, bytes: u64) -> Result<Reservation, MapError> {
        live::reserve(&self.budget, name, entries, bytes)
    }

    /// Finds or creates every map of a plan. Those that are named in `retype` may have other types than
    /// the session's, which they replace once they are kept.
    pub fn prepare(&self, plans: &[MapPlan], formats: &Arc<Formats>, retype: &[String]) -> Result<Prepared, MapError> {
        let mut maps = Vec::with_capacity(plans.len());
        for plan in plans {
            let existing = match self.existing(plan) {
                Err(MapError::TypeChanged { wanted, .. }) if retype.contains(&wanted.name) => None,
                existing => existing?,
            };
            let map = match existing {
                Some(map) => map,
                None => Arc::new(LiveMap::create(plan, self.cpus, formats, &self.budget)?),
            };
            maps.push(map);
        }
        Ok(Prepared { maps })
    }

    /// Makes new maps of stacks the session's: what is printed from now on may name one.
    pub fn keep_stacks(&self, maps: &[Arc<LiveMap>]) {
        let mut table = self.lock();
        for map in maps {
            if let MapRole::Stacks { user, limit, build_ids } = &map.plan().role {
                table.stacks.entry((*user, *limit, *build_ids)).or_insert_with(|| Arc::clone(map));
            }
        }
    }

    /// Makes new maps of the script the session's, in the place of those whose types they change.
    pub fn keep_user_maps(&self, maps: &[Arc<LiveMap>]) {
        let mut table = self.lock();
        for map in maps {
            if let MapRole::User(user) = &map.plan().role {
                table.user.insert(user.name.clone(), Arc::clone(map));
            }
        }
    }

    fn existing(&self, plan: &MapPlan) -> Result<Option<Arc<LiveMap>>, MapError> {
        match &plan.role {
            MapRole::User(wanted) => self.existing_user(plan, wanted),
            MapRole::Stacks { user, limit, build_ids } => Ok(self.stacks(*user, *limit, *build_ids)),
            _ => Ok(None),
        }
    }

    fn existing_user(&self, plan: &MapPlan, wanted: &UserMap) -> Result<Option<Arc<LiveMap>>, MapError> {
        let Some(map) = self.get(&wanted.name) else { return Ok(None) };
        let Some(existing) = map.user() else { return Ok(None) };
        let same_types = existing.key == wanted.key && existing.value == wanted.value;
        let same_layout = map.plan().kind == plan.kind
            && map.plan().key_size == plan.key_size
            && map.plan().value_size == plan.value_size;
        if same_types && same_layout {
            return Ok(Some(map));
        }
        Err(MapError::TypeChanged { existing: Box::new(existing.clone()), wanted: Box::new(wanted.clone()) })
    }

    /// A map by name, without `@`.
    pub fn get(&self, name: &str) -> Option<Arc<LiveMap>> {
        self.lock().user.get(name).cloned()
    }

    /// The stacks of up to `limit` frames.
    pub fn stacks(&self, user: bool, limit: u32, build_ids: bool) -> Option<Arc<LiveMap>> {
        self.lock().stacks.get(&(user, limit, build_ids)).cloned()
    }

    /// How many stacks are recorded, of all kinds.
    pub fn recorded_stacks(&self) -> io::Result<usize> {
        let table = self.lock();
        table.stacks.values().map(|map| Ok(map.io().keys()?.len() / 4)).sum()
    }

    /// Removes the stacks that no map of the session refers to, so that there is always room for
    /// new ones. Those of kinds that a trace uses stay: it may be about to refer to them.
    pub fn sweep_stacks(&self) -> Vec<RemovedStack> {
        let table = self.lock();
        let mut removed = Vec::new();
        for ((user, limit, build_ids), map) in &table.stacks {
            // Only this table has it, and nobody gets it while the table is locked.
            if Arc::strong_count(map) > 1 {
                continue;
            }
            let kind = (*user, *limit, *build_ids);
            let wanted: io::Result<Vec<_>> = table.user.values().map(|map| contents::stack_ids(map, kind)).collect();
            let Ok(wanted) = wanted else { continue };
            let wanted: BTreeSet<u32> = wanted.into_iter().flatten().collect();
            let Ok(keys) = map.io().keys() else { continue };
            let (ids, _) = keys.as_chunks::<4>();
            for id in ids.iter().filter(|id| !wanted.contains(&u32::from_ne_bytes(**id))) {
                if map.io().delete(id).is_ok() {
                    let id = u32::from_ne_bytes(*id);
                    removed.push(RemovedStack { user: *user, limit: *limit, build_ids: *build_ids, id });
                }
            }
        }
        removed
    }

    /// Forgets a map. Traces that use it go on with it.
    pub fn drop_map(&self, name: &str) -> Result<(), MapError> {
        self.lock().user.remove(name).map(drop).ok_or_else(|| MapError::Unknown(name.into()))
    }

    /// All user maps, by name.
    pub fn all(&self) -> Vec<Arc<LiveMap>> {
        self.lock().user.values().cloned().collect()
    }

    pub fn list(&self) -> Result<Vec<MapInfo>, MapError> {
        let infos = self.all().into_iter().filter_map(|map| {
            let user = map.user()?.clone();
            Some(contents::entries(&map).map(|entries| MapInfo {
                name: user.name,
                key: user.key,
                value: user.value,
                entries,
                max_entries: map.plan().max_entries,
                bytes: map.bytes(),
                defined: user.span,
                lost_keys: map.lost_keys(),
            }))
        });
        infos.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Maps> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
