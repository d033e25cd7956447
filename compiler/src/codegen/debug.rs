//! Debug information, from which LLVM makes BTF: the functions, which the kernel wants for
//! callbacks, and the script's lines, which the verifier's log quotes.
//!
//! inkwell cannot attach a source text to a file, and without it LLVM would look for a file of
//! that name. So this module calls the C interface of LLVM itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_char;
use std::ptr;

use inkwell::builder::Builder;
use inkwell::llvm_sys::core::LLVMGetModuleContext;
use inkwell::llvm_sys::core::LLVMSetCurrentDebugLocation2;
use inkwell::llvm_sys::debuginfo::*;
use inkwell::llvm_sys::prelude::{LLVMDIBuilderRef, LLVMMetadataRef};
use inkwell::module::{FlagBehavior, Module};
use inkwell::types::IntType;
use inkwell::values::{AsValueRef, FunctionValue};

use crate::diagnostics::Sources;
use crate::syntax::ast::{SourceId, Span};

/// `DW_ATE_signed` and `DW_ATE_unsigned` of the DWARF standard, section 7.8.
const SIGNED: LLVMDWARFTypeEncoding = 5;
const UNSIGNED: LLVMDWARFTypeEncoding = 7;
const PRODUCER: &str = "probebook";
const VERSION_FLAG: &str = "Debug Info Version";
/// LLVM's C interface takes a source text only together with a checksum. Neither BTF nor anything
/// that reads it has a use for one.
const NO_CHECKSUM: &str = "00000000000000000000000000000000";

/// The debug information of one LLVM module.
pub(super) struct DebugInfo<'a> {
    builder: LLVMDIBuilderRef,
    context: inkwell::llvm_sys::prelude::LLVMContextRef,
    sources: &'a Sources,
    unit_file: LLVMMetadataRef,
    types: BasicTypes,
    files: RefCell<HashMap<SourceId, SourceFile>>,
}

/// The types that signatures are made of.
struct BasicTypes {
    int: LLVMMetadataRef,
    long: LLVMMetadataRef,
    index: LLVMMetadataRef,
    pointer: LLVMMetadataRef,
}

struct SourceFile {
    file: LLVMMetadataRef,
    /// Byte offsets at which lines start.
    lines: Vec<usize>,
}

/// A function's debug information.
pub(super) struct FunctionScope {
    subprogram: LLVMMetadataRef,
    source: Option<SourceId>,
    /// Scopes for code that comes from other texts, such as imported macros.
    foreign: RefCell<HashMap<SourceId, LLVMMetadataRef>>,
}

/// A string's place and length as the C interface wants them.
fn text(text: &str) -> (*const c_char, usize) {
    (text.as_ptr().cast(), text.len())
}

