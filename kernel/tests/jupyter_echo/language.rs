//! A language of a few commands, each with an argument, separated by semicolons.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use probebook_kernel::jupyter::{
    Completeness, Completion, ErrorReport, ExecuteOutcome, ExecuteRequest, Interpreter, KernelInfo, LanguageInfo,
    MimeBundle, Output,
};

#[derive(Default)]
pub struct Toy {
    interrupted: Mutex<bool>,
    changed: Condvar,
}

impl Toy {
    fn run(&self, command: &str, request: &ExecuteRequest, output: &Output) -> Result<(), String> {
        let (verb, argument) = command.split_once(' ').unwrap_or((command, ""));
        match verb {
            "print" => output.stdout(&format!("{argument}\n")),
            "error" => output.stderr(&format!("{argument}\n")),
            "show" => output.display(MimeBundle::text(argument), None),
            "cell" => output.stdout(&format!("{}\n", request.cell_id.as_deref().unwrap_or("-"))),
            "burst" => {
                for n in 0..argument.parse::<u32>().unwrap() {
                    output.stdout(&format!("line {n}\n"));
                }
            }
            "wait" => {
                let interrupted = self.interrupted.lock().unwrap();
                let limit = Duration::from_secs(20);
                let wait = |interrupted: &mut bool| !*interrupted;
                let (mut interrupted, _) = self.changed.wait_timeout_while(interrupted, limit, wait).unwrap();
                *interrupted = false;
            }
            "panic" => panic!("on command"),
            _ => return Err(format!("unknown command {verb}")),
        }
        Ok(())
    }
}

fn report(message: String) -> ErrorReport {
    ErrorReport { ename: "Error".to_owned(), traceback: vec![message.clone()], evalue: message }
}

impl Interpreter for Toy {
    fn kernel_info(&self) -> KernelInfo {
        KernelInfo {
            implementation: "toy".to_owned(),
            implementation_version: "1".to_owned(),
            banner: "toy".to_owned(),
            language_info: LanguageInfo {
                name: "toy".to_owned(),
                version: "1".to_owned(),
                mimetype: None,
                file_extension: None,
                pygments_lexer: None,
                codemirror_mode: None,
                nbconvert_exporter: None,
            },
            help_links: Vec::new(),
        }
    }

    fn execute(&self, request: &ExecuteRequest, output: &Output) -> ExecuteOutcome {
        for command in request.code.split(';') {
            if let Err(message) = self.run(command, request, output) {
                return ExecuteOutcome::Error(report(message));
            }
        }
        ExecuteOutcome::ok()
    }

    fn interrupt(&self) {
        *self.interrupted.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn is_complete(&self, _code: &str) -> Completeness {
        Completeness::Complete
    }

    fn complete(&self, _code: &str, cursor: usize) -> Completion {
        Completion { matches: Vec::new(), cursor_start: 0, cursor_end: cursor }
    }

    fn inspect(&self, code: &str, _cursor: usize, _detail: u8) -> Option<MimeBundle> {
        Some(MimeBundle::text(code))
    }

    fn evaluate(&self, expression: &str) -> Result<MimeBundle, ErrorReport> {
        Err(report(expression.to_owned()))
    }

    fn shutdown(&self, _restart: bool) {
        self.interrupt();
    }
}
