//! What the session knows of its maps beyond their contents: which cells fixed and used them.

use std::collections::{BTreeMap, BTreeSet};

use probebook_compiler::plan::{MapPlan, MapRole, Plan};
use probebook_compiler::semantics::environment::LiveMap;

/// The cells behind the session's maps.
#[derive(Debug, Default)]
pub struct MapOrigins {
    origins: BTreeMap<String, Origin>,
}

#[derive(Clone, Debug)]
struct Origin {
    /// The label of the cell that fixed the type: `In [3]`.
    label: String,
    /// The notebook ids of all cells that have used the map; `None` for a cell without one.
    users: BTreeSet<Option<String>>,
}

impl MapOrigins {
    /// Notes that a cell ran with these maps.
    pub fn note(&mut self, plan: &Plan, label: &str, cell: Option<&str>) {
        for name in user_maps(&plan.maps) {
            let origin = self
                .origins
                .entry(name.to_string())
                .or_insert_with(|| Origin { label: label.to_string(), users: BTreeSet::new() });
            origin.users.insert(cell.map(str::to_string));
        }
    }

    pub fn forget(&mut self, name: &str) {
        self.origins.remove(name);
    }

    /// `In [3]`
    pub fn label(&self, name: &str) -> &str {
        self.origins.get(name).map_or("an earlier cell", |origin| origin.label.as_str())
    }

    /// Whether only this cell has used the map: it may retype it when it is run again.
    pub fn belongs_to(&self, name: &str, cell: Option<&str>) -> bool {
        let Some(cell) = cell else { return false };
        let only = |origin: &Origin| origin.users.iter().all(|user| user.as_deref() == Some(cell));
        self.origins.get(name).is_some_and(only)
    }

    /// The session's maps as the compiler wants them.
    pub fn live_maps(&self, plans: &[MapPlan]) -> Vec<LiveMap> {
        let live = |plan: &MapPlan| match &plan.role {
            MapRole::User(map) => Some(LiveMap {
                map: map.clone(),
                kind: plan.kind,
                max_entries: plan.max_entries,
                defined_by: self.label(&map.name).to_string(),
            }),
            _ => None,
        };
        plans.iter().filter_map(live).collect()
    }
}

/// The names of the user's maps in a plan.
pub fn user_maps(maps: &[MapPlan]) -> impl Iterator<Item = &str> {
    maps.iter().filter_map(|map| match &map.role {
        MapRole::User(user) => Some(user.name.as_str()),
        _ => None,
    })
}