impl<'a> DebugInfo<'a> {
    /// Debug information for `module`, which must live as long.
    pub fn new<'ctx>(module: &Module<'ctx>, int: IntType<'ctx>, sources: &'a Sources) -> Self {
        let version = int.const_int(u64::from(inkwell::debug_info::debug_metadata_version()), false);
        // Linked C code brings its own.
        if module.get_flag(VERSION_FLAG).is_none() {
            module.add_basic_value_flag(VERSION_FLAG, FlagBehavior::Warning, version);
        }
        // SAFETY: the module is alive, and the builder is disposed of in `drop`, before it.
        let (builder, context) =
            unsafe { (LLVMCreateDIBuilder(module.as_mut_ptr()), LLVMGetModuleContext(module.as_mut_ptr())) };
        let unit_file = create_file(builder, PRODUCER, "");
        create_unit(builder, unit_file);
        let types = BasicTypes {
            int: create_integer(builder, "int", 32, SIGNED),
            long: create_integer(builder, "long", 64, SIGNED),
            index: create_integer(builder, "unsigned long", 64, UNSIGNED),
            pointer: create_void_pointer(builder),
        };
        let files = RefCell::new(HashMap::new());
        Self { builder, context, sources, unit_file, types, files }
    }

    /// Describes `function`, which starts at `span`, and attaches the description.
    pub fn function(
        &self,
        function: FunctionValue<'_>,
        parameters: &[&str],
        is_external: bool,
        span: Option<Span>,
    ) -> FunctionScope {
        let source = span.map(|span| span.source);
        let (file, line, _) = self.place(span);
        let mut signature = vec![if is_external { self.types.int } else { self.types.long }];
        for parameter in function.get_type().get_param_types() {
            signature.push(if parameter.is_pointer_type() { self.types.pointer } else { self.types.index });
        }
        let name = function.get_name().to_string_lossy();
        let (name, length) = text(&name);
        // SAFETY: all metadata comes from this builder; the strings and the slice outlive the calls,
        // which copy them; the function belongs to the builder's module.
        let subprogram = unsafe {
            let count = signature.len() as u32;
            let ty = LLVMDIBuilderCreateSubroutineType(self.builder, file, signature.as_mut_ptr(), count, 0);
            let local = i32::from(!is_external);
            let subprogram = LLVMDIBuilderCreateFunction(
                self.builder,
                file,
                name,
                length,
                name,
                length,
                file,
                line,
                ty,
                local,
                1,
                line,
                0,
                1,
            );
            LLVMSetSubprogram(function.as_value_ref(), subprogram);
            subprogram
        };
        for (index, (parameter, ty)) in parameters.iter().zip(signature.iter().skip(1)).enumerate() {
            let (name, length) = text(parameter);
            let number = index as u32 + 1;
            let (builder, scope) = (self.builder, subprogram);
            // SAFETY: as above; argument numbers start at 1.
            unsafe {
                LLVMDIBuilderCreateParameterVariable(builder, scope, name, length, number, file, line, *ty, 1, 0);
            }
        }
        FunctionScope { subprogram, source, foreign: RefCell::default() }
    }

    /// Gives the instructions that `builder` makes next their place in the script.
    pub fn locate(&self, builder: &Builder<'_>, scope: &FunctionScope, span: Option<Span>) {
        let (file, line, column) = self.place(span);
        let block = match span.map(|span| span.source) {
            Some(source) if scope.source != Some(source) => *scope
                .foreign
                .borrow_mut()
                .entry(source)
                // SAFETY: the subprogram and the file come from this builder.
                .or_insert_with(|| unsafe {
                    LLVMDIBuilderCreateLexicalBlock(self.builder, scope.subprogram, file, line, column)
                }),
            _ => scope.subprogram,
        };
        // SAFETY: the context is that of the module to which the instruction builder's function and
        // all metadata belong.
        unsafe {
            let null = ptr::null_mut();
            let location = LLVMDIBuilderCreateDebugLocation(self.context, line, column, block, null);
            LLVMSetCurrentDebugLocation2(builder.as_mut_ptr(), location);
        }
    }

    /// Completes the descriptions; nothing may be added afterwards.
    pub fn finish(&self) {
        // SAFETY: the builder is alive until `drop`.
        unsafe { LLVMDIBuilderFinalize(self.builder) }
    }

    /// File, line and column of a span's start, line and column from 1.
    fn place(&self, span: Option<Span>) -> (LLVMMetadataRef, u32, u32) {
        let Some((span, source)) = span.and_then(|span| Some((span, self.sources.get(span.source)?))) else {
            return (self.unit_file, 1, 1);
        };
        let mut files = self.files.borrow_mut();
        let known = files.entry(span.source).or_insert_with(|| SourceFile {
            file: create_file(self.builder, &source.name, &source.text),
            lines: std::iter::once(0).chain(source.text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
        });
        let start = span.start as usize;
        let line = known.lines.partition_point(|line| *line <= start).max(1);
        let line_start = known.lines.get(line - 1).copied().unwrap_or(0);
        let before = source.text.get(line_start..start).unwrap_or("");
        (known.file, line as u32, before.chars().count() as u32 + 1)
    }
}

impl Drop for DebugInfo<'_> {
    fn drop(&mut self) {
        // SAFETY: the builder was created in `new` and is not used after this.
        unsafe { LLVMDisposeDIBuilder(self.builder) }
    }
}

fn create_file(builder: LLVMDIBuilderRef, name: &str, source: &str) -> LLVMMetadataRef {
    let ((name, name_length), (source, source_length)) = (text(name), text(source));
    let ((directory, directory_length), (checksum, checksum_length)) = (text(""), text(NO_CHECKSUM));
    // SAFETY: the builder is alive; LLVM copies the strings.
    unsafe {
        LLVMDIBuilderCreateFileWithChecksum(
            builder,
            name,
            name_length,
            directory,
            directory_length,
            LLVMChecksumKind::CSK_MD5,
            checksum,
            checksum_length,
            source,
            source_length,
        )
    }
}

fn create_unit(builder: LLVMDIBuilderRef, file: LLVMMetadataRef) {
    let ((producer, producer_length), (empty, none)) = (text(PRODUCER), text(""));
    // SAFETY: the builder is alive; LLVM copies the strings.
    unsafe {
        LLVMDIBuilderCreateCompileUnit(
            builder,
            LLVMDWARFSourceLanguage::LLVMDWARFSourceLanguageC99,
            file,
            producer,
            producer_length,
            1,
            empty,
            none,
            0,
            empty,
            none,
            LLVMDWARFEmissionKind::LLVMDWARFEmissionKindFull,
            0,
            0,
            0,
            empty,
            none,
            empty,
            none,
        );
    }
}

fn create_integer(builder: LLVMDIBuilderRef, name: &str, bits: u64, encoding: u32) -> LLVMMetadataRef {
    let (name, length) = text(name);
    // SAFETY: the builder is alive; LLVM copies the name.
    unsafe { LLVMDIBuilderCreateBasicType(builder, name, length, bits, encoding, 0) }
}

fn create_void_pointer(builder: LLVMDIBuilderRef) -> LLVMMetadataRef {
    let (name, length) = text("");
    // SAFETY: the builder is alive; a null pointee is `void`.
    unsafe { LLVMDIBuilderCreatePointerType(builder, ptr::null_mut(), 64, 0, 0, name, length) }
}
