//! The kernel's own description of its types, from `/sys/kernel/btf/vmlinux`.

mod c_text;
mod convert;
mod raw;

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use probebook_compiler::kernel_info::Prototype;
use probebook_compiler::types::{EnumType, StructType, Type};

pub use c_text::Signature;
use raw::{Raw, Record, kind};

/// Where the kernel keeps its description.
const PATH: &str = "/sys/kernel/btf/vmlinux";
/// The modules' are beside it.
pub const MODULES: &str = "/sys/kernel/btf";
/// Structures without a name are called this and their number.
const UNNAMED: &str = "unnamed_";
/// Tracepoints' typedefs and functions start with these (`include/trace/bpf_probe.h`,
/// `include/linux/tracepoint.h`). The function's parameters have names.
const TYPEDEF_PREFIX: &str = "btf_trace_";
const FUNCTION_PREFIXES: [&str; 2] = ["__bpf_trace_", "__traceiter_"];
/// An iterator's function and the structure that is its context (`DEFINE_BPF_ITER_FUNC` in
/// `include/linux/bpf.h`).
const ITERATOR_FUNCTION: &str = "bpf_iter_";
const ITERATOR_CONTEXT: &str = "bpf_iter__";

/// The kernel's types by name. Without BTF it is empty.
#[derive(Debug, Default)]
pub struct Btf {
    raw: Arc<Raw>,
    structs: Index,
    unions: Index,
    typedefs: Index,
    enums: Index,
    functions: Index,
    /// Constants of enumerations: which one, and the value.
    constants: OnceLock<HashMap<String, (u32, i64)>>,
    converted: Mutex<HashMap<String, Option<Arc<StructType>>>>,
}

/// Ids by name, made when first asked for.
#[derive(Debug, Default)]
struct Index(OnceLock<HashMap<String, u32>>);

impl Index {
    fn find(&self, raw: &Raw, kind: u8, name: &str) -> Option<u32> {
        self.all(raw, kind).get(name).copied()
    }

    fn all(&self, raw: &Raw, kind: u8) -> &HashMap<String, u32> {
        self.0.get_or_init(|| {
            let named = raw.records().filter(|record| record.kind == kind && !record.name.is_empty());
            let mut index = HashMap::new();
            named.for_each(|record| {
                // The first of several has the name.
                index.entry(record.name.to_owned()).or_insert(record.id);
            });
            index
        })
    }
}

impl Btf {
    /// Reads the running kernel's.
    pub fn read() -> Btf {
        Btf::parse(fs::read(PATH).unwrap_or_default())
    }

    fn parse(data: Vec<u8>) -> Btf {
        Btf { raw: Arc::new(Raw::parse(data).unwrap_or_default()), ..Btf::default() }
    }

    /// What a module adds to the kernel's types; `None` if it does not describe itself.
    pub fn read_module(&self, module: &str) -> Option<Btf> {
        let data = fs::read(format!("{MODULES}/{module}")).ok()?;
        let raw = Raw::parse_split(data, Some(Arc::clone(&self.raw)))?;
        Some(Btf { raw: Arc::new(raw), ..Btf::default() })
    }

    /// Types of a BPF program, which stand for themselves.
    pub fn of_program(data: Vec<u8>) -> Btf {
        Btf::parse(data)
    }

    /// Makes the indices that almost every script needs; for a background thread.
    pub fn read_ahead(&self) {
        self.structs.all(&self.raw, kind::STRUCT);
        self.typedefs.all(&self.raw, kind::TYPEDEF);
    }

    pub fn is_empty(&self) -> bool {
        self.raw.len() <= 1
    }

    fn raw(&self) -> &Raw {
        &self.raw
    }

