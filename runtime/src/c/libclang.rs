//! The library: found, loaded, and asked to parse. All calls into it go through here.

use std::ffi::{CStr, CString, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::{Arc, OnceLock};

use clang_sys::*;
use probebook_compiler::c_compiler::{CPlace, CProblem, CUnit};
use probebook_compiler::kernel_info::Unavailable;

/// What the text is called. Only clang sees these names.
const TEXT: &str = "/probebook/script.c";
const PRELUDE: &str = "/probebook/prelude.h";
/// A folder in memory for headers that are to be taken for empty.
const ABSENT: &str = "/probebook/absent";

/// Finds and loads the library, once; makes it known to this thread.
///
/// # Errors
///
/// It is not installed, or cannot be loaded.
pub fn load() -> Result<(), Unavailable> {
    static LIBRARY: OnceLock<Result<Arc<SharedLibrary>, String>> = OnceLock::new();
    match LIBRARY.get_or_init(|| load_manually().map(Arc::new)) {
        Ok(library) => {
            set_library(Some(Arc::clone(library)));
            Ok(())
        }
        Err(_) => Err(Unavailable {
            reason: "libclang was not found".to_owned(),
            remedy: Some(
                "install it (Debian and Ubuntu: apt-get install libclang1 libclang-common-dev, Fedora: clang-libs), or set LIBCLANG_PATH"
                    .to_owned(),
            ),
        }),
    }
}

/// A text that clang has parsed. It may have errors.
pub struct Parsed {
    index: CXIndex,
    unit: CXTranslationUnit,
}

impl Drop for Parsed {
    fn drop(&mut self) {
        // SAFETY: both were made in `parse` and are not used afterwards.
        unsafe {
            clang_disposeTranslationUnit(self.unit);
            clang_disposeIndex(self.index);
        }
    }
}

impl Parsed {
    /// Parses a text with arguments for clang.
    ///
    /// # Errors
    ///
    /// Clang gave up, which it does without a reason.
    pub fn parse(unit: &CUnit, flags: &[String]) -> Result<Parsed, Unavailable> {
        let mut flags = flags.to_vec();
        flags.extend(["-include".to_owned(), PRELUDE.to_owned(), format!("-idirafter{ABSENT}")]);
        let absent = unit.absent.iter().map(|header| (format!("{ABSENT}/{header}"), ""));
        let named = [(TEXT.to_owned(), unit.text.as_str()), (PRELUDE.to_owned(), unit.prelude.as_str())];
        let files: Vec<(CString, &str)> =
            named.into_iter().chain(absent).filter_map(|(name, text)| Some((CString::new(name).ok()?, text))).collect();
        let mut unsaved: Vec<CXUnsavedFile> = files
            .iter()
            .map(|(name, text)| CXUnsavedFile {
                Filename: name.as_ptr(),
                Contents: text.as_ptr().cast(),
                Length: text.len() as u64,
            })
            .collect();
        let flags: Vec<CString> = flags.iter().filter_map(|flag| CString::new(flag.as_str()).ok()).collect();
        let arguments: Vec<_> = flags.iter().map(|flag| flag.as_ptr()).collect();
        let name = CString::new(TEXT).unwrap_or_default();
        let options = CXTranslationUnit_DetailedPreprocessingRecord | CXTranslationUnit_KeepGoing;
        let mut parsed: CXTranslationUnit = ptr::null_mut();
        // SAFETY: the strings and files live until the call is over; clang copies what it keeps.
        let (index, error) = unsafe {
            let index = clang_createIndex(0, 0);
            let error = clang_parseTranslationUnit2(
                index,
                name.as_ptr(),
                arguments.as_ptr(),
                arguments.len() as i32,
                unsaved.as_mut_ptr(),
                unsaved.len() as u32,
                options,
                &raw mut parsed,
            );
            (index, error)
        };
        if error == CXError_Success && !parsed.is_null() {
            return Ok(Parsed { index, unit: parsed });
        }
        // SAFETY: it was made above.
        unsafe { clang_disposeIndex(index) };
        Err(Unavailable { reason: format!("libclang gave up (error {error})"), remedy: None })
    }

    /// The whole text.
    pub fn root(&self) -> CXCursor {
        // SAFETY: the unit is alive.
        unsafe { clang_getTranslationUnitCursor(self.unit) }
    }

    /// Everything that clang complains of.
    pub fn problems(&self) -> Vec<CProblem> {
        // SAFETY: the unit is alive.
        let count = unsafe { clang_getNumDiagnostics(self.unit) };
        (0..count).map(|index| self.problem(index)).collect()
    }

    fn problem(&self, index: u32) -> CProblem {
        // SAFETY: the index is below the number of diagnostics; the diagnostic is disposed of last.
        unsafe {
            let diagnostic = clang_getDiagnostic(self.unit, index);
            let is_error = clang_getDiagnosticSeverity(diagnostic) >= CXDiagnostic_Error;
            let message = string(clang_getDiagnosticSpelling(diagnostic));
            let location = clang_getDiagnosticLocation(diagnostic);
            let place = self.word_at(location);
            clang_disposeDiagnostic(diagnostic);
            CProblem { is_error, message, place }
        }
    }

    /// The place of a word or a sign, given where it begins.
    fn word_at(&self, location: CXSourceLocation) -> CPlace {
        let Some(spot) = spot(location) else { return CPlace::Nowhere };
        let rest = self.contents(spot.file).get(spot.offset as usize..).unwrap_or_default();
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let length = match rest.first() {
            Some(b'<' | b'"') => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
            Some(first) if is_word(first) => rest.iter().take_while(|byte| is_word(byte)).count(),
            _ => rest.len().min(1),
        };
        spot.place(spot.offset + length as u32)
    }

    /// The text behind a cursor and where it is; `None` if it is not in a file, or in the prelude.
    pub fn text_of(&self, cursor: CXCursor) -> Option<(String, CPlace)> {
        // SAFETY: the cursor is of this unit.
        let (start, end) = unsafe {
            let range = clang_getCursorExtent(cursor);
            (spot(clang_getRangeStart(range))?, spot(clang_getRangeEnd(range))?)
        };
        let bytes = self.contents(start.file).get(start.offset as usize..end.offset as usize)?;
        let place = start.place(end.offset);
        (place != CPlace::Nowhere).then(|| (String::from_utf8_lossy(bytes).into_owned(), place))
    }

    fn contents(&self, file: CXFile) -> &[u8] {
        let mut size = 0;
        // SAFETY: the file is one of this unit's, whose text stays in memory as long as the unit.
        unsafe {
            let start = clang_getFileContents(self.unit, file, &raw mut size);
            if start.is_null() { &[] } else { std::slice::from_raw_parts(start.cast(), size) }
        }
    }
}

/// Whether a cursor stands in the text itself.
pub fn is_in_text(cursor: CXCursor) -> bool {
    matches!(place_of(cursor), CPlace::Text(..))
}

/// Whether a cursor stands in the text or a header, and not in what was put before them.
pub fn is_in_file(cursor: CXCursor) -> bool {
    place_of(cursor) != CPlace::Nowhere
}

fn place_of(cursor: CXCursor) -> CPlace {
    // SAFETY: any cursor may be asked.
    let location = unsafe { clang_getCursorLocation(cursor) };
    spot(location).map_or(CPlace::Nowhere, |spot| spot.place(spot.offset))
}

/// Where the name of what a cursor declares stands.
pub fn name_place(cursor: CXCursor) -> CPlace {
    // SAFETY: any cursor may be asked.
    let (location, name) = unsafe { (clang_getCursorLocation(cursor), string(clang_getCursorSpelling(cursor))) };
    spot(location).map_or(CPlace::Nowhere, |spot| spot.place(spot.offset + name.len() as u32))
}

/// A place in a file.
struct Spot {
    file: CXFile,
    line: u32,
    column: u32,
    offset: u32,
}

impl Spot {
    fn place(&self, end: u32) -> CPlace {
        // SAFETY: the file belongs to a unit that is alive.
        let name = string(unsafe { clang_getFileName(self.file) });
        match name.as_str() {
            TEXT => CPlace::Text(self.offset, end),
            PRELUDE => CPlace::Nowhere,
            _ => {
                let (start, line, column) = (self.offset, self.line, self.column);
                CPlace::File { path: PathBuf::from(name), start, end, line, column }
            }
        }
    }
}

/// Where a location is, macros followed to where they are used.
fn spot(location: CXSourceLocation) -> Option<Spot> {
    let mut spot = Spot { file: ptr::null_mut(), line: 0, column: 0, offset: 0 };
    let Spot { file, line, column, offset } = &mut spot;
    // SAFETY: the pointers are to variables that are alive.
    unsafe { clang_getFileLocation(location, file, line, column, offset) };
    (!spot.file.is_null()).then_some(spot)
}

/// The text of one of clang's strings, which is freed.
pub fn string(text: CXString) -> String {
    // SAFETY: clang's strings end in NUL, and are null only where there is none.
    unsafe {
        let start = clang_getCString(text);
        let owned = if start.is_null() { String::new() } else { CStr::from_ptr(start).to_string_lossy().into_owned() };
        clang_disposeString(text);
        owned
    }
}

/// The children of a cursor, in order.
pub fn children(cursor: CXCursor) -> Vec<CXCursor> {
    extern "C" fn push(child: CXCursor, _: CXCursor, list: CXClientData) -> CXChildVisitResult {
        // SAFETY: `list` is the vector below, which nobody else uses meanwhile.
        unsafe { (*list.cast::<Vec<CXCursor>>()).push(child) };
        CXChildVisit_Continue
    }
    let mut list: Vec<CXCursor> = Vec::new();
    // SAFETY: the visitor gets a pointer to a vector that outlives the visit.
    unsafe { clang_visitChildren(cursor, push, (&raw mut list).cast::<c_void>()) };
    list
}
