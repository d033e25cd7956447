//! BTF as C text: declarations and definitions, for people who look a type up.

use std::fmt::Write;

use super::Btf;
use super::raw::{Record, kind};

/// Deeper nesting than this only malformed data has.
const DEEPEST: usize = 32;
/// What has no name of its own.
const UNKNOWN: &str = "void";

/// Parameters of a function as C writes them, and what it returns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// Type and name: `struct file *`, `file`. Unnamed ones are called `arg0` ….
    pub parameters: Vec<(String, String)>,
    /// `None` for `void`.
    pub returns: Option<String>,
}

impl Btf {
    /// The parameters and the result of a function.
    pub fn signature(&self, function: &str) -> Option<Signature> {
        let id = self.functions.find(&self.raw, kind::FUNC, function)?;
        let prototype = self.raw.record(self.raw.record(id)?.size_or_type)?;
        Some(self.signature_of(&prototype))
    }

    /// The parameters of a raw tracepoint, without the kernel's own first one.
    pub fn raw_tracepoint_signature(&self, name: &str) -> Option<Signature> {
        let mut signature =
            super::FUNCTION_PREFIXES.iter().find_map(|prefix| self.signature(&format!("{prefix}{name}")))?;
        signature.parameters.drain(..signature.parameters.len().min(1));
        signature.returns = None;
        Some(signature)
    }

    /// What an iterator goes over (`struct task_struct *`, `task`), without the kernel's `meta`.
    pub fn iterator_signature(&self, name: &str) -> Option<Signature> {
        let mut signature = self.signature(&format!("bpf_iter_{name}"))?;
        signature.parameters.drain(..signature.parameters.len().min(1));
        signature.returns = None;
        Some(signature)
    }

    fn signature_of(&self, prototype: &Record<'_>) -> Signature {
        let parameters = (0..prototype.count).map(|index| {
            let name = self.raw.string(prototype.word(index * 2));
            let name = if name.is_empty() { format!("arg{index}") } else { name.to_owned() };
            (self.declaration(prototype.word(index * 2 + 1), ""), name)
        });
        let returns = prototype.size_or_type;
        Signature { parameters: parameters.collect(), returns: (returns != 0).then(|| self.declaration(returns, "")) }
    }

    /// `struct NAME`, `union NAME` and `enum NAME` of all that have a name and a definition.
    pub fn type_names(&self) -> impl Iterator<Item = (u32, String)> {
        self.raw.records().filter_map(|record| {
            let keyword = keyword(&record)?;
            (!record.name.is_empty()).then(|| (record.id, format!("{keyword} {}", record.name)))
        })
    }

    /// The definition of a structure, union or enumeration, as C writes it, with a newline at its end.
    pub fn definition(&self, id: u32) -> Option<String> {
        let record = self.raw.record(id)?;
        keyword(&record)?;
        Some(format!("{};\n", self.body(&record, 0)))
    }

    /// A type as C declares something called `name` with it.
    pub fn declaration(&self, id: u32, name: &str) -> String {
        self.declare(id, name.to_owned(), 0, 0)
    }

    /// Goes from the name outwards: `inner` is what has been written around it.
    fn declare(&self, id: u32, inner: String, indent: usize, depth: usize) -> String {
        let Some(record) = self.raw.record(id).filter(|_| depth < DEEPEST) else { return join(UNKNOWN, &inner) };
        let target = record.size_or_type;
        match record.kind {
            kind::PTR => self.declare(target, format!("*{inner}"), indent, depth + 1),
            kind::CONST | kind::VOLATILE | kind::RESTRICT => self.qualified(&record, inner, indent, depth),
            kind::ARRAY => {
                let (element, length) = (record.word(0), record.word(2));
                self.declare(element, format!("{}[{length}]", open(inner)), indent, depth + 1)
            }
            kind::FUNC_PROTO => {
                self.declare(target, format!("{}({})", open(inner), self.list(&record, depth)), indent, depth + 1)
            }
            kind::TYPE_TAG => self.declare(target, inner, indent, depth + 1),
            kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 if record.name.is_empty() => {
                join(&self.body(&record, indent), &inner)
            }
            _ => join(&name_of(&record), &inner),
        }
    }

    /// `const` stands before what is not a pointer, and behind the star of what is.
    fn qualified(&self, record: &Record<'_>, inner: String, indent: usize, depth: usize) -> String {
        let word = match record.kind {
            kind::CONST => "const",
            kind::VOLATILE => "volatile",
            _ => "restrict",
        };
        let target = record.size_or_type;
        match self.raw.record(target) {
            Some(pointer) if pointer.kind == kind::PTR => {
                self.declare(target, join(&format!(" {word}"), &inner), indent, depth + 1)
            }
            _ => format!("{word} {}", self.declare(target, inner, indent, depth + 1)),
        }
    }

