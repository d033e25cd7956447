//! Which maps a session has, by what they are for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use probebook_compiler::plan::{MapPlan, MapRole, UserMap};

use super::memory::Budget;
use super::{LiveMap, MapError, MapInfo, contents};
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
    /// By kind (user or kernel) and limit of frames.
    stacks: BTreeMap<(bool, u32), Arc<LiveMap>>,
}

/// The maps of a plan, in its order. Those that are new become the session's with
/// [`MapTable::commit`]; without it they vanish.
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

    /// Finds or creates every map of a plan.
    pub fn prepare(&self, plans: &[MapPlan], formats: &Arc<Formats>) -> Result<Prepared, MapError> {
        let mut maps = Vec::with_capacity(plans.len());
        for plan in plans {
            let map = match self.existing(plan)? {
                Some(map) => map,
                None => Arc::new(LiveMap::create(plan, self.cpus, formats, &self.budget)?),
            };
            maps.push(map);
        }
        Ok(Prepared { maps })
    }

    /// Makes new maps the session's.
    pub fn commit(&self, prepared: &Prepared) {
        let mut table = self.lock();
        for map in &prepared.maps {
            match &map.plan().role {
                MapRole::User(user) => {
                    table.user.entry(user.name.clone()).or_insert_with(|| Arc::clone(map));
                }
                MapRole::Stacks { user, limit } => {
                    table.stacks.entry((*user, *limit)).or_insert_with(|| Arc::clone(map));
                }
                _ => {}
            }
        }
    }

    fn existing(&self, plan: &MapPlan) -> Result<Option<Arc<LiveMap>>, MapError> {
        match &plan.role {
            MapRole::User(wanted) => self.existing_user(plan, wanted),
            MapRole::Stacks { user, limit } => Ok(self.stacks(*user, *limit)),
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
    pub fn stacks(&self, user: bool, limit: u32) -> Option<Arc<LiveMap>> {
        self.lock().stacks.get(&(user, limit)).cloned()
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