    /// A structure by `struct name`, `union name`, or the typedef of one without a name.
    pub fn struct_type(&self, name: &str) -> Option<Arc<StructType>> {
        if let Some(known) = self.converted.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return known.clone();
        }
        let found = self.find_struct(name);
        self.converted.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), found.clone());
        found
    }

    fn find_struct(&self, name: &str) -> Option<Arc<StructType>> {
        let id = match name.split_once(' ') {
            Some((_, bare)) if bare.starts_with(UNNAMED) => bare.strip_prefix(UNNAMED)?.parse().ok()?,
            Some(("struct", bare)) => self.structs.find(&self.raw, kind::STRUCT, bare)?,
            Some(("union", bare)) => self.unions.find(&self.raw, kind::UNION, bare)?,
            _ => self.typedefs.find(&self.raw, kind::TYPEDEF, name)?,
        };
        match self.ty(id) {
            Type::Struct(info) if info.name == name => Some(info),
            Type::Struct(info) => Some(Arc::new(StructType { name: name.to_owned(), ..StructType::clone(&info) })),
            _ => None,
        }
    }

    /// What a typedef stands for.
    pub fn typedef(&self, name: &str) -> Option<Type> {
        self.typedefs.find(&self.raw, kind::TYPEDEF, name).map(|id| self.ty(id))
    }

    pub fn enum_type(&self, name: &str) -> Option<Arc<EnumType>> {
        let id = self.enums.find(&self.raw, kind::ENUM, name)?;
        Some(Arc::new(self.enumeration(&self.raw.record(id)?)))
    }

    /// A constant by name, and the enumeration that has it.
    pub fn enum_constant(&self, name: &str) -> Option<(Arc<EnumType>, i64)> {
        let (id, value) = self.constants().get(name)?;
        Some((Arc::new(self.enumeration(&self.raw.record(*id)?)), *value))
    }

    fn constants(&self) -> &HashMap<String, (u32, i64)> {
        self.constants.get_or_init(|| {
            let mut constants = HashMap::new();
            let enums = self.raw.records().filter(|record| matches!(record.kind, kind::ENUM | kind::ENUM64));
            for record in enums {
                for (name, value) in self.variants(&record) {
                    constants.entry(name.to_owned()).or_insert((record.id, value));
                }
            }
            constants
        })
    }

    /// Names of all functions that are described.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.functions.all(&self.raw, kind::FUNC).keys().map(String::as_str)
    }

    /// The id of a function, as `BPF_PROG_LOAD` wants it.
    pub fn function_id(&self, name: &str) -> Option<u32> {
        self.functions.find(&self.raw, kind::FUNC, name)
    }

    /// The name of a type.
    pub fn name(&self, id: u32) -> Option<&str> {
        self.raw.record(id).map(|record| record.name)
    }

    /// What a function takes and returns.
    pub fn prototype(&self, function: &str) -> Option<Prototype> {
        let record = self.raw.record(self.raw.record(self.function_id(function)?)?.size_or_type)?;
        (record.kind == kind::FUNC_PROTO).then_some(())?;
        Some(Prototype { parameters: self.parameters(&record, 0), result: self.ty(record.size_or_type) })
    }

    /// The id of the typedef of a raw tracepoint, as `BPF_PROG_LOAD` wants it.
    pub fn raw_tracepoint_id(&self, name: &str) -> Option<u32> {
        self.typedefs.find(&self.raw, kind::TYPEDEF, &format!("{TYPEDEF_PREFIX}{name}"))
    }

    /// The id of an iterator's function, as `BPF_PROG_LOAD` wants it.
    pub fn iterator_id(&self, name: &str) -> Option<u32> {
        self.function_id(&format!("{ITERATOR_FUNCTION}{name}"))
    }

    /// Names of the iterators: each has a structure for its context, and a function.
    pub fn iterators(&self) -> Vec<String> {
        let structs = self.structs.all(&self.raw, kind::STRUCT).keys();
        let named = structs.filter_map(|name| name.strip_prefix(ITERATOR_CONTEXT));
        let mut names: Vec<String> = named.filter(|name| self.iterator_id(name).is_some()).map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Names of the raw tracepoints, sorted.
    pub fn raw_tracepoints(&self) -> Vec<String> {
        let typedefs = self.typedefs.all(&self.raw, kind::TYPEDEF).keys();
        let mut names: Vec<String> =
            typedefs.filter_map(|name| Some(name.strip_prefix(TYPEDEF_PREFIX)?.to_owned())).collect();
        names.sort();
        names
    }

    /// Names and types of a raw tracepoint's arguments.
    pub fn raw_tracepoint_arguments(&self, name: &str) -> Option<Vec<(String, Type)>> {
        let typedef = self.typedefs.find(&self.raw, kind::TYPEDEF, &format!("{TYPEDEF_PREFIX}{name}"))?;
        let named = FUNCTION_PREFIXES.iter().filter_map(|prefix| {
            let id = self.functions.find(&self.raw, kind::FUNC, &format!("{prefix}{name}"))?;
            self.raw.record(self.raw.record(id)?.size_or_type)
        });
        let pointer = self.raw.record(typedef).and_then(|typedef| self.raw.record(typedef.size_or_type));
        let unnamed = pointer.and_then(|pointer| self.raw.record(pointer.size_or_type));
        let prototype = named.chain(unnamed).find(|record| record.kind == kind::FUNC_PROTO)?;
        // The first is the kernel's own (`void *__data`).
        Some(self.parameters(&prototype, 1))
    }

    /// All parameters from one on.
    fn parameters(&self, prototype: &Record<'_>, first: usize) -> Vec<(String, Type)> {
        let parameters = (first..prototype.count).map(|index| {
            let name = self.raw.string(prototype.word(index * 2));
            let name = if name.is_empty() { format!("arg{}", index - first) } else { name.to_owned() };
            (name, self.ty(prototype.word(index * 2 + 1)))
        });
        parameters.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probebook_compiler::types::AddressSpace;

    /// The running kernel's types, or `None` (and a word about it) where it has none.
    pub(super) fn kernel() -> Option<Btf> {
        let btf = Btf::read();
        if btf.is_empty() {
            println!("skipped: this kernel has no BTF");
            return None;
        }
        Some(btf)
    }

    fn field<'a>(info: &'a StructType, name: &str) -> &'a Type {
        &info.fields.iter().find(|field| field.name == name).unwrap().ty
    }

    #[test]
    fn what_is_not_btf_is_empty() {
        assert!(Btf::parse(b"\x9f\xeb".to_vec()).is_empty());
        assert!(Btf::parse(vec![0; 100]).struct_type("struct task_struct").is_none());
    }

    #[test]
    fn a_task_has_its_fields() {
        let Some(btf) = kernel() else { return };
        let task = btf.struct_type("struct task_struct").unwrap();
        assert!(task.size > 1000);
        assert_eq!(field(&task, "pid"), &Type::I32);
        assert_eq!(field(&task, "comm"), &Type::String { capacity: 16 });
        let Type::Pointer { to, space: AddressSpace::Kernel } = field(&task, "mm") else {
            panic!("{:?}", field(&task, "mm"))
        };
        assert!(matches!(&**to, Type::Struct(info) if info.name == "struct mm_struct" && info.fields.is_empty()));
        assert!(task.fields.iter().any(|field| field.bitfield == Some((0, 1))));
    }

    #[test]
    fn fields_of_unnamed_structures_are_the_outer_ones() {
        let Some(btf) = kernel() else { return };
        // struct mm_struct is a struct without a name inside, and has `pgd` in that.
        let mm = btf.struct_type("struct mm_struct").unwrap();
        assert!(mm.fields.iter().any(|field| field.name == "pgd"));
        assert!(btf.struct_type("struct no_such_thing").is_none());
    }

    #[test]
    fn typedefs_and_constants_are_found() {
        let Some(btf) = kernel() else { return };
        assert_eq!(btf.typedef("u32"), Some(Type::U32));
        let Some(Type::Struct(info)) = btf.typedef("atomic_t") else { panic!("{:?}", btf.typedef("atomic_t")) };
        assert_eq!(info.name, "atomic_t");
        assert_eq!(btf.struct_type("atomic_t").as_deref(), Some(&*info));
        let (info, value) = btf.enum_constant("BPF_MAP_TYPE_RINGBUF").unwrap();
        assert_eq!((info.name.as_str(), value), ("bpf_map_type", 27));
        assert_eq!(btf.enum_type("bpf_map_type").unwrap().variants.len(), info.variants.len());
    }

    #[test]
    fn raw_tracepoints_have_arguments() {
        let Some(btf) = kernel() else { return };
        assert!(btf.raw_tracepoints().iter().any(|name| name == "sched_switch"));
        let arguments = btf.raw_tracepoint_arguments("sys_enter").unwrap();
        let names: Vec<&str> = arguments.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["regs", "id"]);
        assert_eq!(arguments[1].1, Type::I64);
        assert!(btf.raw_tracepoint_arguments("no_such_thing").is_none());
    }
}