    fn list(&self, prototype: &Record<'_>, depth: usize) -> String {
        let one = |index: usize| match prototype.word(index * 2 + 1) {
            0 => "...".to_owned(),
            ty => self.declare(ty, String::new(), 0, depth + 1),
        };
        match prototype.count {
            0 => "void".to_owned(),
            count => (0..count).map(one).collect::<Vec<_>>().join(", "),
        }
    }

    /// A definition without the semicolon behind it; lines after the first are indented.
    fn body(&self, record: &Record<'_>, indent: usize) -> String {
        let mut text = keyword(record).unwrap_or("struct").to_owned();
        if !record.name.is_empty() {
            let _ = write!(text, " {}", record.name);
        }
        text.push_str(" {\n");
        let tabs = "\t".repeat(indent + 1);
        if matches!(record.kind, kind::ENUM | kind::ENUM64) {
            for (name, value) in self.variants(record) {
                let _ = writeln!(text, "{tabs}{name} = {value},");
            }
        } else {
            for index in 0..record.count {
                let _ = writeln!(text, "{tabs}{};", self.member(record, index, indent + 1));
            }
        }
        let _ = write!(text, "{}}}", "\t".repeat(indent));
        text
    }

    fn member(&self, record: &Record<'_>, index: usize, indent: usize) -> String {
        let name = self.raw.string(record.word(index * 3)).to_owned();
        let (ty, place) = (record.word(index * 3 + 1), record.word(index * 3 + 2));
        let width = if record.flag { place >> 24 } else { 0 };
        let declared = if indent < DEEPEST { self.declare(ty, name, indent, 0) } else { name };
        if width > 0 { format!("{declared}: {width}") } else { declared }
    }
}

/// The keyword of a type that has a definition.
fn keyword(record: &Record<'_>) -> Option<&'static str> {
    match record.kind {
        kind::STRUCT => Some("struct"),
        kind::UNION => Some("union"),
        kind::ENUM | kind::ENUM64 => Some("enum"),
        _ => None,
    }
}

fn name_of(record: &Record<'_>) -> String {
    let keyword = keyword(record).or(match (record.kind, record.flag) {
        (kind::FWD, true) => Some("union"),
        (kind::FWD, false) => Some("struct"),
        _ => None,
    });
    match keyword {
        Some(keyword) => format!("{keyword} {}", record.name),
        None => record.name.to_owned(),
    }
}

/// What is a pointer first and an array or function then is put in parentheses.
fn open(inner: String) -> String {
    if inner.starts_with('*') { format!("({inner})") } else { inner }
}

fn join(ty: &str, inner: &str) -> String {
    if inner.is_empty() { ty.to_owned() } else { format!("{ty} {inner}") }
}

#[cfg(test)]
mod tests {
    use super::super::tests::kernel;
    use super::*;

    fn definition(btf: &Btf, name: &str) -> String {
        let (id, _) = btf.type_names().find(|(_, known)| known == name).unwrap();
        btf.definition(id).unwrap()
    }

    #[test]
    fn functions_have_parameters_and_a_result() {
        let Some(btf) = kernel() else { return };
        let signature = btf.signature("vfs_read").unwrap();
        let parameters: Vec<_> = signature.parameters.iter().map(|(ty, name)| format!("{ty} {name}")).collect();
        assert_eq!(parameters, ["struct file * file", "char * buf", "size_t count", "loff_t * pos"]);
        assert_eq!(signature.returns.as_deref(), Some("ssize_t"));
        assert_eq!(btf.signature("no_such_function"), None);
    }

    #[test]
    fn raw_tracepoints_and_iterators_leave_out_what_is_the_kernels() {
        let Some(btf) = kernel() else { return };
        let signature = btf.raw_tracepoint_signature("sys_enter").unwrap();
        let parameter = |ty: &str, name: &str| (ty.to_owned(), name.to_owned());
        assert_eq!(signature.parameters, [parameter("struct pt_regs *", "regs"), parameter("long int", "id")]);
        let signature = btf.iterator_signature("task").unwrap();
        assert_eq!(signature.parameters, [parameter("struct task_struct *", "task")]);
    }

    #[test]
    fn definitions_are_c() {
        let Some(btf) = kernel() else { return };
        assert_eq!(
            definition(&btf, "struct list_head"),
            "struct list_head {\n\tstruct list_head *next;\n\tstruct list_head *prev;\n};\n"
        );
        let timer = definition(&btf, "struct timer_list");
        assert!(timer.contains("\tvoid (*function)(struct timer_list *);\n"), "{timer}");
        let task = definition(&btf, "struct task_struct");
        assert!(task.contains("\tchar comm[16];\n") && task.contains(": 1;\n"), "{task}");
        assert!(task.contains("\tconst struct cred *cred;\n"), "{task}");
        assert!(definition(&btf, "enum bpf_map_type").contains("\tBPF_MAP_TYPE_RINGBUF = 27,\n"));
    }
}
