//! One run of `probebook run`, with what happens beside it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::case::Case;
use super::patience;
use super::place::Place;

/// How often a running process is looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// What makes `probebook run` say on standard output that its probes are attached, and what it says.
const ATTACHED: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

/// How long a script that does not tell of its attached probes is given to attach them.
const SILENT_START: Duration = Duration::from_secs(1);

/// What a run left behind.
pub struct Run {
    pub stdout: String,
    pub stderr: String,
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote into `{{dir}}/out`.
    pub file: Option<String>,
    /// What the blanks of the case stood for.
    pub blanks: Vec<(String, String)>,
}

/// A process and its children, ended with it.
struct Group(Child);

impl Group {
    fn spawn(command: &mut Command) -> Result<Self, String> {
        command.process_group(0).stdin(Stdio::null());
        command.spawn().map(Self).map_err(|error| format!("{command:?}: {error}"))
    }

    fn shell(command: &str) -> Result<Self, String> {
        // Cargo sets a library path, along which programs would look for their libraries first.
        Self::spawn(
            Command::new("sh")
                .env_remove("LD_LIBRARY_PATH")
                .args(["-c", command])
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.has_ended() {
            signal("KILL", &format!("-{}", self.0.id()));
            let _ = self.0.wait();
        }
    }
}

fn signal(name: &str, target: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), "--", target]).stderr(Stdio::null()).status();
}

/// A BPF file system, as long as the case runs.
struct Pins(std::path::PathBuf);

impl Pins {
    fn mount(folder: &std::path::Path) -> Result<Self, String> {
        let path = folder.join("bpf");
        std::fs::create_dir(&path).map_err(|error| error.to_string())?;
        let mount = Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&path).output();
        match mount {
            Ok(output) if output.status.success() => Ok(Self(path)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(format!("mount: {error}")),
        }
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Runs a case; a message if it cannot be run or takes too long.
pub fn run(case: &Case, place: &Place) -> Result<Run, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut blanks = place.programs_for(case, folder.path())?;
    blanks.push(("{{dir}}".into(), folder.path().display().to_string()));
    let probebook = std::env::var("PROBEBOOK").unwrap_or(env!("CARGO_BIN_EXE_probebook").into());
    blanks.push(("{{probebook}}".into(), probebook.clone()));
    blanks.push(("{{sys}}".into(), if cfg!(target_arch = "aarch64") { "__arm64_sys" } else { "__x64_sys" }.into()));
    let _pins = case.needs.iter().any(|need| need == "bpffs").then(|| Pins::mount(folder.path())).transpose()?;
    let before = case.before.as_deref().map(|command| format!("exec {}", fill(command, &blanks)));
    let before = before.as_deref().map(Group::shell).transpose()?;
    case.delay.into_iter().for_each(|delay| thread::sleep(delay * patience()));
    if let Some(group) = &before {
        blanks.push(("{{pid}}".into(), group.0.id().to_string()));
    }
    let fill = |text: &str| fill(text, &blanks);

    let mut command = Command::new(probebook);
    command.env_remove("LD_LIBRARY_PATH");
    command.arg("run").args(case.args.iter().map(|argument| fill(argument)));
    for (path, text) in &case.writes {
        write(&folder.path().join(path), &fill(text)).map_err(|error| format!("{path}: {error}"))?;
    }
    let script = fill(&case.script);
    if case.by_file {
        std::fs::write(folder.path().join("script.bt"), script).map_err(|error| error.to_string())?;
        command.arg("script.bt");
    } else {
        command.args(["-e", &script]);
    }
    command.args(case.params.iter().map(|argument| fill(argument)));
    command.envs(case.env.iter().map(|(name, value)| (name, value)));
    if case.silent() && !case.writes_elsewhere() {
        command.env(ATTACHED, "1");
    }
    command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());

    let during = case.during.as_deref().map(fill);
    let (stdout, stderr, code) = watch(case, Group::spawn(&mut command)?, during.as_deref())?;
    let written = ["out", "bpf/out"].into_iter().find_map(|name| std::fs::read(folder.path().join(name)).ok());
    let file = written.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Run { stdout, stderr, code, file, blanks })
}

/// Writes a file and the folders around it.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, format!("{text}\n"))
}

/// A text with its blanks, such as `{{pid}}`, filled in.
pub fn fill(text: &str, blanks: &[(String, String)]) -> String {
    blanks.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// Waits for the end, gives the workload and the interrupt their turn, and collects the output.
fn watch(case: &Case, mut group: Group, during: Option<&str>) -> Result<(String, String, Option<i32>), String> {
    let (tell, attached) = mpsc::channel();
    let tell_too = tell.clone();
    let stdout = group.0.stdout.take().map(|pipe| thread::spawn(move || read_lines(pipe, &tell_too)));
    let stderr = group.0.stderr.take().map(|pipe| thread::spawn(move || read_lines(pipe, &tell)));
    let start = Instant::now();
    let timeout = case.timeout * patience();
    let mut workload = None;
    let mut interrupt = None;
    let mut waiting = during.is_some() || case.interrupt.is_some();
    while !group.has_ended() {
        if start.elapsed() > timeout {
            drop(group);
            let (out, err) = (collect(stdout), collect(stderr));
            return Err(format!("  took longer than {timeout:?}\n  stdout: {out:?}\n  stderr: {err:?}"));
        }
        let told = attached.recv_timeout(GLANCE);
        if told == Err(RecvTimeoutError::Disconnected) {
            thread::sleep(GLANCE);
        }
        if waiting && (told.is_ok() || case.writes_elsewhere() && start.elapsed() > SILENT_START * patience()) {
            waiting = false;
            workload = during.map(Group::shell).transpose()?;
            interrupt = case.interrupt.map(|delay| Instant::now() + delay);
        }
        let finished = workload.as_mut().is_some_and(Group::has_ended) && case.interrupt.is_none();
        if finished || interrupt.is_some_and(|due| Instant::now() >= due) {
            (workload, interrupt) = (None, None);
            signal("INT", &group.0.id().to_string());
        }
    }
    let code = group.0.wait().map_err(|error| error.to_string())?.code();
    Ok((collect(stdout), collect(stderr), code))
}

fn collect(reader: Option<thread::JoinHandle<String>>) -> String {
    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
}

/// Reads to the end, and tells when the line that says how many probes are attached has come, or the one that
/// stands for it, which is left out.
fn read_lines(pipe: impl Read, attached: &mpsc::Sender<()>) -> String {
    let mut reader = BufReader::new(pipe);
    let mut text = Vec::new();
    loop {
        let before = text.len();
        match reader.read_until(b'\n', &mut text) {
            Ok(length) if length > 0 => {}
            _ => return String::from_utf8_lossy(&text).into_owned(),
        }
        let line = &text[before..];
        let is_mark = line == format!("{ATTACHED}\n").as_bytes();
        if is_mark || line.starts_with(b"Attached ") {
            let _ = attached.send(());
        }
        if is_mark {
            text.truncate(before);
        }
    }
}
