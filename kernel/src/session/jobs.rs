//! Background jobs: traces that go on while later cells run.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use probebook_runtime::text::reason;
use probebook_runtime::{Status, TraceHandle};

use super::cell::Running;
use super::notebook::table;

/// How long a job may take to come to its end when it is stopped.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// The jobs of a notebook, by name.
#[derive(Default)]
pub struct Jobs {
    jobs: Mutex<BTreeMap<String, Job>>,
}

struct Job {
    label: String,
    handle: TraceHandle,
    started: Instant,
    done: Arc<AtomicBool>,
    /// The maps that it uses, without `@`.
    maps: Vec<String>,
}

/// What can go wrong with a job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("a job named {0} is running; %stop {0} ends it")]
    Exists(String),
    #[error("there is no job named {0}; %jobs lists them")]
    Unknown(String),
    #[error("waiting for {0} was interrupted; it goes on")]
    Interrupted(String),
    #[error("there is no thread for it: {}", reason(.0))]
    NoThread(io::Error),
}

impl JobError {
    /// Stable and kebab-case.
    pub fn id(&self) -> &'static str {
        match self {
            JobError::Exists(_) => "job-exists",
            JobError::Unknown(_) => "no-such-job",
            JobError::Interrupted(_) => "interrupted",
            JobError::NoThread(_) => "job-failed",
        }
    }
}

impl Jobs {
    /// Whether a job may have this name. Cells come one after the other, so it stays free while one
    /// is made ready.
    pub fn check_free(&self, name: &str) -> Result<(), JobError> {
        match self.lock().get(name) {
            Some(job) if !job.is_done() => Err(JobError::Exists(name.to_string())),
            _ => Ok(()),
        }
    }

    /// The maps that running jobs use, without `@`.
    pub fn maps(&self) -> BTreeSet<String> {
        let jobs = self.lock();
        jobs.values().filter(|job| !job.is_done()).flat_map(|job| job.maps.iter().cloned()).collect()
    }

    /// Lets a trace go on in a thread of its own. `maps`: those that it uses, without `@`.
    pub fn start(
        &self,
        name: &str,
        label: &str,
        handle: TraceHandle,
        running: Running,
        maps: Vec<String>,
    ) -> Result<(), JobError> {
        self.check_free(name)?;
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        let output = running.sink.output();
        let body = move || {
            if let Err(report) = running.run_to_end(Status::Running) {
                output.error(&report);
            }
            flag.store(true, Ordering::Release);
        };
        let spawned = thread::Builder::new().name(format!("job {name}")).spawn(body);
        spawned.map_err(JobError::NoThread)?;
        let job = Job { label: label.to_string(), handle, started: Instant::now(), done, maps };
        self.lock().insert(name.to_string(), job);
        Ok(())
    }

    /// Whether there is a job of this name, running or ended.
    pub fn check_known(&self, name: &str) -> Result<(), JobError> {
        match self.lock().contains_key(name) {
            true => Ok(()),
            false => Err(JobError::Unknown(name.to_string())),
        }
    }

    /// Ends a job and waits until it has shown its maps.
    pub fn stop(&self, name: &str) -> Result<(), JobError> {
        let job = self.lock().remove(name).ok_or_else(|| JobError::Unknown(name.to_string()))?;
        job.handle.interrupt();
        job.wait(STOP_WITHIN, &|| false);
        Ok(())
    }

    pub fn stop_all(&self) {
        let jobs = std::mem::take(&mut *self.lock());
        jobs.values().for_each(|job| job.handle.interrupt());
        jobs.values().for_each(|job| {
            job.wait(STOP_WITHIN, &|| false);
        });
    }

    /// Waits for a job to end by itself, until `interrupted` says otherwise.
    pub fn wait(&self, name: &str, interrupted: &dyn Fn() -> bool) -> Result<(), JobError> {
        let done = self.lock().get(name).map(|job| Arc::clone(&job.done));
        wait_for(&*done.ok_or_else(|| JobError::Unknown(name.to_string()))?, None, interrupted);
        if interrupted() { Err(JobError::Interrupted(name.to_string())) } else { Ok(()) }
    }

    /// What `%jobs` shows.
    pub fn table(&self) -> String {
        let jobs = self.lock();
        if jobs.is_empty() {
            return "There are no background jobs.\n".to_string();
        }
        let rows = jobs.iter().map(|(name, job)| {
            let state = if job.is_done() { "ended" } else { "running" };
            [name.clone(), state.to_string(), format!("{} s", job.started.elapsed().as_secs()), job.label.clone()]
        });
        table(["job", "state", "since", "started by"], rows)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn wait(&self, limit: Duration, interrupted: &dyn Fn() -> bool) {
        wait_for(&self.done, Some(Instant::now() + limit), interrupted);
    }
}

fn wait_for(done: &AtomicBool, deadline: Option<Instant>, interrupted: &dyn Fn() -> bool) {
    while !done.load(Ordering::Acquire) && !interrupted() {
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}
